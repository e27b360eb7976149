"""Geofences: places of which it is told when something comes, stays and goes. Pure.

Something has come as soon as a position of it is inside; it has gone when it is further outside than the geofence's
hysteresis, and than its position is off. So what stands at the edge, and jumps about as positions do, comes once.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from fanfare.location.cells import cells_at, cells_of
from fanfare.location.entity import DWELL, ENTER, EXIT, MOST_INSIDE, Entity, Inside
from fanfare.location.geo import distance_m
from fanfare.location.positions import Fix
from fanfare.location.shapes import Shape

__all__ = ["HYSTERESIS_M", "Geofence", "Geofences", "geofence_in", "judged", "packed"]

HYSTERESIS_M: Final = 20.0
"""Where nothing else is said."""
_NEAR_FROM: Final = "picked_up"

_Made = tuple[str, int, str]
"""A passage: its kind, and the id and name of the geofence."""


class Geofence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place, and whose coming and going is told of."""

    id: int
    shape: Shape
    name: str = ""
    entities: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    """Entities of these kinds, too."""
    hysteresis_m: float = HYSTERESIS_M
    dwell_s: int = 0
    """Who is inside for so long has stayed; 0: that is not told."""

    def concerns(self, entity: Entity) -> bool:
        """Whether an entity's coming and going is told of."""
        return entity.kind in self.kinds or entity.id in self.entities

    def entered(self, fix: Fix) -> bool:
        """Whether something that was outside is inside; one that is off by more than its size says nothing."""
        if (fix.accuracy_m or 0.0) > self.shape.size_m + self.hysteresis_m:
            return False
        return self.shape.outside_m(fix.lat, fix.lon) == 0

    def left(self, fix: Fix) -> bool:
        """Whether something that was inside is outside."""
        return self.shape.outside_m(fix.lat, fix.lon) > max(self.hysteresis_m, fix.accuracy_m or 0.0)


_decoder = msgspec.json.Decoder(Geofence)
packed = msgspec.json.Encoder().encode
"""As it is stored."""


def geofence_in(body: bytes) -> Geofence:
    """A geofence that was stored. Raises msgspec.DecodeError."""
    return _decoder.decode(body)


class Geofences:
    """All geofences, found by where something is."""

    def __init__(self, geofences: Iterable[Geofence] = ()) -> None:
        self._by_id = {geofence.id: geofence for geofence in geofences}
        self._by_cell: dict[int, list[Geofence]] = {}
        for geofence in self._by_id.values():
            for cell in cells_of(geofence.shape.bounds):
                self._by_cell.setdefault(cell, []).append(geofence)
        self._newest = max(self._by_id, default=0)

    def get(self, ident: int) -> Geofence | None:
        """The geofence with that id."""
        return self._by_id.get(ident)

    def is_gone(self, ident: int) -> bool:
        """Whether a geofence is not there any more, and not just too new to be known here."""
        return ident not in self._by_id and ident <= self._newest

    def around(self, lat: float, lon: float) -> Iterator[Geofence]:
        """Geofences that may hold a place."""
        if self._by_cell:
            for cell in cells_at(lat, lon):
                yield from self._by_cell.get(cell, ())


def judged(entity: Entity, fix: Fix, geofences: Geofences, near_m: float = 0.0) -> Entity:
    """An entity after its next position: with the passages that this makes. The entity itself, if it makes none.

    Args:
        entity: before.
        fix: its position, or that of the one it follows.
        geofences: all of them.
        near_m: an order that was picked up and is no further than this from its destination is near; 0: that is not
            told by positions.

    """
    if entity.ended or fix.jumped or fix.newness <= entity.judged:
        return entity
    passed: list[_Made] = []
    inside = [*_still_inside(entity, fix, geofences, passed)]
    inside += _come(entity, fix, geofences, MOST_INSIDE - len(inside), passed)
    state = "near" if near_m and _arrives(entity, fix, near_m) else entity.state
    if not passed and state == entity.state:
        return entity
    after = msgspec.structs.replace(entity, inside=tuple(inside), judged=fix.newness, state=state)
    return after.with_passages(passed, fix.at)


def _still_inside(entity: Entity, fix: Fix, geofences: Geofences, passed: list[_Made]) -> Iterator[Inside]:
    """Of the geofences that an entity was inside of those that it has not left; what has happened goes to `passed`."""
    for one in entity.inside:
        geofence = geofences.get(one.geofence)
        if geofence is None:
            if not geofences.is_gone(one.geofence):
                yield one
        elif not geofence.concerns(entity):
            continue
        elif geofence.left(fix):
            passed.append((EXIT, geofence.id, geofence.name))
        elif geofence.dwell_s and not one.stayed and fix.at - one.since >= geofence.dwell_s * 1000:
            passed.append((DWELL, geofence.id, geofence.name))
            yield msgspec.structs.replace(one, stayed=True)
        else:
            yield one


def _come(entity: Entity, fix: Fix, geofences: Geofences, room: int, passed: list[_Made]) -> Iterator[Inside]:
    """Geofences that an entity has come into, so many at the most; what has happened goes to `passed`."""
    known = {one.geofence for one in entity.inside}
    for geofence in geofences.around(fix.lat, fix.lon):
        if room > 0 and geofence.id not in known and geofence.concerns(entity) and geofence.entered(fix):
            known.add(geofence.id)
            room -= 1
            passed.append((ENTER, geofence.id, geofence.name))
            yield Inside(geofence.id, fix.at)


def _arrives(entity: Entity, fix: Fix, near_m: float) -> bool:
    if entity.state != _NEAR_FROM or entity.destination is None:
        return False
    return distance_m(fix.lat, fix.lon, *entity.destination) <= near_m
