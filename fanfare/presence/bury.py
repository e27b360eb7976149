"""Orders of an operator to set a record aside at which a partition is held."""

from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fanfare.presence import keys
from fanfare.record import Position

__all__ = ["order", "told_by"]

# An order lapses after this: a record that holds its partition after a day needs a new one.
_KEPT_S: Final = 86_400


async def order(redis: Redis, group: str, position: Position) -> None:
    """Order a group to set the record at a position aside, if it is held at it. Raises RedisError."""
    await redis.set(keys.bury(group, str(position)), "1", ex=_KEPT_S)


def told_by(redis: Redis) -> Callable[[str, Position], Awaitable[bool]]:
    """What a consumer asks while a record holds its partition; no while Redis is away."""

    async def told(group: str, position: Position) -> bool:
        try:
            return bool(await redis.get(keys.bury(group, str(position))))
        except (RedisError, OSError):
            return False

    return told
