"""Which pages does the REST port serve to browsers? The client to chat in, the live view, and what these ask for."""

from gateway.pages.routes import add_pages

__all__ = ["add_pages"]
