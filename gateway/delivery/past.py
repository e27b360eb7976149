"""How guilds were at earlier places of the log, even if the node did not know them then.

Rights are those at an event's position. A node that loads a guild later than the event, because a session comes from
another node or somebody joins, knows the guild as it is; each change that follows the event says what it replaced, so
the guild is worked out backwards from there. Where that is not possible, nothing is shown: the session that asks has to
begin anew.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol

from fanfare.record import Record
from gateway.delivery.ring import Event, Ring
from gateway.guilds.apply import UnknownPastError, undo
from gateway.guilds.audience import View

__all__ = ["Past", "view_before"]


class _Guilds(Protocol):
    views: dict[int, View]
    ahead: dict[int, int]


def view_before(view: View, record: Record) -> View | None:
    """The guild before the change that made a version of it, None where the change does not say."""
    try:
        return View(undo(view.guild, record), view)
    except UnknownPastError:
        return None


class Past:
    """The changes in a node's ring, and the guilds around them."""

    __slots__ = ("_changes", "_guilds")

    def __init__(self, guilds: _Guilds) -> None:
        """Args: guilds: those that are loaded, and which of them are ahead of the inbox."""
        self._guilds = guilds
        self._changes: list[int] = []

    def clear(self) -> None:
        """The ring is another one."""
        self._changes.clear()

    def note(self, ring: Ring, index: int, before: View | None) -> None:
        """Note an event of the ring that is a change to a guild.

        Args:
            ring: with the event.
            index: of the event.
            before: the guild before it; None if the guild is not loaded, or held the change already.

        """
        event = ring[index]
        event.before = before
        if before is None:
            event.view = None
        if len(self._changes) > 64 and self._changes[len(self._changes) // 2] < ring.start:
            del self._changes[: bisect_left(self._changes, ring.start)]
        self._changes.append(index)

    def changes(self, ring: Ring, start: int) -> Iterator[Event]:
        """The changes to guilds in the ring from an index on."""
        for index in self._changes[bisect_left(self._changes, max(start, ring.start)) :]:
            yield ring[index]

    def fill(self, ring: Ring, guild: int) -> None:
        """Give the events of a guild that came while it was not loaded the guild as it was at each, as far as known."""
        view = self._guilds.views.get(guild)
        if view is None or guild in self._guilds.ahead:
            return
        for index in range(ring.end - 1, ring.start - 1, -1):
            event = ring[index]
            record = event.dispatch.record
            if record.guild != guild:
                continue
            if event.view is None:
                before = None
                if record.version:
                    # The versions between were not for this node, or are still to come.
                    if record.version != view.guild.version:
                        return
                    before = view_before(view, record)
                    if before is None:
                        return
                event.view, event.before = view, before
            view = event.before or event.view
