"""Waiting until a change to a guild has come to everybody concerned, and to this node."""

import asyncio
from typing import Any, Final

from fanfare.presence.barrier import barrier
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.store import Change
from gateway.ingress.errors import ApiError
from gateway.ingress.interfaces import Guilds

__all__ = ["Applied"]

_BARRIER_S: Final = 4.0
# How long this node may take to read a change that stands in its inbox.
_APPLY_S: Final = 1.0
_APPLY_POLL_S: Final = 0.005


class Applied:
    """Waits for changes."""

    def __init__(self, redis: Redis, guilds: Guilds) -> None:
        """Args: redis: where the notifier notes what it has delivered; guilds: what this node knows."""
        self._redis = redis
        self._guilds = guilds

    async def here(self, change: Change[Any]) -> None:
        """Wait until a change stands in every inbox concerned (docs/design.md, section 6), and is known here.

        Raises:
            ApiError: 504, not in time; it is stored and will be delivered.

        """
        await self.everywhere(change)
        loop = asyncio.get_running_loop()
        until = loop.time() + _APPLY_S
        # So that the next request to this node already sees the change.
        while (await self._guilds.get(change.guild_id)).version < change.version:
            if loop.time() > until:
                return
            await asyncio.sleep(_APPLY_POLL_S)

    async def everywhere(self, change: Change[Any]) -> None:
        """The same for a guild that is gone. Raises as `here`."""
        try:
            await barrier(self._redis, change.guild_id, change.version, _BARRIER_S)
        except (TimeoutError, RedisError) as error:
            said = "504: Gateway Timeout (the change is stored and will be delivered)"
            raise ApiError(504, 0, said) from error
