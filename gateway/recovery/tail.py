"""What was read of another node's inbox, and the steps of reading on until it shows a fence, or has an entry. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from fanfare.presence.inboxes import InboxEntry, InboxGoneError
from gateway.recovery.crossing import LastS
from gateway.recovery.path import Fence
from gateway.recovery.wishes import Steps, Wish

__all__ = ["OldestS", "ReadBetween", "ReadOn", "Seen", "read_on", "read_to", "read_until"]


@dataclass(slots=True)
class ReadBetween(Wish[list[InboxEntry]]):
    """The entries of an inbox from `s` = first on, up to last (None: the newest)."""

    inbox: str
    first: int
    last: int | None


@dataclass(slots=True)
class ReadOn(Wish[Sequence[InboxEntry]]):
    """The next entries of an inbox after `s`, as soon as there are any; empty if there were none for a while."""

    inbox: str
    after: int


@dataclass(slots=True)
class OldestS(Wish[int]):
    """`s` of the oldest entry that an inbox keeps; InboxGoneError is thrown if there is no such inbox."""

    inbox: str


class Seen:
    """The entries of an inbox that were read, one after the other, from some `s` on."""

    def __init__(self, inbox: str, first: int) -> None:
        """Args: inbox: which; first: the lowest `s` of interest so far."""
        self.inbox = inbox
        self.first = first
        self.last = first - 1
        """`s` of the newest that was read."""
        self.high: Fence = {}
        """The highest position per source partition, of what was read in the inbox's order."""
        self._entries: list[InboxEntry] = []
        # Those that are no fences: when thousands of sessions move, most are.
        self._unfenced: list[InboxEntry] = []

    def __bool__(self) -> bool:
        """Whether there is any entry."""
        return bool(self._entries)

    def add(self, page: Sequence[InboxEntry]) -> None:
        """Add what follows."""
        self.last = page[-1].s
        self._entries += page
        self._unfenced += filter(_no_fence, page)
        for entry in page:
            if entry.record is not None:
                self.high[entry.partition] = entry.offset

    def add_earlier(self, first: int, entries: Sequence[InboxEntry]) -> None:
        """Add what comes before, from `s` = first on."""
        self._entries[:0] = entries
        self._unfenced[:0] = filter(_no_fence, entries)
        self.first = first

    def shows(self, f: Fence) -> bool:
        """Whether a fence has shown up in every partition."""
        return all(self.high.get(name, -1) >= offset for name, offset in f.items())

    def between(self, first: int, last: int) -> list[InboxEntry]:
        """The entries from `s` = first to last; of fences only one that is the first of all."""
        found = _between(self._unfenced, first, last)
        oldest = bisect_left(self._entries, first, key=_s)
        if oldest < len(self._entries) and self._entries[oldest].s <= last:
            entry = self._entries[oldest]
            if not _no_fence(entry):
                # It says that the inbox reaches that far back.
                found.insert(0, entry)
        return found


def read_until(seen: Seen, first: int, f: Fence) -> Steps[None]:
    """Read from `s` = first until the fence `f` has shown up in every partition.

    They raise InboxGoneError if there is no such inbox (any more), or it was trimmed past what was read.
    """
    if first < seen.first:
        earlier = yield from ReadBetween(seen.inbox, first, seen.first - 1)
        seen.add_earlier(first, earlier)
    while not seen.shows(f):
        yield from read_on(seen)


def read_to(seen: Seen, s: int) -> Steps[None]:
    """Read to an `s` that the inbox has. They raise as `read_until`."""
    while seen.last < s:
        yield from read_on(seen)


def read_on(seen: Seen) -> Steps[None]:
    """Read what comes next, if anything does. They raise as `read_until`."""
    page = yield from ReadOn(seen.inbox, seen.last)
    if not page:
        yield from LastS(seen.inbox)  # or it is gone
        return
    if seen and (yield from OldestS(seen.inbox)) > seen.last:
        raise InboxGoneError(seen.inbox)  # trimmed between two pages
    seen.add(page)


def _s(entry: InboxEntry) -> int:
    return entry.s


def _no_fence(entry: InboxEntry) -> bool:
    return entry.record is None or not entry.record.fence


def _between(entries: list[InboxEntry], first: int, last: int) -> list[InboxEntry]:
    return entries[bisect_left(entries, first, key=_s) : bisect_right(entries, last, key=_s)]
