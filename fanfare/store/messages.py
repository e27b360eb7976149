"""Messages, as the archiver has written them. Newer ones may only be in the recent-messages cache."""

from typing import Final

from fanfare.store.database import Database

__all__ = ["Messages"]

_PAGE: Final = "SELECT id, body FROM messages WHERE channel_id = $1 AND NOT deleted "


# As in the index of migration 0009. In a text the quotes are escaped, so it is a key.
_PINNED: Final = "position('\"pinned\":true'::bytea in body) > 0"


class Messages:
    """The part of the store that reads messages. Deleted ones are not there."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def message(self, channel_id: int, message_id: int) -> bytes | None:
        """The JSON of one message."""
        body: bytes | None = await self._db.value(
            "SELECT body FROM messages WHERE channel_id = $1 AND id = $2 AND NOT deleted",
            channel_id,
            message_id,
        )
        return body

    async def maybe_pinned(self, channel_id: int, limit: int) -> list[tuple[int, bytes]]:
        """The messages of a channel that are pinned, and some that refer to one that is."""
        rows = await self._db.fetch(_PAGE + f"AND {_PINNED} ORDER BY id DESC LIMIT $2", channel_id, limit)
        return [(row["id"], row["body"]) for row in rows]

    async def written_by(
        self, channels: list[int], author_id: int, since: int, limit: int
    ) -> list[tuple[int, int]]:
        """Archived messages of somebody, from an id on: channel and id."""
        rows = await self._db.fetch(
            "SELECT channel_id, id FROM messages WHERE channel_id = ANY($1::bigint[]) AND author_id = $2 "
            "AND id >= $3 AND NOT deleted ORDER BY channel_id, id LIMIT $4",
            channels,
            author_id,
            since,
            limit,
        )
        return [(row["channel_id"], row["id"]) for row in rows]

    async def messages(
        self,
        channel_id: int,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int,
    ) -> list[tuple[int, bytes]]:
        """A page of a channel's messages as (id, JSON), newest first whatever was asked for.

        Args:
            channel_id: of which channel.
            before: the newest ones below this id.
            after: the oldest ones above this id.
            around: this id and about limit/2 on each side of it.
            limit: not more than this many.

        """
        if around is not None:
            upper = await self.messages(channel_id, after=around - 1, limit=limit // 2 + 1)
            lower = await self.messages(channel_id, before=around, limit=limit - len(upper))
            return upper + lower
        if after is not None:
            rows = await self._db.fetch(_PAGE + "AND id > $2 ORDER BY id LIMIT $3", channel_id, after, limit)
            rows.reverse()
        elif before is not None:
            rows = await self._db.fetch(
                _PAGE + "AND id < $2 ORDER BY id DESC LIMIT $3", channel_id, before, limit
            )
        else:
            rows = await self._db.fetch(_PAGE + "ORDER BY id DESC LIMIT $2", channel_id, limit)
        return [(row["id"], row["body"]) for row in rows]
