"""Areas of the map as cells: hexagons of the library H3, in a few sizes. Pure.

A watcher of an area is told of what moves in its cells; their size is chosen so that an area has few of them. So what
an area costs grows with its cells, not with what moves in it times who watches.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import h3.api.basic_int as h3

__all__ = ["MOST_CELLS", "RESOLUTIONS", "Area", "cells_at", "cells_of"]

RESOLUTIONS: Final = (0, 2, 4, 7)
"""Of H3: cells with edges of about 1,280, 180, 26 and 1.4 km."""
MOST_CELLS: Final = 256
# A box is taken for the shorter way round the globe; so it is cut into narrower ones.
_WIDEST_DEG: Final = 60.0
# At the poles, which are the edges of no box.
_EDGE_DEG: Final = 89.999
_CAP_DEG: Final = 89.5


class Area(NamedTuple):
    """A box on the map, in degrees; west may be above east: then it goes over the 180th meridian."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, lat: float, lon: float) -> bool:
        """Whether a place is in it."""
        if not self.south <= lat <= self.north:
            return False
        if self.west <= self.east:
            return self.west <= lon <= self.east or (abs(lon) == 180 and self.west <= -lon <= self.east)
        return lon >= self.west or lon <= self.east

    @property
    def width(self) -> float:
        """From west to east, in degrees."""
        return self.east - self.west if self.west <= self.east else self.east - self.west + 360


def cells_at(lat: float, lon: float) -> tuple[int, ...]:
    """The cells that a place is in, one of each size."""
    return tuple(h3.latlng_to_cell(lat, lon, resolution) for resolution in RESOLUTIONS)


def cells_of(area: Area) -> frozenset[int]:
    """The cells that cover an area: the smallest of which there are not too many."""
    best: frozenset[int] = frozenset()
    for resolution in RESOLUTIONS:
        found: set[int] = set()
        for shape in _shapes(area):
            found.update(h3.h3shape_to_cells_experimental(shape, resolution, "overlap"))
        # Around a pole a box is no box any more.
        if area.north > _CAP_DEG:
            found.add(h3.latlng_to_cell(90.0, 0.0, resolution))
        if area.south < -_CAP_DEG:
            found.add(h3.latlng_to_cell(-90.0, 0.0, resolution))
        if best and len(found) > MOST_CELLS:
            break
        best = frozenset(found)
    return best


def _shapes(area: Area) -> Iterator[h3.LatLngPoly]:
    south, north = max(area.south, -_EDGE_DEG), min(area.north, _EDGE_DEG)
    pieces = max(1, int(-(-area.width // _WIDEST_DEG)))
    # A point or a line is no polygon.
    thin = 1e-6
    north = max(north, south + thin)
    for piece in range(pieces):
        west = area.west + area.width * piece / pieces
        east = max(area.west + area.width * (piece + 1) / pieces, west + thin)
        west, east = ((lon + 180) % 360 - 180 for lon in (west, east - 1e-9))
        yield h3.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
