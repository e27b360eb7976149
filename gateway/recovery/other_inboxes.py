"""Inboxes of other nodes that are being read, one reader for all the sessions that come from one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fanfare.presence import inboxes
from fanfare.presence.client import Redis
from fanfare.presence.inboxes import InboxEntry
from gateway.recovery.crossing import LastS
from gateway.recovery.path import Fence
from gateway.recovery.tail import OldestS, ReadBetween, ReadOn, Seen, read_to, read_until
from gateway.recovery.wishes import Wish, fulfil, nothing_at_once

__all__ = ["Tail", "Tails", "read_all"]

_PAGE = 5000
_BLOCK_MS = 100
# Tails that wait at one time: so many connections to Redis does a node make for them.
_AT_ONCE = 32


async def read_all(redis: Redis, inbox: str, first: int, last: int | None) -> list[InboxEntry]:
    """All entries from `s` = first on, up to last."""
    found: list[InboxEntry] = []
    while True:
        page = await inboxes.read_between(redis, inbox, first, last, count=_PAGE)
        if found and await inboxes.oldest_s(redis, inbox) > found[-1].s:
            raise inboxes.InboxGoneError(inbox)  # trimmed between two pages
        found += page
        if len(page) < _PAGE:
            return found
        first = page[-1].s + 1


class Tail:
    """What was read of one inbox so far."""

    def __init__(
        self, redis: Redis, waiting: Redis, inbox: str, first: int, turns: asyncio.Semaphore | None = None
    ) -> None:
        """Prepare.

        Args:
            redis: for what is answered at once.
            waiting: the client that may wait for entries.
            inbox: which.
            first: the lowest `s` wanted so far.
            turns: how many tails may wait at one time.

        """
        self._redis = redis
        self._waiting = waiting
        self._turns = turns or asyncio.Semaphore()
        self._seen = Seen(inbox, first)
        self._lock = asyncio.Lock()

    async def until(self, first: int, f: Fence) -> None:
        """Read from `s` = first until the fence `f` has shown up in every partition.

        Raises:
            InboxGoneError: there is no such inbox (any more).

        """
        async with self._lock:
            await fulfil(read_until(self._seen, first, f), nothing_at_once, self._answer)

    async def upto(self, s: int) -> None:
        """Read to an `s` that the inbox has.

        Raises:
            InboxGoneError: there is no such inbox (any more).

        """
        async with self._lock:
            await fulfil(read_to(self._seen, s), nothing_at_once, self._answer)

    def entries(self, first: int, last: int) -> list[InboxEntry]:
        """The entries read, from `s` = first to last; of fences only one that is the first of all."""
        return self._seen.between(first, last)

    async def _answer(self, wish: Wish[Any]) -> Any:
        match wish:
            case ReadOn(inbox, after):
                async with self._turns:
                    page = await inboxes.read(self._waiting, inbox, after, count=_PAGE, block_ms=_BLOCK_MS)
                if not page:
                    # The connection may lead to a server that was the primary once, and gets nothing more.
                    await self._waiting.connection_pool.disconnect(inuse_connections=False)
                return page
            case ReadBetween(inbox, first, last):
                return await read_all(self._redis, inbox, first, last)
            case OldestS(inbox):
                return await inboxes.oldest_s(self._redis, inbox)
            case LastS(inbox):
                return await inboxes.last_s(self._redis, inbox)
            case _:
                raise NotImplementedError(wish)


class Tails:
    """The tails of inboxes that sessions come from; kept until none comes from any."""

    def __init__(self, redis: Redis, waiting: Redis) -> None:
        """Args: waiting: a client with connections of its own: nobody else's command waits behind a tail."""
        self._redis = redis
        self._waiting = waiting
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tails: dict[str, Tail] = {}
        self._users = 0

    @contextmanager
    def of(self, inbox: str, first: int) -> Iterator[Tail]:
        """The tail of an inbox, for one session."""
        tail = self._tails.get(inbox)
        if tail is None:
            tail = self._tails[inbox] = Tail(self._redis, self._waiting, inbox, first, self._turns)
        self._users += 1
        try:
            yield tail
        finally:
            self._users -= 1
            if not self._users:
                self._tails.clear()
