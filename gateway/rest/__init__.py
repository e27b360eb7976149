"""REST, Discord's API version 10 as far as chat needs it: one module per resource."""

from gateway.rest.app import make_app
from gateway.rest.context import RestContext
from gateway.rest.server import RestServer, start_rest

__all__ = ["RestContext", "RestServer", "make_app", "start_rest"]
