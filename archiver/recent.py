"""Trims the recent-messages caches: what stands in the database is kept there only while it is new."""

import asyncio
from collections.abc import Iterable
from typing import Final

from fanfare.constants import RECENT_KEPT
from fanfare.presence import keys
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.scripts import Script
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["Trimmer"]

_EVERY_S: Final = 1.0
# The most channels that wait to be trimmed; further ones are trimmed after their next message.
_CHANNELS: Final = 100_000

_TRIM: Final = Script("trim_recent")


class Trimmer:
    """Remembers the channels that were written to, and trims them about once a second. Best effort."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._due: dict[int, int] = {}
        self._log = logs.get("trimmer")

    def archived(self, channels: Iterable[int], offset: int) -> None:
        """Take note that the database has these channels up to this offset of their partition."""
        for channel in channels:
            if channel in self._due or len(self._due) < _CHANNELS:
                self._due[channel] = offset

    async def run(self) -> None:
        """Trim for ever."""
        away = False
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.trim()
            except (RedisError, OSError) as error:
                if not away:
                    self._log.warning("caches are not trimmed", action=Action.REDIS_AWAY, error=repr(error))
                away = True
            else:
                away = False

    async def trim(self) -> None:
        """Trim what is due. Raises RedisError; then the rest stays due."""
        while self._due:
            channel, offset = next(iter(self._due.items()))
            names = [keys.recent(channel), keys.recent_bodies(channel), keys.reactions(channel)]
            await _TRIM.run(self._redis, names, [RECENT_KEPT, offset])
            if self._due.get(channel) == offset:
                del self._due[channel]
