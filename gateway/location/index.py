"""The watchers of a node by what they watch, and how a position is written to those of an entity."""

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

from fanfare.presence.locations import WatchList
from fanfare.telemetry.metrics import REGISTRY
from gateway.location.known import Known
from gateway.location.watch_list import SocketWatcher, Watcher

if TYPE_CHECKING:
    from gateway.protocol.frames import Transport

__all__ = ["Crowd", "Index"]

WATCHERS: Final = Gauge("fanfare_location_watchers", "Sockets and streams that watch.", registry=REGISTRY)


class Crowd:
    """The watchers of an entity's positions, as it is written to them."""

    __slots__ = ("apart", "direct")

    def __init__(self) -> None:
        self.direct: dict[Transport, tuple[array[int], dict[int, SocketWatcher]]] = {}
        self.apart: list[Watcher] = []


class Index:
    """Who watches what."""

    def __init__(self, known: Known) -> None:
        """Args: known: the entities."""
        self._known = known
        self.watchers: set[Watcher] = set()
        self.by_id: dict[int, set[Watcher]] = {}
        """By the entity that was asked for."""
        self.by_source: dict[int, set[Watcher]] = {}
        """By the entity whose positions they get."""
        self.by_cell: dict[int, set[Watcher]] = {}
        """By the cell of the map."""
        self._crowds: dict[int, Crowd] = {}

    def enter(self, watcher: Watcher) -> WatchList:
        """Put a watcher into the indexes; what nobody here watched before."""
        self.watchers.add(watcher)
        WATCHERS.set(len(self.watchers))
        watcher.sources = self.sources_of(watcher.wanted)
        for ident in watcher.wanted:
            self.by_id.setdefault(ident, set()).add(watcher)
        new = {source for source in watcher.sources if source not in self.by_source}
        for source in watcher.sources:
            self.by_source.setdefault(source, set()).add(watcher)
            self._crowds.pop(source, None)
        cells = frozenset(cell for cell in watcher.cells if cell not in self.by_cell)
        for cell in watcher.cells:
            self.by_cell.setdefault(cell, set()).add(watcher)
        return WatchList(frozenset(new), cells)

    def leave(self, watcher: Watcher) -> WatchList:
        """Take a watcher out of the indexes; what nobody here watches any more."""
        gone = {source for source in watcher.sources if _take_out(self.by_source, source, watcher)}
        for ident in watcher.wanted:
            _take_out(self.by_id, ident, watcher)
        cells = {cell for cell in watcher.cells if _take_out(self.by_cell, cell, watcher)}
        for source in watcher.sources:
            self._crowds.pop(source, None)
        watcher.wanted, watcher.sources, watcher.cells = set(), {}, frozenset()
        watcher.area = None
        watcher.pending.clear()
        self.watchers.discard(watcher)
        WATCHERS.set(len(self.watchers))
        return WatchList(frozenset(gone), frozenset(cells))

    def sources_of(self, wanted: Iterable[int]) -> dict[int, list[int]]:
        """The entities whose positions one gets who watches these, each with those of them that have them."""
        found: dict[int, list[int]] = {}
        for ident in wanted:
            found.setdefault(ident, []).append(ident)
            if follows := self._known.follows(ident):
                found.setdefault(follows, []).append(ident)
        return found

    def crowd(self, source: int) -> Crowd:
        """The watchers of an entity's positions, sorted by how they are written to."""
        return self._crowds.get(source) or self._sorted(source)

    def forget_crowd(self, source: int) -> None:
        """An entity has changed: who is written to how may be another question now."""
        self._crowds.pop(source, None)

    def changed(self, watcher: Watcher) -> None:
        """How the watcher is written to has changed."""
        for source in watcher.sources:
            self._crowds.pop(source, None)

    def _sorted(self, source: int) -> Crowd:
        """The watchers of a source, sorted by how they are written to."""
        crowd = self._crowds[source] = Crowd()
        sorted_out: dict[Transport, dict[int, SocketWatcher]] = {}
        for watcher in self.by_source.get(source, ()):
            direct = watcher.direct
            if direct is not None and isinstance(watcher, SocketWatcher) and self._is_named(watcher, source):
                sorted_out.setdefault(direct[1], {})[direct[0]] = watcher
            else:
                crowd.apart.append(watcher)
        for transport, by_fd in sorted_out.items():
            crowd.direct[transport] = (array("i", by_fd), by_fd)
        return crowd

    def _is_named(self, watcher: Watcher, source: int) -> bool:
        """Whether nothing but a change of an entity can take away that they see exactly where it is."""
        return any(
            (entity := self._known.get(ident)) is not None
            and not entity.ended
            and entity.sees_exactly(watcher.user)
            for ident in watcher.sources.get(source, ())
        )


def _take_out(index: dict[int, set[Watcher]], key: int, watcher: Watcher) -> bool:
    """Take a watcher out of an index; whether it was the last one there."""
    found = index.get(key)
    if found is None:
        return False
    found.discard(watcher)
    if found:
        return False
    del index[key]
    return True
