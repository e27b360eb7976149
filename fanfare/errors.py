"""The error that ends a process, whichever part of it finds that it has to end."""

__all__ = ["FatalError"]


class FatalError(Exception):
    """The process cannot go on; the message says why and what to do. It drains and exits with 1."""
