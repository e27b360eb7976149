"""Which files the messages of a batch have, before it and after it."""

from collections.abc import Sequence
from typing import Final

from archiver.rows import Fold, Logged, creates
from fanfare.files.paths import keys_of
from fanfare.store.database import Connection

__all__ = ["files_in", "files_of"]

_WITH_FILES: Final = """
SELECT m.body FROM unnest($1::bigint[], $2::bigint[]) AS k(channel_id, id) JOIN messages m USING (channel_id, id)
WHERE NOT m.deleted AND position('"attachments":[{'::bytea in m.body) > 0
"""


async def files_of(connection: Connection, entries: Sequence[Logged], result: Fold) -> set[str]:
    """The files that messages had before a batch, or that they get in it."""
    found = set().union(*(keys_of(entry.record.payload) for entry in entries))
    if result.changed:
        channels, ids = zip(*result.changed, strict=True)
        rows = await connection.fetch(_WITH_FILES, channels, ids)
        found.update(*(keys_of(row["body"]) for row in rows))
    return found


async def files_in(connection: Connection, entries: Sequence[Logged], result: Fold) -> set[str]:
    """The files that the messages of a batch have after it."""
    there = {*result.changed, *((row.channel_id, row.id) for row in creates(entries))}
    channels, ids = zip(*there, strict=True)
    rows = await connection.fetch(_WITH_FILES, channels, ids)
    return set().union(*(keys_of(row["body"]) for row in rows))
