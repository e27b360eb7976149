"""Broken requests through every door: each REST route, each op, as bodies, paths, queries, headers and raw bytes.

`broken` makes the requests, `doors` knows the routes and the ops, `attack` sends and keeps the books, and
`python -m tests.fuzz` does so for as many cases as one likes.
"""
