"""The newest events of a node, bounded in bytes. Pure.

A session that does not keep up, or comes back, is a cursor: the index of the next event it wants. Indices count from
the node's start and never change.
"""

from bisect import bisect_right

from gateway.guilds.audience import View
from gateway.protocol.frames import Dispatch

__all__ = ["Event", "Ring"]


class Event:
    """An event with the state of its guild at that point of the log."""

    __slots__ = ("before", "dispatch", "view")

    def __init__(self, dispatch: Dispatch, view: View | None, before: View | None = None) -> None:
        self.dispatch = dispatch
        self.view = view
        """The guild after the event; None while it is not known."""
        self.before = before
        """Of a change to the guild: the guild before it."""


class Ring:
    """Events in rising `s`."""

    __slots__ = ("_bytes", "_events", "_first", "_limit", "_sizes", "floor", "start")

    def __init__(self, limit_bytes: int, floor: int) -> None:
        """Args: limit_bytes: older events go when these are exceeded; floor: `s` where the node begins."""
        self._limit = limit_bytes
        self._events: list[Event] = []
        self._sizes: list[int] = []
        self._first = 0
        self._bytes = 0
        self.start = 0
        """Index of the oldest event kept."""
        self.floor = floor
        """Every event above this `s` is kept."""

    @property
    def end(self) -> int:
        """Index that the next event will have."""
        return self.start + len(self._events) - self._first

    def clear(self, floor: int) -> None:
        """Forget all events; those above this `s` are kept from now on."""
        self.start, self._first, self._bytes = self.end, 0, 0
        self._events.clear()
        self._sizes.clear()
        self.floor = floor

    def append(self, event: Event) -> int:
        """Keep an event; returns its index."""
        size = event.dispatch.size
        self._events.append(event)
        self._sizes.append(size)
        self._bytes += size
        while self._bytes > self._limit and self._first < len(self._events) - 1:
            self._drop()
        return self.end - 1

    def __getitem__(self, index: int) -> Event:
        """The event of an index that is kept."""
        if index < self.start:
            raise IndexError(index)
        return self._events[self._first + index - self.start]

    def after(self, s: int) -> int:
        """Index of the first event above `s`, which is not below `floor`."""
        found = bisect_right(self._events, s, lo=self._first, key=lambda event: event.dispatch.s)
        return self.start + found - self._first

    def _drop(self) -> None:
        self.floor = self._events[self._first].dispatch.s
        self._bytes -= self._sizes[self._first]
        self._first += 1
        self.start += 1
        # Cut the dead head off when it is half of the list: each event moves once on average.
        if self._first > len(self._events) // 2:
            del self._events[: self._first], self._sizes[: self._first]
            self._first = 0
