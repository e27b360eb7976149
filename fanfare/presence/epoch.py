"""The epoch: a word in Redis that is missing or another one after Redis was emptied.

It says when it was set, by the Redis server's clock. While the epoch is younger than a node's lease, nodes may not have
registered again yet.
"""

import secrets
from typing import Any

from redis.asyncio import Redis

from fanfare.presence import keys

__all__ = ["ensure", "set_at_ms"]


async def ensure(redis: Redis) -> None:
    """Set the epoch if there is none."""
    seconds, microseconds = await _time(redis)
    now_ms = seconds * 1000 + microseconds // 1000
    await redis.set(keys.epoch(), f"{now_ms}.{secrets.token_hex(8)}", nx=True)


def set_at_ms(epoch: bytes) -> int:
    """When it was set, ms since 1970 by the Redis server's clock; 0 if it does not say."""
    stamp, _, _ = epoch.partition(b".")
    return int(stamp) if stamp.isdigit() else 0


async def _time(redis: Redis) -> tuple[int, int]:
    answer: Any = await redis.time()
    return int(answer[0]), int(answer[1])
