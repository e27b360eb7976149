"""Reads the reactions to messages, and notes new ones in Redis until the archiver has them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.errors import RedisError
from fanfare.presence.scripts import Script
from fanfare.store.errors import StoreUnavailableError
from gateway.ingress.errors import RefusedError
from gateway.ingress.interfaces import Reactions
from gateway.ingress.reaction_state import Kind, Newest, field_of, kinds
from gateway.ingress.recent import caches, counts, tokens
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["PUT", "Mine", "Seen", "put"]

PUT: Final = Script("reaction_put", after="begin_anew")
# Of a channel, for the second until they are archived. While the archiver is away, further ones are seen later.
_CAP: Final = 5_000
# As long as chat.events keeps them for the archiver.
_TTL_MS: Final = 7 * 86_400_000

_encode = msgspec.json.Encoder().encode


class _Message(msgspec.Struct):
    id: int


_message = msgspec.json.Decoder(_Message, strict=False)


class Mine(NamedTuple):
    """A user's emoji on a message, among the others that are there."""

    present: bool
    place: int
    """Where in the log the newest stands that is known of it; -1: nothing is."""
    kinds: list[Kind]


class Seen:
    """The reactions as they are now."""

    def __init__(self, store: Reactions, batch: RedisBatch) -> None:
        """Args: store: the database; batch: Redis."""
        self._store = store
        self._batch = batch

    async def mine(self, channel: int, message: int, emoji: str, user: int) -> Mine:
        """A user's emoji on a message. Raises: RefusedError, StoreUnavailableError."""
        newest = await self._newest(channel, [message])
        stored = await self._store.reactions(channel, [message], user, newest.apart())
        found = kinds(newest, stored, user).get(message, [])
        old = [row.mine for row in stored if row.emoji == emoji]
        present = any(kind.me for kind in found if kind.emoji == emoji)
        return Mine(present, max(newest.place(message, emoji, user), *old, -1), found)

    async def users(self, channel: int, message: int, emoji: str, *, after: int, limit: int) -> list[int]:
        """The ids above `after` of those who reacted with an emoji, the lowest ones. Raises as `mine`."""
        newest = await self._newest(channel, [message])
        new = [user for _, one, user, _ in newest.present() if one == emoji and user > after]
        stored = await self._store.reacted(
            channel, message, emoji, after=after, limit=limit, apart=newest.apart()
        )
        return sorted({*new, *stored})[:limit]

    async def attach(
        self, channel: int, page: Sequence[bytes], user: int, *, certain: bool = True
    ) -> list[bytes]:
        """Messages, with the reactions to them as somebody sees them.

        Args:
            channel: where they are.
            page: their JSON.
            user: who asks.
            certain: False: if the database is away, the messages come without reactions.

        Raises:
            RefusedError: Redis is away.
            StoreUnavailableError: the database is away.

        """
        if not page:
            return []
        ids = [_message.decode(body).id for body in page]
        newest = await self._newest(channel, ids)
        try:
            found = kinds(newest, await self._store.reactions(channel, ids, user, newest.apart()), user)
        except StoreUnavailableError:
            if certain:
                raise
            return list(page)
        return [_with(body, found.get(ident)) for ident, body in zip(ids, page, strict=True)]

    async def _newest(self, channel: int, messages: Sequence[int]) -> Newest:
        def queue(pipe: Pipeline) -> None:
            _ = pipe.hgetall(keys.reactions(channel))
            _ = pipe.mget(tokens(channel))

        try:
            found, (ready, under) = await self._batch.run(queue)
        except RedisError as error:
            raise RefusedError("Redis is away") from error
        return Newest.read(found if counts(ready, under) else {}, messages)


def put(
    pipe: Pipeline, channel: int, message: int, user: int, emoji: str, *, present: bool, offset: int
) -> None:
    """Queue noting a reaction, unless something newer is known."""
    name = field_of(message, user, emoji)
    PUT.queue(pipe, caches(channel), [name, offset, int(present), _CAP, _TTL_MS])


def _with(body: bytes, reactions: list[Kind] | None) -> bytes:
    if not reactions:
        return body
    return body[:-1] + b',"reactions":' + _encode([kind.json() for kind in reactions]) + b"}"
