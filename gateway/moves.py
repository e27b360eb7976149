"""Where sessions have moved to, in Redis: only for those that have changed their inbox."""

from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from fanfare.constants import MOVED_TTL_S
from fanfare.presence import keys
from fanfare.presence.scripts import Script
from gateway.ingress.batch import RedisBatch
from gateway.resume import Hop, Moved

__all__ = ["batch", "read", "renew", "rewrite", "write"]

_MOVE: Final = Script("move")
_REHOP: Final = Script("rehop")
_TTL_MS: Final = int(MOVED_TTL_S * 1000)
_hops = msgspec.json.Decoder(list[Hop])


def batch(redis: Redis) -> RedisBatch:
    """For `read` and `write`: those of many resumes share round trips."""
    return RedisBatch(redis, [_MOVE])


async def read(redis: RedisBatch, session: str) -> Moved | None:
    """A session's moves, None if it never moved."""
    (value,) = await redis.run(lambda pipe: _get(pipe, session))
    if value is None:
        return None
    version, hops = value.split(b" ", 1)
    return Moved(int(version), _hops.decode(hops))


def _get(pipe: Pipeline, session: str) -> None:
    _ = pipe.get(keys.moved(session))


async def write(redis: RedisBatch, session: str, expected: int, moved: Moved) -> bool:
    """Write a session's moves over version `expected`; False if somebody else was faster."""
    args = [expected, _pack(moved), _TTL_MS]
    (written,) = await redis.run(lambda pipe: _MOVE.queue(pipe, [keys.moved(session)], args))
    return bool(written)


async def rewrite(redis: Redis, sessions: list[tuple[str, int, Moved]]) -> list[bool]:
    """Write moves of sessions whose inbox was lost.

    Args:
        redis: the primary.
        sessions: each with the version that this node knows, and its new moves.

    Returns:
        For each whether it was written; it is not where Redis knows a newer version: the session lives elsewhere.

    """
    await _REHOP.load(redis)
    async with redis.pipeline(transaction=False) as pipe:
        for session, known, moved in sessions:
            _REHOP.queue(pipe, [keys.moved(session)], [known, _pack(moved), _TTL_MS])
        return [bool(answer) for answer in await pipe.execute()]


async def renew(redis: Redis, sessions: list[str]) -> None:
    """Keep the moves of sessions that still live."""
    async with redis.pipeline(transaction=False) as pipe:
        for session in sessions:
            _ = pipe.pexpire(keys.moved(session), _TTL_MS)
        await pipe.execute()


def _pack(moved: Moved) -> bytes:
    return b"%d %b" % (moved.version, msgspec.json.encode(moved.hops))
