"""Distances on the globe, taken as a sphere: off by at most 0.6 %. Pure."""

import math
from typing import Final

__all__ = ["distance_m", "jumps", "rounded"]

_RADIUS_M: Final = 6_371_008.8
# No aeroplane with passengers is faster; fixes may be off by some hundred metres.
_FASTEST_MPS: Final = 350.0
_SLACK_M: Final = 500.0
_COARSE_DEG: Final = 0.01


def distance_m(lat: float, lon: float, to_lat: float, to_lon: float) -> float:
    """The length of the shortest way between two places, in metres (haversine formula)."""
    north, south = math.radians(lat), math.radians(to_lat)
    half = (
        math.sin((south - north) / 2) ** 2
        + math.cos(north) * math.cos(south) * math.sin(math.radians(to_lon - lon) / 2) ** 2
    )
    return 2 * _RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def jumps(metres: float, seconds: float) -> bool:
    """Whether no vehicle goes so far in this time, in either direction of it."""
    return metres > _SLACK_M + _FASTEST_MPS * abs(seconds)


def rounded(degrees: float) -> float:
    """A latitude or longitude for who may only see about where something is: to about a kilometre."""
    return round(round(degrees / _COARSE_DEG) * _COARSE_DEG, 2)
