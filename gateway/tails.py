"""Inboxes of other nodes that are being read, one reader for all the sessions that come from one."""

import asyncio
from bisect import bisect_left, bisect_right

from redis.asyncio import Redis

from fanfare.presence import inboxes
from fanfare.presence.inboxes import InboxEntry
from gateway.resume import Fence

__all__ = ["Tail", "Tails", "read_all"]

_PAGE = 5000
_BLOCK_MS = 100


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

    def __init__(self, redis: Redis, inbox: str, first: int) -> None:
        """Args: first: the lowest `s` wanted so far."""
        self._redis = redis
        self._inbox = inbox
        self._first = first
        self._last = first - 1
        self._entries: list[InboxEntry] = []
        self._high: Fence = {}
        self._lock = asyncio.Lock()

    async def until(self, first: int, f: Fence) -> None:
        """Read from `s` = first until the fence `f` has shown up in every partition.

        Raises:
            InboxGoneError: there is no such inbox (any more).

        """
        async with self._lock:
            if first < self._first:
                self._entries[:0] = await read_all(self._redis, self._inbox, first, self._first - 1)
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
        page = await inboxes.read(self._redis, self._inbox, self._last, count=_PAGE, block_ms=_BLOCK_MS)
        if not page:
            await inboxes.last_s(self._redis, self._inbox)
            return
        if self._entries and await inboxes.oldest_s(self._redis, self._inbox) > self._last:
            raise inboxes.InboxGoneError(self._inbox)  # trimmed between two pages
        self._last = page[-1].s
        self._entries += page
        for entry in page:
            if entry.record is not None:
                topic, partition, offset = entry.record.position
                self._high[f"{topic}/{partition}"] = offset

    def entries(self, first: int, last: int) -> list[InboxEntry]:
        """The entries read, from `s` = first to last."""
        start = bisect_left(self._entries, first, key=lambda entry: entry.s)
        return self._entries[start : bisect_right(self._entries, last, key=lambda entry: entry.s)]


class Tails:
    """The tails in use."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._tails: dict[str, tuple[Tail, int]] = {}

    def open(self, inbox: str, first: int) -> Tail:
        """The tail of an inbox; give it back with `close`."""
        tail, users = self._tails.get(inbox) or (Tail(self._redis, inbox, first), 0)
        self._tails[inbox] = (tail, users + 1)
        return tail

    def close(self, inbox: str) -> None:
        """One user less; without users what was read is dropped."""
        tail, users = self._tails.pop(inbox)
        if users > 1:
            self._tails[inbox] = (tail, users - 1)
