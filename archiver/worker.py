"""The archiver's shell: reads the log in batches, writes each in one transaction, and has caches trimmed.

A batch whose transaction did not commit is done again. A batch that did commit may come again, too, and then changes
nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from archiver.files import Remover
from archiver.reactions import CLEARED_SQL, GONE_SQL, PUT_SQL, Reactions, reactions_of
from archiver.recent import Trimmer
from archiver.rows import BadPayloadError, Fold, Logged, Made, PositionRow, creates, fold, position_row
from fanfare.bus.consumer import Consumer, Incoming, PoisonError, TopicPartition
from fanfare.bus.topics import CHAT_EVENTS, GUILD_EVENTS, LOCATION_EVENTS
from fanfare.files.paths import keys_of
from fanfare.files.store import FileStore
from fanfare.presence.bury import told_by
from fanfare.presence.client import connect
from fanfare.service import Service, State
from fanfare.store.database import Connection, Database
from fanfare.store.files import claim_files, release_files
from fanfare.tasks import end
from fanfare.telemetry.tracing import traced

__all__ = ["GROUP", "Archiver", "main"]

GROUP: Final = "archiver"
_TOPICS: Final = (CHAT_EVENTS, GUILD_EVENTS, LOCATION_EVENTS)

# Nobody waits for a row: what is not in the table yet is in Redis. A transaction costs what a hundred rows do.
_GATHER_MS: Final = 200

_KNOWN: Final = """
SELECT m.channel_id, m.id, m.author_id, m.nonce, m.version, m.deleted, ''::bytea
FROM unnest($1::bigint[], $2::bigint[]) AS k(channel_id, id) JOIN messages m USING (channel_id, id)
UNION
SELECT m.channel_id, m.id, m.author_id, m.nonce, m.version, m.deleted, ''::bytea
FROM unnest($1::bigint[], $3::bigint[], $4::bytea[]) AS k(channel_id, author_id, nonce)
JOIN messages m USING (channel_id, author_id, nonce) WHERE m.nonce <> ''
"""
# Columns by name, so that this code also works on a later schema.
_MADE: Final = """
INSERT INTO messages (channel_id, id, author_id, nonce, version, deleted, body)
SELECT channel_id, id, author_id, nonce, version, deleted, body FROM batch_made ON CONFLICT DO NOTHING
"""
_CHANGED: Final = """
UPDATE messages m SET version = c.version, deleted = c.deleted, body = c.body FROM batch_changed c
WHERE m.channel_id = c.channel_id AND m.id = c.id AND NOT m.deleted AND m.version < c.version
"""
_WITH_FILES: Final = """
SELECT m.body FROM unnest($1::bigint[], $2::bigint[]) AS k(channel_id, id) JOIN messages m USING (channel_id, id)
WHERE NOT m.deleted AND position('"attachments":[{'::bytea in m.body) > 0
"""
_POSITIONS: Final = """
INSERT INTO positions (channel_id, id, author_id, at_ms, body)
SELECT channel_id, id, author_id, at_ms, body FROM batch_positions ON CONFLICT DO NOTHING
"""
# Once per connection; each transaction leaves them empty.
_TABLES: Final = {
    "batch_made": "SELECT channel_id, id, author_id, nonce, version, deleted, body FROM messages",
    "batch_changed": "SELECT channel_id, id, version, deleted, body FROM messages",
    "batch_positions": "SELECT channel_id, id, author_id, at_ms, body FROM positions",
    "batch_reactions": "SELECT channel_id, message_id, emoji, user_id, version, present FROM reactions",
    "batch_cleared": "SELECT channel_id, message_id, emoji, version FROM reactions",
    "batch_gone": "SELECT channel_id, message_id FROM reactions",
}


class Archiver:
    """Writes batches of the log into the database."""

    def __init__(self, database: Database, trimmer: Trimmer | None = None) -> None:
        self._database = database
        self._trimmer = trimmer

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Write a batch of one partition; returns once it is committed.

        Raises:
            PoisonError: a record cannot be archived.
            StoreUnavailableError: PostgreSQL is away.

        """
        # What only one user sees is nobody's history.
        entries = [
            Logged(each.record, each.offset, each.appended_ms) for each in batch if not each.record.ephemeral
        ]
        if partition.topic == CHAT_EVENTS:
            try:
                touched = await self._messages(entries)
            except BadPayloadError as error:
                raise PoisonError(error.record, str(error)) from error
            if self._trimmer is not None:
                self._trimmer.archived(touched, batch[-1].offset)
        elif partition.topic == LOCATION_EVENTS:
            await self._positions([row for entry in entries if (row := position_row(entry))])

    async def _messages(self, entries: Sequence[Logged]) -> set[int]:
        """Archive messages; the channels touched."""
        new, reactions = creates(entries), reactions_of(entries)
        if not new and not reactions and not fold(entries, ()).changed:
            return set()  # typing, fences
        async with self._database.transaction() as connection:
            known = await _known(connection, new) if new else []
            result = fold(entries, known)
            files = await _files_of(connection, entries, result)
            if result.made:
                await _copy(connection, "batch_made", result.made.values())
                await connection.execute(_MADE)
            if result.changed:
                await _copy(connection, "batch_changed", result.changed.values())
                await connection.execute(_CHANGED)
            if files:
                kept = files & await _files_in(connection, entries, result)
                await claim_files(connection, kept)
                await release_files(connection, files - kept)
            await _react(connection, reactions, result)
        return (
            {row.channel_id for row in new}
            | {channel_id for channel_id, _ in result.changed}
            | reactions.channels
        )

    async def _positions(self, rows: Sequence[PositionRow]) -> None:
        if not rows:
            return
        async with self._database.transaction() as connection:
            await _copy(connection, "batch_positions", rows)
            await connection.execute(_POSITIONS)


async def main(service: Service) -> None:
    """Archive until told to stop."""
    redis = connect(service.settings, client_name=service.name)
    database = await Database.connect(service.settings)
    trimmer = Trimmer(redis)
    consumer = Consumer(
        service.settings,
        GROUP,
        _TOPICS,
        traced(service.traces, "archive", Archiver(database, trimmer).handle),
        gather_ms=_GATHER_MS,
        told_to_bury=told_by(redis),
    )
    service.ready = lambda: consumer.joined
    service.problem = consumer.problem
    service.facts = consumer.facts
    remover = Remover(database, FileStore(service.settings))
    trimming = service.supervise(trimmer.run(), "trim recent messages")
    removing = service.supervise(remover.run(), "remove files")
    service.state = State.RUNNING
    try:
        await consumer.run(service.stopping)
    finally:
        await end((trimming, removing))
        await database.close()
        await redis.aclose()


async def _known(connection: Connection, new: Sequence[Made]) -> list[Made]:
    rows = await connection.fetch(
        _KNOWN,
        [row.channel_id for row in new],
        [row.id for row in new],
        [row.author_id for row in new],
        [row.nonce for row in new],
    )
    return [Made(*row) for row in rows]


async def _react(connection: Connection, reactions: Reactions, messages: Fold) -> None:
    """What a batch does to reactions. Those of a message that is deleted are never shown again."""
    if reactions.cleared:
        await _copy(connection, "batch_cleared", reactions.cleared)
        await connection.execute(CLEARED_SQL)
    if reactions.rows:
        await _copy(connection, "batch_reactions", reactions.rows.values())
        await connection.execute(PUT_SQL)
    gone = [key for key, change in messages.changed.items() if change.deleted]
    if gone:
        await _copy(connection, "batch_gone", gone)
        await connection.execute(GONE_SQL)


async def _files_of(connection: Connection, entries: Sequence[Logged], result: Fold) -> set[str]:
    """The files that messages had before a batch, or that they get in it."""
    found = set().union(*(keys_of(entry.record.payload) for entry in entries))
    if result.changed:
        channels, ids = zip(*result.changed, strict=True)
        rows = await connection.fetch(_WITH_FILES, channels, ids)
        found.update(*(keys_of(row["body"]) for row in rows))
    return found


async def _files_in(connection: Connection, entries: Sequence[Logged], result: Fold) -> set[str]:
    """The files that the messages of a batch have after it."""
    there = {*result.changed, *((row.channel_id, row.id) for row in creates(entries))}
    channels, ids = zip(*there, strict=True)
    rows = await connection.fetch(_WITH_FILES, channels, ids)
    return set().union(*(keys_of(row["body"]) for row in rows))


async def _copy(connection: Connection, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Fill a temporary table by COPY; made on the connection's first use of it."""
    if await connection.fetchval("SELECT to_regclass($1)", f"pg_temp.{table}") is None:
        await connection.execute(
            f"CREATE TEMP TABLE {table} ON COMMIT DELETE ROWS AS {_TABLES[table]} WITH NO DATA"
        )
    await connection.copy_records_to_table(table, records=list(rows))
