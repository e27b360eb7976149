"""The guild barrier (docs/design.md, section 6): wait until a change stands in every inbox concerned."""

import asyncio
from typing import Final

from redis.asyncio import Redis

from fanfare.presence import keys

__all__ = ["barrier"]

# The event passes outbox, Kafka, fan-out, Kafka and notifier: some 10 ms on an idle machine.
_FIRST_S: Final = 0.005
_LONGEST_S: Final = 0.05


async def barrier(redis: Redis, guild_id: int, version: int, timeout_s: float) -> None:
    """Return once the guild's event of this version, and all before it, stand in every inbox concerned.

    Args:
        redis: where the notifier notes it.
        guild_id: which guild.
        version: as the change returned it.
        timeout_s: how long to wait.

    Raises:
        TimeoutError: they do not within that time; the change is stored all the same, and will be delivered.
        redis.RedisError: Redis is away.

    """
    key = keys.applied(guild_id)
    pause_s = _FIRST_S
    async with asyncio.timeout(timeout_s):
        while int(await redis.get(key) or 0) < version:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_S)
