"""The connection to Redis."""

from collections.abc import Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from fanfare.presence import keys
from fanfare.presence.line import LineRedis
from fanfare.settings import Settings

__all__ = ["TRIP", "TRIP_S", "connect"]

# Long enough for a fail-over within one data centre, short enough to be told apart from an outage.
_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 5.0
TRIP: Final = 256
"""Questions of many requests that share a round trip."""
TRIP_S: Final = 1.0
"""After this long without its answer Redis counts as away for them."""


def connect(
    settings: Settings, *, client_name: str = "fanfare", connected: Callable[[], None] | None = None
) -> LineRedis:
    """A client of the Redis in the settings; it connects when it is first used, and again after an outage.

    Args:
        settings: where Redis is.
        client_name: shown by CLIENT LIST.
        connected: called for each new connection, before it is used.

    """
    keys.use_prefix(settings.prefix)
    options: dict[str, Any] = {"ssl_ca_certs": str(settings.redis_ca)} if settings.redis_ca else {}
    if connected is not None:

        async def on_connect(connection: AbstractConnection) -> None:
            await connection.on_connect()
            connected()

        options["redis_connect_func"] = on_connect
    client: LineRedis = LineRedis.from_url(  # type: ignore[assignment] # it is typed as the base class
        settings.redis.get_secret_value(),
        client_name=client_name,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_ANSWER_S,
        **options,
    )
    return client
