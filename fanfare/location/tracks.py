"""Where an entity has been, as a line on a map: thinned out, as GeoJSON (RFC 7946) and as GPX 1.1. Pure."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from fanfare.location.positions import Fix

__all__ = ["geojson", "gpx", "simplified"]

_M_PER_DEG: Final = 111_195.0


def simplified(fixes: Sequence[Fix], tolerance_m: float) -> list[Fix]:
    """The fewer positions whose line is nowhere further than a tolerance from that of all (Ramer, Douglas, Peucker)."""
    if tolerance_m <= 0 or len(fixes) < 3:
        return list(fixes)
    kept = {0, len(fixes) - 1}
    open_parts = [(0, len(fixes) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        worst, at = tolerance_m, 0
        for place in range(first + 1, last):
            off = _off_m(fixes[place], fixes[first], fixes[last])
            if off > worst:
                worst, at = off, place
        if at:
            kept.add(at)
            open_parts += [(first, at), (at, last)]
    return [fixes[place] for place in sorted(kept)]


def geojson(entity_id: int, fixes: Sequence[Fix]) -> dict[str, Any]:
    """A Feature; its `coordTimes` are ms since 1970. A line that crosses the 180th meridian is cut there."""
    lines: list[list[list[float]]] = []
    for before, fix in zip([None, *fixes], fixes, strict=False):
        if before is None or abs(fix.lon - before.lon) > 180:
            lines.append([])
        lines[-1].append([fix.lon, fix.lat])
    geometry: dict[str, Any]
    if not lines:
        geometry = {"type": "LineString", "coordinates": []}
    elif len(lines) == 1 and len(lines[0]) == 1:
        geometry = {"type": "Point", "coordinates": lines[0][0]}
    elif len(lines) == 1:
        geometry = {"type": "LineString", "coordinates": lines[0]}
    else:
        # A line has two ends.
        geometry = {
            "type": "MultiLineString",
            "coordinates": [line if len(line) > 1 else line * 2 for line in lines],
        }
    times = [fix.at for fix in fixes]
    properties = {"entity_id": str(entity_id), "coordTimes": times}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def gpx(name: str, fixes: Sequence[Fix]) -> str:
    """A GPX document with one track."""
    points = "".join(
        f'<trkpt lat="{fix.lat!r}" lon="{fix.lon!r}"><time>{_iso(fix.at)}</time></trkpt>' for fix in fixes
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<gpx version="1.1" creator="Fanfare" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><name>{escape(name)}</name><trkseg>{points}</trkseg></trk></gpx>"
    )


def _off_m(fix: Fix, start: Fix, end: Fix) -> float:
    """How far a position is from the line between two others, in metres; on a plane, which does for what is near."""
    scale = math.cos(math.radians(fix.lat)) * _M_PER_DEG
    x, y = _lon(end.lon - start.lon) * scale, (end.lat - start.lat) * _M_PER_DEG
    px, py = _lon(fix.lon - start.lon) * scale, (fix.lat - start.lat) * _M_PER_DEG
    length = x * x + y * y
    along = max(0.0, min(1.0, (px * x + py * y) / length)) if length else 0.0
    return math.hypot(px - along * x, py - along * y)


def _lon(degrees: float) -> float:
    return (degrees + 180) % 360 - 180


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
