"""REST, Discord's API version 10 as far as chat needs it: one module per resource."""

from gateway.rest.app import RestServer, make_app, start_rest
from gateway.rest.context import RestContext

__all__ = ["RestContext", "RestServer", "make_app", "start_rest"]
