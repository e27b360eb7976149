"""When something will be where it is to go: the way that is left, at the speed of the last minutes. Pure.

The built-in router knows no streets. It takes the great circle, made longer by what streets add to it on average, and a
speed in which the newest seconds count most. Its error on ways through a town is in docs/topics/location.md; a real
router is asked where there is one (`gateway/location/router.py`).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from fanfare.location.geo import distance_m
from fanfare.location.positions import Fix

__all__ = ["DETOUR", "Left", "left_by_air", "recent_speed_mps"]

DETOUR: Final = 1.3
"""How much longer a way through streets is than the great circle (for cities of Europe and America 1.2 to 1.4)."""
_MEMORY_S: Final = 120.0
# Who stands at a red light is not there for ever: never slower than somebody on foot.
_SLOWEST_MPS: Final = 1.4
_USUAL_MPS: Final = 8.0
# Of less time than this nothing can be said.
_LEAST_S: Final = 0.5


class Left(NamedTuple):
    """What is left of a way."""

    distance_m: float
    seconds: float


def recent_speed_mps(fixes: Sequence[Fix]) -> float:
    """The speed of the last minutes, smoothed: each second counts for less the longer ago it was.

    Args:
        fixes: oldest first.

    """
    way = weight = 0.0
    if not fixes:
        return _USUAL_MPS
    newest = fixes[-1].at
    for before, fix in pairwise(fixes):
        seconds = (fix.at - before.at) / 1000
        if seconds <= 0 or fix.jumped:
            continue
        share = math.exp((fix.at - newest) / 1000 / _MEMORY_S)
        way += share * distance_m(before.lat, before.lon, fix.lat, fix.lon)
        weight += share * seconds
    return max(way / weight, _SLOWEST_MPS) if weight >= _LEAST_S else _USUAL_MPS


def left_by_air(fixes: Sequence[Fix], lat: float, lon: float) -> Left:
    """What is left of the way to a place.

    Args:
        fixes: of the last minutes, oldest first; at least one.
        lat: of the place.
        lon: of the place.

    """
    newest = fixes[-1]
    metres = distance_m(newest.lat, newest.lon, lat, lon) * DETOUR
    return Left(metres, metres / recent_speed_mps(fixes))
