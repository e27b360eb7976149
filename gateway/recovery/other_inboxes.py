"""Inboxes of other nodes that are being read, one reader for all the sessions that come from one."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager

from fanfare.presence import inboxes
from fanfare.presence.client import Redis
from fanfare.presence.inboxes import InboxEntry
from gateway.recovery.path import Fence

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
        self._inbox = inbox
        self._first = first
        self._last = first - 1
        self._entries: list[InboxEntry] = []
        self._unfenced: list[InboxEntry] = []
        """Those that are no fences: when thousands of sessions move, most are."""
        self._high: Fence = {}
        self._lock = asyncio.Lock()

    async def until(self, first: int, f: Fence) -> None:
        """Read from `s` = first until the fence `f` has shown up in every partition.

        Raises:
            InboxGoneError: there is no such inbox (any more).

        """
        async with self._lock:
            if first < self._first:
                earlier = await read_all(self._redis, self._inbox, first, self._first - 1)
                self._entries[:0] = earlier
                self._unfenced[:0] = filter(_no_fence, earlier)
                self._first = first
            while any(self._high.get(name, -1) < offset for name, offset in f.items()):
                await self._read()

    async def upto(self, s: int) -> None:
        """Read to an `s` that the inbox has.

        Raises:
            InboxGoneError: there is no such inbox (any more).

        """
        async with self._lock:
            while self._last < s:
                await self._read()

    async def _read(self) -> None:
        async with self._turns:
            page = await inboxes.read(self._waiting, self._inbox, self._last, count=_PAGE, block_ms=_BLOCK_MS)
        if not page:
            # The connection may lead to a server that was the primary once, and gets nothing more.
            await self._waiting.connection_pool.disconnect(inuse_connections=False)
            await inboxes.last_s(self._redis, self._inbox)
            return
        if self._entries and await inboxes.oldest_s(self._redis, self._inbox) > self._last:
            raise inboxes.InboxGoneError(self._inbox)  # trimmed between two pages
        self._last = page[-1].s
        self._entries += page
        self._unfenced += filter(_no_fence, page)
        for entry in page:
            if entry.record is not None:
                topic, partition, offset = entry.record.position
                self._high[f"{topic}/{partition}"] = offset

    def entries(self, first: int, last: int) -> list[InboxEntry]:
        """The entries read, from `s` = first to last; of fences only one that is the first of all."""
        found = _between(self._unfenced, first, last)
        oldest = bisect_left(self._entries, first, key=_s)
        if oldest < len(self._entries) and self._entries[oldest].s <= last:
            entry = self._entries[oldest]
            if not _no_fence(entry):
                found.insert(0, entry)
        return found


def _s(entry: InboxEntry) -> int:
    return entry.s


def _no_fence(entry: InboxEntry) -> bool:
    return entry.record is None or not entry.record.fence


def _between(entries: list[InboxEntry], first: int, last: int) -> list[InboxEntry]:
    return entries[bisect_left(entries, first, key=_s) : bisect_right(entries, last, key=_s)]


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
