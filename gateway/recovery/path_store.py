"""Where sessions have moved to, in Redis: only for those that have changed their inbox."""

import asyncio
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis

from fanfare.constants import MOVED_TTL_S
from fanfare.presence import keys
from fanfare.presence.client import TRIP, TRIP_S
from fanfare.presence.scripts import Script
from fanfare.tasks import Gathered
from gateway.recovery.path import Hop, Moved

__all__ = ["Moves", "renew", "rewrite"]

_MOVE: Final = Script("move")
_AFTER_LOSS: Final = Script("move_after_loss")
_TTL_MS: Final = int(MOVED_TTL_S * 1000)
_hops = msgspec.json.Decoder(list[Hop])


class _Write(NamedTuple):
    session: str
    expected: int
    moved: Moved


class Moves:
    """Reads and writes them; those of many resumes share round trips."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads: Gathered[str, bytes | None] = Gathered(self._read, TRIP)
        self._writes: Gathered[_Write, int] = Gathered(self._write, TRIP)

    async def read(self, session: str) -> Moved | None:
        """A session's moves, None if it never moved. Raises: RedisError, TimeoutError: Redis is away."""
        value = await self._reads.of(session)
        if value is None:
            return None
        version, hops = value.split(b" ", 1)
        return Moved(int(version), _hops.decode(hops))

    async def write(self, session: str, expected: int, moved: Moved) -> bool:
        """Write a session's moves over version `expected`; False if somebody else was faster. Raises as `read`."""
        return bool(await self._writes.of(_Write(session, expected, moved)))

    async def _read(self, sessions: list[str]) -> list[Any]:
        async with asyncio.timeout(TRIP_S):
            return list(await self._redis.mget([keys.moved(session) for session in sessions]))

    async def _write(self, writes: list[_Write]) -> list[int]:
        args: list[Any] = [_TTL_MS]
        for write in writes:
            args += (write.expected, _pack(write.moved))
        async with asyncio.timeout(TRIP_S):
            written: list[int] = await _MOVE.run(
                self._redis, [keys.moved(one.session) for one in writes], args
            )
        return written


async def rewrite(redis: Redis, sessions: list[tuple[str, int, Moved]]) -> list[bool]:
    """Write moves of sessions whose inbox was lost.

    Args:
        redis: the primary.
        sessions: each with the version that this node knows, and its new moves.

    Returns:
        For each whether it was written; it is not where Redis knows a newer version: the session lives elsewhere.

    """
    await _AFTER_LOSS.load(redis)
    async with redis.pipeline(transaction=False) as pipe:
        for session, known, moved in sessions:
            _AFTER_LOSS.queue(pipe, [keys.moved(session)], [known, _pack(moved), _TTL_MS])
        return [bool(answer) for answer in await pipe.execute()]


async def renew(redis: Redis, sessions: list[str]) -> None:
    """Keep the moves of sessions that still live."""
    async with redis.pipeline(transaction=False) as pipe:
        for session in sessions:
            _ = pipe.pexpire(keys.moved(session), _TTL_MS)
        await pipe.execute()


def _pack(moved: Moved) -> bytes:
    return b"%d %b" % (moved.version, msgspec.json.encode(moved.hops))
