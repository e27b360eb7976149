"""A strict client of the gateway protocol and of REST, for tests, the torture program and benchmarks.

It does what it is told and nothing besides: no reconnects, no retries. Whatever a server must not do is a
`ProtocolError`. Products use the client libraries that exist (docs/clients.md).
"""

from torture.client.connection import Client
from torture.client.rest import Rest, RestError
from torture.client.session import (
    CALM_INTENTS,
    PRESENCES,
    ClosedError,
    Event,
    InvalidSessionError,
    Op,
    ReconnectError,
    SendError,
    Session,
)
from torture.client.wire import Compression, ProtocolError

__all__ = [
    "CALM_INTENTS",
    "PRESENCES",
    "Client",
    "ClosedError",
    "Compression",
    "Event",
    "InvalidSessionError",
    "Op",
    "ProtocolError",
    "ReconnectError",
    "Rest",
    "RestError",
    "SendError",
    "Session",
]
