"""Brings the database to the newest schema. Any number of processes may do so at once."""

import asyncio
from collections.abc import Sequence
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fanfare.settings import Settings
from fanfare.store.database import dial, dsn

__all__ = ["migrate"]

# Any number that nobody else uses in this database: one process migrates, the others wait and find it done.
_LOCK: Final = 0x66616E_0001


def migrate(settings: Settings, afterwards: Sequence[str] = ()) -> None:
    """Bring the database to the newest schema: all steps or none. Not from inside a running event loop.

    Args:
        settings: where it is.
        afterwards: statements to execute then, in the same transaction, such as grants.

    Raises:
        StoreUnavailableError: PostgreSQL is away.

    """
    asyncio.run(_migrate(dsn(settings), settings.prefix, afterwards))


async def _migrate(url: str, schema: str, afterwards: Sequence[str]) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: dial(url, statement_s=None), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '600s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if schema:
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.run_sync(_upgrade)
            for statement in afterwards:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "fanfare.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
