"""The newest messages of each channel in Redis, edits and deletions included, archived or not."""

from typing import Final, NamedTuple

from fanfare.constants import RECENT_CAP
from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.scripts import Script
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["PUT", "UNDER", "Seen", "all_of", "one_of", "put"]

PUT: Final = Script("recent_put")
UNDER: Final = b"under"
"""The field that says under which loss token a cache was begun. Under another one it counts as empty: Redis may have
come back with what it held before, and a message that was deleted since would be there again."""


class Seen(NamedTuple):
    """What a message looks like at a place of the log."""

    channel: int
    id: int
    offset: int
    body: bytes
    """Its JSON; empty: it was deleted."""


def put(pipe: Pipeline, seen: Seen, *, new: bool = False) -> None:
    """Queue noting it, unless the cache knows something newer: of a new message, anything at all."""
    cache = [keys.recent(seen.channel), keys.recent_bodies(seen.channel), keys.nonces_ready()]
    PUT.queue(pipe, cache, [seen.id, seen.offset, seen.body, RECENT_CAP, int(new)])


async def all_of(batch: RedisBatch, channel: int) -> dict[int, bytes]:
    """All that is cached of a channel, by id; empty: deleted. Raises RedisError."""

    def queue(pipe: Pipeline) -> None:
        _ = pipe.hgetall(keys.recent_bodies(channel))
        _ = pipe.get(keys.nonces_ready())

    found, ready = await batch.run(queue)
    under = found.pop(UNDER, None)
    return {int(ident): _body(value) for ident, value in found.items()} if under == (ready or b"") else {}


async def one_of(batch: RedisBatch, channel: int, message: int) -> bytes | None:
    """A cached message, empty if it was deleted, None if it is not cached. Raises RedisError."""

    def queue(pipe: Pipeline) -> None:
        _ = pipe.hmget(keys.recent_bodies(channel), [str(message), UNDER])
        _ = pipe.get(keys.nonces_ready())

    (found, under), ready = await batch.run(queue)
    return None if found is None or under != (ready or b"") else _body(found)


def _body(value: bytes) -> bytes:
    return value.partition(b":")[2]
