"""Start-up checks: whether the configured stores are such that Fanfare works on them, and whose they are.

What is asked stands in `bus/questions`, `redis`, `postgres` and `marks`; what follows from the answers is decided by
pure functions, and `program` puts all of it together for a process, `fanfare up` and `fanfare check`.
"""
