"""Every name of redis-py that is private to it and that we reach into, in one place.

redis-py offers no other way to each of these. A name may go with any of its versions, so pyproject.toml bounds the
version, and `tests/unit/test_internals.py` looks for each name in the version that is installed.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio.connection import SSLConnection
from typing_extensions import override

__all__ = ["FreshTls", "error_of", "forget", "transport_of"]


def transport_of(connection: Any) -> asyncio.Transport:
    """What a connection that is logged in writes to."""
    transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
    return transport


def error_of(connection: Any) -> Callable[[str], Exception]:
    """Makes an error of the right class from what Redis says."""
    parse: Callable[[str], Exception] = connection._parser.parse_error  # noqa: SLF001
    return parse


def forget(connection: Any) -> None:
    """Let a connection whose transport was closed know of it; else it complains when it is deleted."""
    connection._close()  # noqa: SLF001


class FreshTls(SSLConnection):
    """Reads the authority's file for each connection, as it may have been renewed."""

    @override
    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return super()._connection_arguments()
