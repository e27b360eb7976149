"""The database as a sink: each batch is one transaction, by COPY.

A batch whose transaction did not commit is done again. A batch that did commit may come again, too, and then changes
nothing: rows are known by their keys. New rows are copied straight into their table; only where some are there
already, because of a repetition or of another worker, do they take the way over a temporary table.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import asyncpg

from archiver.message_files import files_in, files_of
from archiver.positions import PositionRow, new_positions, positions_of
from archiver.reactions import CLEARED_SQL, GONE_SQL, PUT_SQL, Reactions, reactions_of
from archiver.recent import Trimmer
from archiver.rows import BadPayloadError, Fold, Limits, Logged, Made, creates, fold
from archiver.sinks import BATCH_ROWS, EVENTS, LEFT_OUT, ROWS
from archiver.upkeep import Upkeep
from fanfare.bus.batches import Incoming, PoisonError, TopicPartition
from fanfare.bus.growth import GrowthLog
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.constants import NONCE_WINDOW_S
from fanfare.ids import snowflake_ms
from fanfare.settings import Settings
from fanfare.store.database import Connection, Database
from fanfare.store.errors import StoreUnavailableError
from fanfare.store.files import claim_files, release_files
from fanfare.trouble import Trouble

__all__ = ["GROUP", "PostgresSink"]

GROUP: Final = "archiver"

_T = TypeVar("_T")
# Ids of one millisecond differ in their lower bits.
_WINDOW_IDS: Final = int(NONCE_WINDOW_S * 1000) + 1 << 22
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - partitions are cut in UTC, without saying so

# The first statement of each transaction: who deletes a user's data waits for those that have read `forgotten`.
_LIMITS: Final = """
SELECT (SELECT min(low) FROM partitions WHERE parent = $1) AS floor,
  (SELECT max(high) FROM partitions WHERE parent = $1) AS top,
  ARRAY(SELECT (user_id, upto_ms) FROM forgotten WHERE user_id = ANY($2::bigint[])) AS forgotten
"""
# The bounds say which partitions there is no need to look into.
_KNOWN: Final = """
SELECT m.channel_id, m.id, m.author_id, m.nonce, m.version, m.deleted, ''::bytea
FROM unnest($1::bigint[], $2::bigint[]) AS k(channel_id, id) JOIN messages m USING (channel_id, id)
WHERE m.id BETWEEN $5 AND $6
UNION
SELECT m.channel_id, m.id, m.author_id, m.nonce, m.version, m.deleted, ''::bytea
FROM unnest($1::bigint[], $3::bigint[], $4::bytea[]) AS k(channel_id, author_id, nonce)
JOIN messages m USING (channel_id, author_id, nonce) WHERE m.nonce <> '' AND m.id BETWEEN $5 AND $6
"""
# Columns by name, so that this code also works on a later schema.
_MADE: Final = """
INSERT INTO messages (channel_id, id, author_id, nonce, version, deleted, body)
SELECT channel_id, id, author_id, nonce, version, deleted, body FROM batch_made ON CONFLICT DO NOTHING
"""
_CHANGED: Final = """
UPDATE messages m SET version = c.version, deleted = c.deleted, body = c.body FROM batch_changed c
WHERE m.channel_id = c.channel_id AND m.id = c.id AND NOT m.deleted AND m.version < c.version
AND m.id BETWEEN $1 AND $2
"""
_POSITIONS: Final = """
INSERT INTO positions (entity_id, at_ms, seq, author_id, lat, lon, accuracy_m, heading_deg, speed_mps)
SELECT entity_id, at_ms, seq, author_id, lat, lon, accuracy_m, heading_deg, speed_mps FROM batch_positions
ON CONFLICT DO NOTHING
"""
_TRIES: Final = 5
# Once per connection; each transaction leaves them empty.
_TABLES: Final = {
    "batch_made": "SELECT channel_id, id, author_id, nonce, version, deleted, body FROM messages",
    "batch_changed": "SELECT channel_id, id, version, deleted, body FROM messages",
    "batch_positions": "SELECT entity_id, at_ms, seq, author_id, lat, lon, accuracy_m, heading_deg, speed_mps "
    "FROM positions",
    "batch_reactions": "SELECT channel_id, message_id, emoji, user_id, version, present FROM reactions",
    "batch_cleared": "SELECT channel_id, message_id, emoji, version FROM reactions",
    "batch_gone": "SELECT channel_id, message_id FROM reactions",
}


class _TooNewError(Exception):
    """There is no partition yet for a row: make those up to a moment, and try again."""

    def __init__(self, upto_ms: int) -> None:
        super().__init__(f"no partition for {upto_ms}")
        self.upto_ms = upto_ms


def _no_base(_topic: str, _appended_ms: int) -> int:
    return 0


class PostgresSink:
    """Writes batches of the log into the database."""

    group = GROUP
    topics = EVENTS

    def __init__(
        self,
        database: Database,
        settings: Settings,
        trimmer: Trimmer | None = None,
        growth: GrowthLog | None = None,
    ) -> None:
        """Args: trimmer: told which channels the database has up to where; growth: of topics that grow."""
        self._growth = growth
        self._database = database
        self._trimmer = trimmer
        self._upkeep = Upkeep(database, settings)

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Write a batch of one partition; returns once it is committed.

        Raises:
            PoisonError: a record cannot be archived.
            StoreUnavailableError: PostgreSQL is away.

        """
        # A channel that came from another partition begins with low offsets in this one.
        base = self._growth.state.base if self._growth is not None else _no_base
        logged = [
            Logged(each.record, each.offset + base(partition.topic, each.appended_ms), each.appended_ms)
            for each in batch
        ]
        # What only one user sees is nobody's history.
        entries = [one for one in logged if not one.record.ephemeral]
        try:
            if partition.topic == CHAT_EVENTS:
                touched = await self._messages(entries)
                if self._trimmer is not None:
                    self._trimmer.archived(touched, logged[-1].offset)
            elif partition.topic == LOCATION_EVENTS:
                await self._positions([row for entry in entries for row in positions_of(entry)])
        except BadPayloadError as error:
            raise PoisonError(error.record, str(error)) from error

    def safe(self, partition: TopicPartition) -> int | None:  # noqa: ARG002 - as other sinks
        """All that was handed over: a batch is committed before the next one comes."""
        return None

    async def run(self) -> None:
        """Look after the partitions."""
        await self._upkeep.run()

    async def flush(self) -> None:
        """Nothing waits."""

    async def _messages(self, entries: Sequence[Logged]) -> set[int]:
        """Archive messages; the channels touched."""
        new, reactions = creates(entries), reactions_of(entries)
        if not new and not reactions and not fold(entries, ()).changed:
            return set()  # typing, fences
        return await self._with_partitions("messages", lambda: self._write_messages(entries, new, reactions))

    async def _write_messages(
        self, entries: Sequence[Logged], new: Sequence[Made], reactions: Reactions
    ) -> set[int]:
        async with self._database.transaction() as connection:
            known: list[Made] = []
            limits = Limits()
            if new:
                limits = await _limits(
                    connection, "messages", {row.author_id for row in new}, max(row.id for row in new)
                )
                known = await _known(connection, new)
            result = fold(entries, known, limits)
            if new:
                LEFT_OUT.labels(GROUP, "messages").inc(
                    sum(not limits.keep(row.id, row.author_id, snowflake_ms(row.id)) for row in new)
                )
            made, changed = list(result.made.values()), list(result.changed.values())
            files = await files_of(connection, entries, result)
            if made and not await _copied(connection, "messages", Made._fields, made):
                await _copy(connection, "batch_made", made)
                await connection.execute(_MADE)
            if changed:
                await _copy(connection, "batch_changed", changed)
                ids = [row.id for row in changed]
                await connection.execute(_CHANGED, min(ids), max(ids))
            if files:
                kept = files & await files_in(connection, entries, result)
                await claim_files(connection, kept)
                await release_files(connection, files - kept)
            await _react(connection, reactions, result)
        _count("messages", len(made))
        _count("changes", len(changed))
        return {row.channel_id for row in new} | {row.channel_id for row in changed} | reactions.channels

    async def _positions(self, rows: list[PositionRow]) -> None:
        if rows:
            await self._with_partitions("positions", lambda: self._write_positions(rows))

    async def _write_positions(self, rows: list[PositionRow]) -> None:
        async with self._database.transaction() as connection:
            authors, newest = {row.author_id for row in rows}, max(row.at_ms for row in rows)
            limits = await _limits(connection, "positions", authors, newest)
            new = new_positions(rows, limits)
            if new and not await _copied(connection, "positions", PositionRow._fields, new):
                await _copy(connection, "batch_positions", new)
                await connection.execute(_POSITIONS)
        _count("positions", len(new))

    async def _with_partitions(self, table: str, write: Callable[[], Awaitable[_T]]) -> _T:
        """Write; where there is no partition for a row yet, make it before that."""
        for _ in range(_TRIES):
            try:
                return await write()
            except _TooNewError as error:
                upto_ms = error.upto_ms
                await self._upkeep.make(table, _EPOCH + timedelta(milliseconds=upto_ms))
            except asyncpg.CheckViolationError:
                continue  # a partition was dropped since the limits were read: so the rows are too old
        raise StoreUnavailableError(f"the partitions of {table} do not hold still", Trouble.REFUSED)


def _count(kind: str, rows: int) -> None:
    if rows:
        ROWS.labels(GROUP, kind).inc(rows)
        BATCH_ROWS.labels(GROUP, kind).observe(rows)


async def _limits(connection: Connection, table: str, authors: Iterable[int], newest: int) -> Limits:
    """What of these is not to be added. Raises _TooNewError: there is no partition yet for the newest."""
    row: Any = await connection.fetchrow(_LIMITS, table, list(authors))
    if newest >= row["top"]:
        raise _TooNewError(snowflake_ms(newest) if table == "messages" else newest)
    return Limits(row["floor"], dict(row["forgotten"]))


async def _known(connection: Connection, new: Sequence[Made]) -> list[Made]:
    ids = [row.id for row in new]
    rows = await connection.fetch(
        _KNOWN,
        [row.channel_id for row in new],
        ids,
        [row.author_id for row in new],
        [row.nonce for row in new],
        min(ids) - _WINDOW_IDS,
        min(max(ids) + _WINDOW_IDS, (1 << 63) - 1),
    )
    return [Made(*row) for row in rows]


async def _react(connection: Connection, reactions: Reactions, messages: Fold) -> None:
    """What a batch does to reactions. Those of a message that is deleted are never shown again."""
    if reactions.cleared:
        await _copy(connection, "batch_cleared", reactions.cleared)
        await connection.execute(CLEARED_SQL)
    if reactions.rows:
        await _copy(connection, "batch_reactions", list(reactions.rows.values()))
        await connection.execute(PUT_SQL)
    gone = [key for key, change in messages.changed.items() if change.deleted]
    if gone:
        await _copy(connection, "batch_gone", gone)
        await connection.execute(GONE_SQL)


async def _copied(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> bool:
    """Copy rows into a table; False, and nothing done, if one of them is there already."""
    with suppress(asyncpg.UniqueViolationError):
        async with connection.transaction():
            await connection.copy_records_to_table(table, records=rows, columns=columns)
        return True
    return False


async def _copy(connection: Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Fill a temporary table by COPY; made on the connection's first use of it."""
    if await connection.fetchval("SELECT to_regclass($1)", f"pg_temp.{table}") is None:
        await connection.execute(
            f"CREATE TEMP TABLE {table} ON COMMIT DELETE ROWS AS {_TABLES[table]} WITH NO DATA"
        )
    await connection.copy_records_to_table(table, records=rows)
