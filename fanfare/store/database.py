"""The connection to PostgreSQL: a pool that comes back by itself, and one translation of errors.

asyncpg is untyped; its `Any` ends in this module and in the row mappers of its neighbours.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from fanfare.diagnosis import trouble_of
from fanfare.settings import Settings
from fanfare.store.errors import StoreUnavailableError
from fanfare.tls import reason
from fanfare.trouble import ONE_RECORD, Trouble

__all__ = [
    "CONNECT_S",
    "STATEMENT_S",
    "Connection",
    "Database",
    "Row",
    "dial",
    "dsn",
    "own_channel",
    "own_number",
    "translated",
]

# To get a connection, and for one statement: a caller knows within their sum that the database is away.
CONNECT_S: Final = 2.0
STATEMENT_S: Final = 5.0
_POOL_SIZE: Final = 10

Row = Any
"""An asyncpg record: values by column name."""
Connection = Any
"""An asyncpg connection."""

# asyncpg's own complaints have no finer types; these begin those that mean a lost connection.
_LOST: Final = ("connection is closed", "connection was closed", "cannot call", "the underlying connection")


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn an error that has nothing to do with the statement into a StoreUnavailableError.

    PostgreSQL is away, takes no writes, lacks a table or does not give us a right: that is for its operator to mend. An
    error of the statement itself is raised as it is.
    """
    try:
        yield
    except asyncpg.InterfaceError as error:
        if str(error).startswith(_LOST):
            raise StoreUnavailableError(f"PostgreSQL is away: {error}") from error
        raise
    except (asyncpg.PostgresError, asyncpg.InternalClientError, OSError) as error:
        trouble = trouble_of(error)
        if trouble in ONE_RECORD:
            raise
        said = "PostgreSQL is away" if trouble is Trouble.AWAY else f"PostgreSQL refuses ({trouble})"
        tls = reason(error)
        why = f"{tls}, see FANFARE_POSTGRES_CA" if tls else f"{type(error).__name__}: {error}"
        raise StoreUnavailableError(f"{said}: {why}", trouble) from error


def dsn(settings: Settings) -> str:
    """The address in the settings, with the schema, and the authority to trust; giving one asks for verify-full."""
    url = settings.postgres.get_secret_value()
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if settings.postgres_ca is not None:
        query = {"sslmode": "verify-full", **query, "sslrootcert": str(settings.postgres_ca)}
    if settings.prefix:
        # asyncpg makes what it does not know a setting of the connection.
        query["search_path"] = f'"{settings.prefix}"'
    return urlunsplit(parts._replace(query=urlencode(query))) if query else url


def _verified(url: str) -> dict[str, Any]:
    """The arguments to connect with: where no authority is named, the system's count (asyncpg wants a file)."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    mode = query.get("sslmode", "")
    if not mode.startswith("verify-") or query.get("sslrootcert", "system") != "system":
        return {"dsn": url}
    query.pop("sslmode")
    query.pop("sslrootcert", None)
    context = ssl.create_default_context()
    context.check_hostname = mode == "verify-full"
    return {"dsn": urlunsplit(parts._replace(query=urlencode(query))), "ssl": context}


def own_channel(name: str) -> str:
    """SQL of a channel of LISTEN/NOTIFY, made this installation's own, as with `own_number`."""
    return f"concat('{name}', '.' || nullif(current_schema(), 'public'))"


async def own_number(connection: Connection, number: int) -> int:
    """A number for an advisory lock, made this installation's own: a database has one set of them for all schemas."""
    schema: str = await connection.fetchval("SELECT current_schema()") or ""
    return number if schema == "public" else number ^ zlib.crc32(schema.encode()) << 24


async def dial(url: str, *, statement_s: float | None = STATEMENT_S) -> Connection:
    """A connection of its own, outside the pool.

    Args:
        url: where to.
        statement_s: how long one statement may take; None: as long as it needs.

    Raises:
        StoreUnavailableError: there is none within CONNECT_S.

    """
    async with translated():
        return await asyncpg.connect(**_verified(url), timeout=CONNECT_S, command_timeout=statement_s)


async def _unless_read_only(connection: Connection) -> None:
    """Before a connection is given back: one that can never write is ended.

    The server says so by itself, from version 14 on. It may have been set only for a moment, as before a failover, and
    the session keeps it. Otherwise nothing has to be done: no caller leaves settings or listeners behind.
    """
    facts = connection.get_settings()
    if "on" in (getattr(facts, "default_transaction_read_only", ""), getattr(facts, "in_hot_standby", "")):
        connection.terminate()


class Database:
    """A pool of connections, made when they are needed and again after an outage.

    Every call raises StoreUnavailableError within CONNECT_S + STATEMENT_S while PostgreSQL is away.
    """

    def __init__(self, url: str, pool: Any) -> None:
        self.url = url
        self._pool = pool

    @classmethod
    async def connect(cls, settings: Settings) -> Self:
        """Make the pool; connects to nothing yet."""
        url = dsn(settings)
        pool = await asyncpg.create_pool(
            **_verified(url),
            min_size=0,
            max_size=_POOL_SIZE,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            reset=_unless_read_only,
        )
        return cls(url, pool)

    async def close(self) -> None:
        """Close the connections; those in use are given a moment, then cut."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._pool.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection, for several statements that are no transaction."""
        async with translated(), self._pool.acquire(timeout=CONNECT_S) as connection:
            try:
                yield connection
            except (asyncpg.ReadOnlySQLTransactionError, asyncpg.InternalClientError):
                # The latter: the server ended the session at the moment at which something was asked.
                connection.terminate()
                raise

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Literal["read_committed", "repeatable_read"] = "read_committed",
        readonly: bool = False,
    ) -> AsyncIterator[Connection]:
        """A connection inside a transaction that ends with the block: committed, or rolled back."""
        async with self.connection() as connection:
            transaction: AbstractAsyncContextManager[Any] = connection.transaction(
                isolation=isolation, readonly=readonly
            )
            async with transaction:
                yield connection

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows."""
        async with self.connection() as connection:
            return list(await connection.fetch(sql, *args))

    async def row(self, sql: str, *args: object) -> Row | None:
        """The first row."""
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        """The first column of the first row, None without one."""
        async with self.connection() as connection:
            return await connection.fetchval(sql, *args)
