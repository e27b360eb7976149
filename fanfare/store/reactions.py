"""Reactions, as the archiver has written them. Newer ones may only be in Redis."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from fanfare.store.database import Database

__all__ = ["Apart", "Counted", "Reactions"]


class Apart(NamedTuple):
    """Rows that are not to be looked at, because something newer is known of them."""

    message_id: int
    emoji: str
    """Empty: all."""
    user_id: int
    """0: all, as far as they are not newer than `version`."""
    version: int


class Counted(NamedTuple):
    """One emoji among the reactions to a message."""

    message_id: int
    emoji: str
    number: int
    me: bool
    first: int
    """Place in the log of the oldest of them: it orders the emojis."""
    mine: int
    """Place in the log of what is known of the asker, there or not; -1: nothing."""


_APART: Final = """
NOT EXISTS (
    SELECT FROM unnest({}::bigint[], {}::text[], {}::bigint[], {}::bigint[]) AS a(message_id, emoji, user_id, version)
    WHERE a.message_id = r.message_id AND a.emoji IN ('', r.emoji)
    AND (a.user_id = r.user_id OR a.user_id = 0 AND r.version <= a.version)
)
"""
_COUNT: Final = f"""
SELECT message_id, emoji, count(*) FILTER (WHERE present), coalesce(bool_or(present AND user_id = $3), false),
coalesce(min(version) FILTER (WHERE present), 0), coalesce(max(version) FILTER (WHERE user_id = $3), -1)
FROM reactions r WHERE channel_id = $1 AND message_id = ANY($2::bigint[]) AND {_APART.format("$4", "$5", "$6", "$7")}
GROUP BY message_id, emoji
"""  # noqa: S608 (constant)
_USERS: Final = f"""
SELECT user_id FROM reactions r WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 AND present
AND user_id > $4 AND {_APART.format("$6", "$7", "$8", "$9")} ORDER BY user_id LIMIT $5
"""  # noqa: S608 (constant)


class Reactions:
    """The part of the store that reads reactions."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def reactions(
        self, channel_id: int, message_ids: Sequence[int], me: int, apart: Sequence[Apart] = ()
    ) -> list[Counted]:
        """The reactions to messages, counted; what was taken away counts 0.

        Args:
            channel_id: where the messages are.
            message_ids: which.
            me: who asks.
            apart: the rows that do not count.

        """
        rows = await self._db.fetch(_COUNT, channel_id, list(message_ids), me, *_columns(apart))
        return [Counted(*row) for row in rows]

    async def reacted(
        self,
        channel_id: int,
        message_id: int,
        emoji: str,
        *,
        after: int,
        limit: int,
        apart: Sequence[Apart] = (),
    ) -> list[int]:
        """The ids above `after` of those who reacted with an emoji, the lowest ones."""
        rows = await self._db.fetch(_USERS, channel_id, message_id, emoji, after, limit, *_columns(apart))
        return [row["user_id"] for row in rows]


def _columns(apart: Sequence[Apart]) -> list[list[object]]:
    return [[row[at] for row in apart] for at in range(4)]
