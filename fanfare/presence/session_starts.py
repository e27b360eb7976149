"""How many sessions a bot has begun lately: in 24 hours, and at one time.

Source: Discord's gateway documentation, "Session Start Limit Object": clients ask GET /gateway/bot for it.
"""

from typing import Any, Final, NamedTuple

from fanfare.presence import keys
from fanfare.presence.client import Redis

__all__ = ["AT_ONCE", "DAY_S", "Left", "left", "take"]

DAY_S: Final = 86_400
AT_ONCE: Final = 16
"""Sessions that may begin within WINDOW_S (`max_concurrency`)."""
WINDOW_S: Final = 5


class Left(NamedTuple):
    """What a bot has left."""

    remaining: int
    reset_after_ms: int
    at_once: bool = True
    """Whether one may begin now, and not only later."""


async def take(redis: Redis, user: int, most: int) -> Left:
    """Count a session that is about to begin; `remaining` is negative if it is one too many. Raises RedisError."""
    day, now = keys.session_starts(user), keys.session_starts_now(user)
    async with redis.pipeline(transaction=False) as pipe:
        for key, seconds in ((day, DAY_S), (now, WINDOW_S)):
            _ = pipe.set(key, "0", nx=True, ex=seconds)
            _ = pipe.incr(key)
        _ = pipe.pttl(day)
        _, count, _, together, ends = await pipe.execute()
    return Left(most - count, ends, together <= AT_ONCE)


async def left(redis: Redis, user: int, most: int) -> Left:
    """What is left, counting nothing. Raises RedisError."""
    day = keys.session_starts(user)
    async with redis.pipeline(transaction=False) as pipe:
        _ = pipe.get(day)
        _ = pipe.pttl(day)
        count, ends = await pipe.execute()
    begun: Any = int(count or 0)
    return Left(max(most - begun, 0), max(ends, 0) if begun else DAY_S * 1000)
