"""Messages by time, author and words, as the archiver has written them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fanfare.store.database import Database

__all__ = ["Query", "Search"]

# Further ones are not counted: somebody who gets that many asks again.
_COUNTED: Final = 10_000


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; all of it has to be so."""

    channels: Sequence[int]
    """Where: those that the user may read."""
    authors: Sequence[int] = ()
    """By one of these; empty: by anybody."""
    words: str = ""
    """As people type them into search engines: all of them, "a phrase", one or another, -without."""
    after: int = -1
    """With an id above this."""
    before: int = (1 << 63) - 1
    """With an id below this."""


class Search:
    """The part of the store that finds messages. Deleted ones are not there."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def search(
        self, query: Query, *, limit: int, offset: int = 0, oldest: bool = False
    ) -> tuple[int, list[tuple[int, int]]]:
        """How many messages there are, 10,000 at the most, and some of them as (channel, id).

        Args:
            query: what is looked for.
            limit: not more than this many.
            offset: without the first ones.
            oldest: the oldest ones first, and not the newest.

        """
        where, given = _where(query)
        order = "ASC" if oldest else "DESC"
        counted = f"SELECT count(*) FROM (SELECT FROM messages WHERE {where} LIMIT {_COUNTED}) AS found"  # noqa: S608
        page = f"SELECT channel_id, id FROM messages WHERE {where} ORDER BY id {order} LIMIT {limit:d} OFFSET {offset:d}"  # noqa: S608, E501
        async with self._db.transaction(isolation="repeatable_read", readonly=True) as connection:
            total = await connection.fetchval(counted, *given)
            rows = await connection.fetch(page, *given) if total else []
        return total, [(row["channel_id"], row["id"]) for row in rows]


def _where(query: Query) -> tuple[str, list[Any]]:
    """Only what is asked for, so that PostgreSQL can choose an index."""
    parts = ["channel_id = ANY($1::bigint[])", "id > $2", "id < $3", "NOT deleted"]
    given: list[Any] = [list(query.channels), query.after, query.before]
    if query.authors:
        given.append(list(query.authors))
        parts.append(f"author_id = ANY(${len(given)}::bigint[])")
    if query.words:
        given.append(query.words)
        parts.append(f"message_words(body) @@ websearch_to_tsquery('pg_catalog.simple', ${len(given)})")
    return " AND ".join(parts), given
