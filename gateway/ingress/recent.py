"""The newest messages of each channel in Redis, edits and deletions included, archived or not."""

from typing import Final, NamedTuple

from fanfare.constants import RECENT_CAP
from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.scripts import Script
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["PUT", "Seen", "all_of", "caches", "counts", "one_of", "put", "tokens"]

PUT: Final = Script("recent_put", after="begin_anew")


class Seen(NamedTuple):
    """What a message looks like at a place of the log."""

    channel: int
    id: int
    offset: int
    body: bytes
    """Its JSON; empty: it was deleted."""


def put(pipe: Pipeline, seen: Seen, *, new: bool = False) -> None:
    """Queue noting it, unless the cache knows something newer: of a new message, anything at all."""
    PUT.queue(pipe, caches(seen.channel), [seen.id, seen.offset, seen.body, RECENT_CAP, int(new)])


async def all_of(batch: RedisBatch, channel: int) -> dict[int, bytes]:
    """All that is cached of a channel, by id; empty: deleted. Raises RedisError."""

    def queue(pipe: Pipeline) -> None:
        _ = pipe.hgetall(keys.recent_bodies(channel))
        _ = pipe.mget(tokens(channel))

    found, (ready, under) = await batch.run(queue)
    return {int(ident): _body(value) for ident, value in found.items()} if counts(ready, under) else {}


async def one_of(batch: RedisBatch, channel: int, message: int) -> bytes | None:
    """A cached message, empty if it was deleted, None if it is not cached. Raises RedisError."""

    def queue(pipe: Pipeline) -> None:
        _ = pipe.hget(keys.recent_bodies(channel), str(message))
        _ = pipe.mget(tokens(channel))

    found, (ready, under) = await batch.run(queue)
    return _body(found) if found is not None and counts(ready, under) else None


def caches(channel: int) -> list[str]:
    """The keys of the scripts that note something of a channel."""
    cached = [keys.recent(channel), keys.recent_bodies(channel), keys.reactions(channel)]
    return [*cached, keys.cached_under(channel), keys.nonces_ready()]


def tokens(channel: int) -> list[str]:
    """What tells whether the caches of a channel count: the present loss token, and theirs."""
    return [keys.nonces_ready(), keys.cached_under(channel)]


def counts(ready: bytes | None, under: bytes | None) -> bool:
    """Whether caches count that were begun under a loss token: Redis may have come back with what it held before.

    A message that was deleted since would be there again. Caches of a version before this one say nothing of it.
    """
    return under is None or under == ready


def _body(value: bytes) -> bytes:
    return value.partition(b":")[2]
