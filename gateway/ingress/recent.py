"""The newest messages of each channel in Redis, edits and deletions included, archived or not."""

from typing import Final, NamedTuple

from fanfare.constants import RECENT_CAP
from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.scripts import Script
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["PUT", "Seen", "all_of", "one_of", "put"]

PUT: Final = Script("recent_put")


class Seen(NamedTuple):
    """What a message looks like at a place of the log."""

    channel: int
    id: int
    offset: int
    body: bytes
    """Its JSON; empty: it was deleted."""


def put(pipe: Pipeline, seen: Seen, *, new: bool = False) -> None:
    """Queue noting it, unless the cache knows something newer: of a new message, anything at all."""
    cache = [keys.recent(seen.channel), keys.recent_bodies(seen.channel)]
    PUT.queue(pipe, cache, [seen.id, seen.offset, seen.body, RECENT_CAP, int(new)])


async def all_of(batch: RedisBatch, channel: int) -> dict[int, bytes]:
    """All that is cached of a channel, by id; empty: deleted. Raises RedisError."""
    found = (await batch.run(lambda pipe: _ignore(pipe.hgetall(keys.recent_bodies(channel)))))[0]
    return {int(ident): _body(value) for ident, value in found.items()}


async def one_of(batch: RedisBatch, channel: int, message: int) -> bytes | None:
    """A cached message, empty if it was deleted, None if it is not cached. Raises RedisError."""
    key = keys.recent_bodies(channel)
    found = (await batch.run(lambda pipe: _ignore(pipe.hget(key, str(message)))))[0]
    return None if found is None else _body(found)


def _body(value: bytes) -> bytes:
    return value.partition(b":")[2]


def _ignore(_: object) -> None:
    """A pipeline's methods answer later."""
