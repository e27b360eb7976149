"""Makes the partitions of tables ahead, and drops those that retention has passed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from fanfare.files.paths import keys_of
from fanfare.settings import Settings
from fanfare.store.database import Database
from fanfare.store.errors import StoreUnavailableError
from fanfare.store.files import release_files
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["Upkeep"]

_EVERY_S: Final = 3600.0
_AGAIN_S: Final = 5.0
# How far ahead there are partitions: an archiver that does not come to it for that long does no harm.
_AHEAD: Final = {"messages": timedelta(days=31), "positions": timedelta(days=3)}

# The end of what is to be dropped, as drop_partitions has it.
_HIGH: Final = """
SELECT max(high) FROM partitions WHERE parent = 'messages' AND high <= partition_value('messages', $1)
AND high < (SELECT max(high) FROM partitions WHERE parent = 'messages')
"""
_WITH_FILES: Final = """
SELECT body FROM messages WHERE id < $1 AND position('"attachments":[{'::bytea in body) > 0
"""

_log = logs.get("upkeep")


class Upkeep:
    """Looks after the partitions. Any number of archivers may do so at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._keep_days = {"messages": settings.keep_messages_days, "positions": settings.keep_positions_days}

    async def run(self) -> None:
        """For ever; while PostgreSQL is away, every few seconds."""
        while True:
            try:
                await self.once()
            except StoreUnavailableError as error:
                _log.warning("partitions are not looked after", action=Action.DATABASE_AWAY, why=str(error))
                await asyncio.sleep(_AGAIN_S)
            else:
                await asyncio.sleep(_EVERY_S)

    async def once(self) -> None:
        """Make and drop what is due. Raises StoreUnavailableError."""
        now = datetime.now(UTC).replace(tzinfo=None)
        for table, ahead in _AHEAD.items():
            await self.make(table, now + ahead)
            if days := self._keep_days[table]:
                await self.drop(table, now - timedelta(days=days))

    async def make(self, table: str, upto: datetime) -> None:
        """Make partitions until there is one for a moment (UTC)."""
        if made := await self._database.value("SELECT make_partitions($1, $2)", table, upto):
            _log.info("partitions made", action=Action.PARTITIONS, table=table, count=made)

    async def drop(self, table: str, before: datetime) -> None:
        """Drop partitions that end before a moment (UTC), and what belongs to their messages."""
        if table == "messages":
            await self._let_go(before)
        if dropped := await self._database.value("SELECT drop_partitions($1, $2)", table, before):
            _log.info("partitions dropped", action=Action.PARTITIONS, table=table, count=dropped)

    async def _let_go(self, before: datetime) -> None:
        async with self._database.transaction() as connection:
            if (high := await connection.fetchval(_HIGH, before)) is None:
                return
            async for row in connection.cursor(_WITH_FILES, high):
                await release_files(connection, keys_of(row["body"]))
            await connection.execute("DELETE FROM reactions WHERE message_id < $1", high)
