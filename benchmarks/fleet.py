"""Gateway nodes with nobody behind them: their leases, inboxes and registrations are real, and somebody reads them.

What the notifier and Redis do for a guild depends on nothing else, so twenty nodes with 200,000 people online fit on
one machine. Leases and inboxes are made, renewed and read as gateways do it (fanfare/presence).
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.rig import Rig
from benchmarks.stores import redis_of
from fanfare.constants import NODE_RENEW_S
from fanfare.presence import inboxes, keys
from fanfare.presence.loss_token import loss_token

__all__ = ["Fleet", "fleet"]

_PIPE: Final = 1_000
_READ: Final = 1_000
_BLOCK_MS: Final = 500


class Fleet:
    """Nodes that only read."""

    def __init__(self, redis: Redis, reader: Redis, count: int) -> None:
        self._redis = redis
        self._reader = reader
        self._nodes = [f"bench{secrets.token_hex(4)}" for _ in range(count)]
        self._last = {keys.inbox(name): "0" for name in self.inboxes}
        self.entries = dict.fromkeys(self._last, 0)
        """Per inbox, the records read."""
        self.bytes = 0
        """Of all records read, in all inboxes."""
        self.newest_s = 0.0
        """When the latest one was read, by the monotonic clock."""

    @property
    def inboxes(self) -> list[str]:
        """The names of the inboxes."""
        return [f"{node}.1" for node in self._nodes]

    async def make(self) -> None:
        """Make the inboxes and leases."""
        token = await loss_token(self._redis)
        for node, name in zip(self._nodes, self.inboxes, strict=True):
            await inboxes.create(self._redis, node, name, floor=0, token=token, is_open=True)

    async def register(self, guild: int, users: Iterable[int], nodes: int | None = None) -> None:
        """Put a guild on the first so many nodes (default, all), and users in turn on one of all."""
        pipe: Any = self._redis.pipeline(transaction=False)
        for name in self.inboxes[:nodes]:
            pipe.hset(keys.guild_nodes(guild), name, "1")
        for at, user in enumerate(users):
            name = self.inboxes[at % len(self.inboxes)]
            pipe.hset(keys.user_sessions(user), f"{user:x}@{name}", "online")
            if len(pipe) >= _PIPE:
                await pipe.execute()
        await pipe.execute()

    async def renew(self) -> None:
        """Keep leases and inboxes alive; until cancelled."""
        while True:
            for node, name in zip(self._nodes, self.inboxes, strict=True):
                await inboxes.renew(self._redis, node, name)
            await asyncio.sleep(NODE_RENEW_S)

    async def read(self) -> None:
        """Read all inboxes; until cancelled."""
        while True:
            streams: Any = self._last
            answer: Any = await self._reader.xread(streams, count=_READ, block=_BLOCK_MS)
            rows = answer.items() if isinstance(answer, dict) else answer or ()
            for key, found in rows:
                name = key.decode()
                entries = found[0] if isinstance(answer, dict) else found
                for ident, fields in entries:
                    self._last[name] = ident.decode()
                    if (packed := fields.get(b"e")) is not None:
                        self.entries[name] += 1
                        self.bytes += len(packed)
                        self.newest_s = time.monotonic()

    def least(self) -> int:
        """How many records the inbox that is most behind has had."""
        return min(self.entries.values())


@asynccontextmanager
async def fleet(system: Rig, count: int) -> AsyncIterator[Fleet]:
    """So many nodes."""
    settings = system.settings()
    # The reader is patient: what else runs here may keep the loop for seconds.
    async with (
        redis_of(settings) as redis,
        Redis.from_url(settings.redis.get_secret_value()) as reader,
    ):
        found = Fleet(redis, reader, count)
        await found.make()
        tasks = [asyncio.create_task(found.renew()), asyncio.create_task(found.read())]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
