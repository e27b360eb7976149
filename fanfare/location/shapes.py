"""Shapes on the map: circles and polygons, and how far outside of them a place is. Pure.

A polygon is one ring of GeoJSON (RFC 7946): its edges are straight in longitude and latitude, and it may go over the
180th meridian. Distances are measured on a plane that touches the globe at the place: good to a percent for the some
kilometres in which it matters how far outside one is.
"""

import math
from itertools import pairwise
from typing import Final

import msgspec

from fanfare.location.cells import Area
from fanfare.location.geo import distance_m

__all__ = ["MOST_POINTS", "WIDEST_DEG", "Circle", "Place", "Polygon", "Shape", "flaw", "opened", "wrapped"]

Place = tuple[float, float]
"""Longitude and latitude, in the order of GeoJSON."""

MOST_POINTS: Final = 200
WIDEST_DEG: Final = 170.0
"""Wider ones could be meant the other way round the globe."""
_M_PER_DEG: Final = 111_195.0
_LEAST_COS: Final = 0.001


class Circle(msgspec.Struct, frozen=True, tag="circle", tag_field="shape"):
    """Everything that is at most so far from a place."""

    lat: float
    lon: float
    radius_m: float

    @property
    def size_m(self) -> float:
        """Half of its extent."""
        return self.radius_m

    @property
    def bounds(self) -> Area:
        """A box around it."""
        high = self.radius_m / _M_PER_DEG
        south, north = max(self.lat - high, -90.0), min(self.lat + high, 90.0)
        # Near a pole every longitude is close.
        wide = high / max(math.cos(math.radians(max(abs(south), abs(north)))), 1e-9)
        if wide >= WIDEST_DEG / 2 or south <= -90 or north >= 90:
            return Area(-180.0, south, 180.0, north)
        return Area(wrapped(self.lon - wide), south, wrapped(self.lon + wide), north)

    def outside_m(self, lat: float, lon: float) -> float:
        """How far outside a place is, in metres; 0: it is inside."""
        return max(distance_m(self.lat, self.lon, lat, lon) - self.radius_m, 0.0)


class Polygon(msgspec.Struct, frozen=True, tag="polygon", tag_field="shape"):
    """What a line surrounds."""

    points: tuple[Place, ...]
    """Its corners, each once, with longitudes that do not wrap: they may go beyond 180."""

    @property
    def size_m(self) -> float:
        """Half of its extent."""
        lons, lats = zip(*self.points, strict=True)
        middle = math.cos(math.radians((min(lats) + max(lats)) / 2))
        return math.hypot((max(lons) - min(lons)) * middle, max(lats) - min(lats)) * _M_PER_DEG / 2

    @property
    def bounds(self) -> Area:
        """A box around it."""
        lons, lats = zip(*self.points, strict=True)
        return Area(wrapped(min(lons)), min(lats), wrapped(max(lons)), max(lats))

    def outside_m(self, lat: float, lon: float) -> float:
        """How far outside a place is, in metres; 0: it is inside."""
        lons = [point[0] for point in self.points]
        middle = (min(lons) + max(lons)) / 2
        lon = middle + wrapped(lon - middle)
        if self._holds(lon, lat):
            return 0.0
        narrow = max(math.cos(math.radians(lat)), _LEAST_COS)
        flat = [((x - lon) * narrow * _M_PER_DEG, (y - lat) * _M_PER_DEG) for x, y in self.points]
        return min(_from_origin(one, other) for one, other in pairwise([*flat, flat[0]]))

    def _holds(self, lon: float, lat: float) -> bool:
        """By how many edges lie east of the place."""
        inside = False
        for (x, y), (to_x, to_y) in pairwise([*self.points, self.points[0]]):
            if (y > lat) != (to_y > lat) and lon < x + (lat - y) * (to_x - x) / (to_y - y):
                inside = not inside
        return inside


Shape = Circle | Polygon


def opened(ring: list[Place]) -> tuple[Place, ...]:
    """The corners of a ring as `Polygon` has them: each once, and longitudes that do not wrap."""
    corners = ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring
    found: list[Place] = []
    for lon, lat in corners:
        before = found[-1][0] if found else lon
        found.append((before + wrapped(lon - before), lat))
    return tuple(found)


def flaw(points: tuple[Place, ...]) -> str:
    """Why these corners are those of no polygon; empty: they are."""
    if len(set(points)) < 3:
        return "A polygon has at least three corners."
    lons = [point[0] for point in points]
    if max(lons) - min(lons) > WIDEST_DEG:
        return f"A polygon is at most {WIDEST_DEG:.0f} degrees wide, and surrounds no pole."
    edges = list(pairwise([*points, points[0]]))
    for place, (start, end) in enumerate(edges):
        if start == end:
            return f"The corner {place + 1} stands there twice."
    for place in range(len(edges)):
        for other in range(place + 1, len(edges)):
            beside = other == place + 1 or (place == 0 and other == len(edges) - 1)
            if _folded(edges[place], edges[other]) if beside else _touch(edges[place], edges[other]):
                return f"The edges {place + 1} and {other + 1} cross."
    return ""


_Edge = tuple[Place, Place]


def wrapped(degrees: float) -> float:
    """A longitude between -180 and 180."""
    return degrees if -180 <= degrees <= 180 else (degrees + 180) % 360 - 180


def _turn(one: Place, two: Place, three: Place) -> float:
    """Above 0: one goes to the left at the second place; 0: straight on, or back."""
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def _within(place: Place, edge: _Edge) -> bool:
    """Whether a place on the line of an edge is on the edge."""
    (x, y), (to_x, to_y) = edge
    return min(x, to_x) <= place[0] <= max(x, to_x) and min(y, to_y) <= place[1] <= max(y, to_y)


def _touch(one: _Edge, other: _Edge) -> bool:
    """Whether two edges have a place in common."""
    turns = [_turn(*one, other[0]), _turn(*one, other[1]), _turn(*other, one[0]), _turn(*other, one[1])]
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = (
        (turns[0], other[0], one),
        (turns[1], other[1], one),
        (turns[2], one[0], other),
        (turns[3], one[1], other),
    )
    return any(turn == 0 and _within(place, edge) for turn, place, edge in ends)


def _folded(one: _Edge, other: _Edge) -> bool:
    """Whether two edges with a corner in common go back over each other."""
    corner = one[1] if one[1] in other else one[0]
    start, end = (next(place for place in edge if place != corner) for edge in (one, other))
    if _turn(start, corner, end) != 0:
        return False
    return _within(start, (corner, end)) or _within(end, (corner, start))


def _from_origin(one: Place, other: Place) -> float:
    """How far (0, 0) is from an edge."""
    (x, y), (to_x, to_y) = one, other
    way_x, way_y = to_x - x, to_y - y
    length = way_x * way_x + way_y * way_y
    part = min(max(-(x * way_x + y * way_y) / length, 0.0), 1.0) if length else 0.0
    return math.hypot(x + part * way_x, y + part * way_y)
