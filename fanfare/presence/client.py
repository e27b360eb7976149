"""The connection to Redis."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from fanfare.presence import keys
from fanfare.presence.multiplexed import MultiplexedRedis
from fanfare.presence.redis_internals import FreshTls
from fanfare.settings import Settings
from fanfare.tls import Problem, client_context, problem

__all__ = [
    "TRIP",
    "TRIP_S",
    "MultiplexedRedis",
    "Pipeline",
    "Redis",
    "connect",
    "connect_apart",
    "tls_problem",
]

_PORT: Final = 6379

# Longer than a fail-over within one data centre; what takes longer counts as an outage.
_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 5.0
TRIP: Final = 256
"""Client for the questions of many requests that share a round trip."""
TRIP_S: Final = 1.0
"""After this long without its answer Redis counts as away for them."""


def connect(
    settings: Settings,
    *,
    client_name: str = "fanfare",
    connected: Callable[[], None] | None = None,
    may_block: bool = False,
    replica_too: bool = False,
) -> MultiplexedRedis:
    """A client of the Redis in the settings; it connects when it is first used, and again after an outage.

    Args:
        settings: where Redis is.
        client_name: shown by CLIENT LIST.
        connected: called for each new connection, before it is used.
        may_block: it belongs to one task, which may let it wait for entries.
        replica_too: it may be a replica, which takes no writes and may lag.

    """
    client: MultiplexedRedis = _client(
        MultiplexedRedis, settings, client_name, connected, replica_too=replica_too
    )
    client.may_block = may_block
    return client


def connect_apart(settings: Settings, *, client_name: str) -> Redis:
    """A client whose commands have a connection each, for those that wait for entries of several inboxes."""
    client: Redis = _client(Redis, settings, client_name, None)
    return client


def _client(
    kind: Any,
    settings: Settings,
    client_name: str,
    connected: Callable[[], None] | None,
    *,
    replica_too: bool = False,
) -> Any:
    keys.use_prefix(settings.prefix)
    options: dict[str, Any] = {"ssl_ca_certs": str(settings.redis_ca)} if settings.redis_ca else {}

    async def on_connect(connection: AbstractConnection) -> None:
        await connection.on_connect()
        if not replica_too:
            await _check_primary(connection)
        if connected is not None:
            connected()

    options["redis_connect_func"] = on_connect
    client = kind.from_url(
        settings.redis.get_secret_value(),
        client_name=client_name,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_ANSWER_S,
        **options,
    )
    if client.connection_pool.connection_class is SSLConnection:
        client.connection_pool.connection_class = FreshTls
    return client


async def _check_primary(connection: AbstractConnection) -> None:
    """Raises RedisConnectionError if a connection is to a replica, as a primary may go on after a failover."""
    await connection.send_command("INFO", "replication")
    said: Any = await connection.read_response()
    if b"role:slave" in (said if isinstance(said, bytes) else str(said).encode()):
        raise RedisConnectionError("this server is a replica")


async def tls_problem(settings: Settings) -> str:
    """Why TLS, or that there is none, keeps us from Redis, and the setting; '' where it is not that."""
    url = urlsplit(settings.redis.get_secret_value())
    context = client_context("FANFARE_REDIS", settings.redis_ca) if url.scheme == "rediss" else None
    host, port = url.hostname or "localhost", url.port or _PORT
    why = await problem(host, port, context, plain=b"PING\r\n")
    match why:
        case "":
            return ""
        case Problem.PLAIN:
            what = "FANFARE_REDIS begins with rediss://"
        case Problem.TLS:
            what = "FANFARE_REDIS begins with redis://, and needs rediss://"
        case _:
            authority = settings.redis_ca or "not set, so the authorities count that the system trusts"
            what = f"FANFARE_REDIS_CA is {authority}"
    return f"{host}:{port}: {why}; {what}"
