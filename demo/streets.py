"""Ways that drivers take: along the streets of a grid made from a seed, or along the tracks of a GPX file. Pure."""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

__all__ = ["CENTRE", "Route", "grid_route", "routes_in"]

CENTRE: Final = (52.52, 13.405)
"""The middle of the town: latitude and longitude."""
BLOCKS: Final = 30
"""Streets in each direction."""
BLOCK_M: Final = 150.0
_M_PER_DEG: Final = 111_195.0

Place = tuple[float, float]


def street(row: float, column: float) -> Place:
    """A place on the grid, in blocks from its south-west corner."""
    lat = CENTRE[0] + (row - BLOCKS / 2) * BLOCK_M / _M_PER_DEG
    lon = CENTRE[1] + (column - BLOCKS / 2) * BLOCK_M / (_M_PER_DEG * math.cos(math.radians(CENTRE[0])))
    return lat, lon


class Route:
    """A way without end, driven at one speed: where the driver is after so many seconds."""

    def __init__(self, corners: Iterator[Place], speed_mps: float) -> None:
        """Args: corners: the way, at least two places; speed_mps: metres a second."""
        self._corners = corners
        self._from = next(corners)
        self._to = next(corners)
        self._driven = 0.0
        self._done_s = 0.0
        self.speed_mps = speed_mps

    def at(self, seconds: float) -> tuple[Place, float]:
        """The place, and the heading in degrees; ask in the order of time."""
        left = (seconds - self._done_s) * self.speed_mps
        self._done_s = seconds
        while True:
            length = _metres(self._from, self._to)
            if self._driven + left < length:
                self._driven += left
                break
            left -= length - self._driven
            self._from, self._to, self._driven = self._to, next(self._corners), 0.0
            if length == 0 and left <= 0:
                break
        part = self._driven / length if length else 0.0
        lat = self._from[0] + (self._to[0] - self._from[0]) * part
        lon = self._from[1] + (self._to[1] - self._from[1]) * part
        return (lat, lon), _heading(self._from, self._to)


def grid_route(random: Random) -> Route:
    """A way through the town: straight on for some blocks, then left or right."""
    return Route(_through_town(random), random.uniform(5.0, 15.0))


def routes_in(tracks: Sequence[Sequence[Place]], random: Random) -> Route:
    """A way along one of the tracks, there and back again."""
    track = random.choice([one for one in tracks if len(set(one)) > 1])
    return Route(_there_and_back(track, random.randrange(len(track))), random.uniform(5.0, 15.0))


def _through_town(random: Random) -> Iterator[Place]:
    row, column = random.randrange(BLOCKS), random.randrange(BLOCKS)
    yield street(row, column)
    along = random.random() < 0.5
    while True:
        blocks = random.randint(1, 6) * random.choice((-1, 1))
        if along:
            column = min(max(column + blocks, 0), BLOCKS)
        else:
            row = min(max(row + blocks, 0), BLOCKS)
        along = not along
        yield street(row, column)


def _there_and_back(track: Sequence[Place], start: int) -> Iterator[Place]:
    at, step = start, 1
    while True:
        yield track[at]
        if not 0 <= at + step < len(track):
            step = -step
        at += step


def _metres(one: Place, other: Place) -> float:
    north = (other[0] - one[0]) * _M_PER_DEG
    east = (other[1] - one[1]) * _M_PER_DEG * math.cos(math.radians(one[0]))
    return math.hypot(north, east)


def _heading(one: Place, other: Place) -> float:
    east = (other[1] - one[1]) * math.cos(math.radians(one[0]))
    return math.degrees(math.atan2(east, other[0] - one[0])) % 360
