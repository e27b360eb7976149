"""Where sessions have moved to, in Redis: only for those that have changed their inbox."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fanfare.constants import MOVED_TTL_S
from fanfare.presence import keys
from fanfare.presence.client import TRIP, TRIP_S, Redis
from fanfare.presence.scripts import Script
from fanfare.tasks import Gathered
from gateway.recovery.path import Hop, Moved

__all__ = ["Moves", "MovesGoneError", "rewrite", "unkept"]

_MOVE: Final = Script("move")
_AFTER_LOSS: Final = Script("move_after_loss")
_UNKEPT: Final = Script("unkept")
_TTL_MS: Final = int(MOVED_TTL_S * 1000)
_hops = msgspec.json.Decoder(list[Hop])


class MovesGoneError(Exception):
    """A session has moved, and where to is gone from Redis."""


class _Write(NamedTuple):
    session: str
    expected: int
    moved: Moved


class Moves:
    """Reads and writes them; those of many resumes share round trips."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads: Gathered[str, tuple[bytes | None, bytes | None]] = Gathered(self._read, TRIP)
        self._writes: Gathered[_Write, int] = Gathered(self._write, TRIP)

    async def read(self, session: str, known: int) -> Moved | None:
        """A session's moves, None if there are none.

        Args:
            session: its key.
            known: the version that this node knows, 0 for none.

        Raises:
            MovesGoneError: it has moved further than what is there says, and than this node knows.
            RedisError, TimeoutError: Redis is away.

        """
        value, count = await self._reads.of(session)
        moved = None
        if value is not None:
            version, hops = value.split(b" ", 1)
            moved = Moved(int(version), _hops.decode(hops))
        if int(count or 0) > max(known, moved.version if moved is not None else 0):
            raise MovesGoneError(session)
        return moved

    async def write(self, session: str, expected: int, moved: Moved) -> bool:
        """Write a session's moves over version `expected`; False if somebody else was faster. Raises as `read`."""
        return bool(await self._writes.of(_Write(session, expected, moved)))

    async def _read(self, sessions: list[str]) -> list[Any]:
        async with asyncio.timeout(TRIP_S):
            found = await self._redis.mget(_names(sessions))
        return list(zip(found[::2], found[1::2], strict=True))

    async def _write(self, writes: list[_Write]) -> list[int]:
        args: list[Any] = [_TTL_MS]
        for write in writes:
            args += (write.expected, write.moved.version, _pack(write.moved))
        async with asyncio.timeout(TRIP_S):
            written: list[int] = await _MOVE.run(self._redis, _names(one.session for one in writes), args)
        return written


async def rewrite(redis: Redis, sessions: Sequence[tuple[str, int, Moved]]) -> list[bool]:
    """Write moves of sessions as this node knows them.

    Args:
        redis: the primary.
        sessions: each with the version that this node knows, and its new moves.

    Returns:
        For each whether it was written; it is not where Redis knows a newer version: the session lives elsewhere.

    """
    await _AFTER_LOSS.load(redis)
    async with redis.pipeline(transaction=False) as pipe:
        for session, known, moved in sessions:
            _AFTER_LOSS.queue(pipe, _names([session]), [known, moved.version, _pack(moved), _TTL_MS])
        return [bool(answer) for answer in await pipe.execute()]


async def unkept(redis: Redis, sessions: Sequence[tuple[str, int]]) -> list[int]:
    """The places of sessions whose moves are to be written again.

    They are gone, or of an older version than the one given, or a third of their time is over.
    """
    if not sessions:
        return []
    args = [_TTL_MS * 2 // 3, *(version for _, version in sessions)]
    places: Any = await _UNKEPT.run(redis, _names(session for session, _ in sessions), args)
    return [place - 1 for place in places]


def _names(sessions: Iterable[str]) -> list[str]:
    return [name for session in sessions for name in (keys.moved(session), keys.moves(session))]


def _pack(moved: Moved) -> bytes:
    return b"%d %b" % (moved.version, msgspec.json.encode(moved.hops))
