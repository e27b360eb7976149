"""What phones speak already: OwnTracks' HTTP mode, and the OsmAnd protocol of Traccar Client. Pure.

Sources: OwnTracks Booklet, "JSON format" (`tst` in seconds, `vel` in km/h, `cog`, `acc`); Traccar, "OsmAnd protocol"
(query `id`, `timestamp`, `lat`, `lon`, `speed` in knots, `bearing`, `accuracy`), and the JSON body of Traccar Client 9
(`device_id`, `location.coords`, `location.timestamp`; speed in m/s). Phones say -1 where they do not know.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.location.fixes import moment_ms

__all__ = ["osmand_device", "osmand_fields", "owntracks_fields"]

_KMH_IN_MPS: Final = 1 / 3.6
_KNOT_IN_MPS: Final = 1852 / 3600
# In seconds such a number is of the year 5138, in milliseconds of 1973.
_MS_FROM: Final = 100_000_000_000


def owntracks_fields(body: Any) -> dict[str, Any] | None:
    """The fields of a position in a message of OwnTracks; None for one of another type, which says none."""
    if not isinstance(body, Mapping) or body.get("_type") != "location":
        return None
    return _known(
        lat=body.get("lat"),
        lon=body.get("lon"),
        at=_seconds(body.get("tst")),
        accuracy_m=_or_unknown(body.get("acc")),
        heading_deg=_or_unknown(body.get("cog")),
        speed_mps=_times(_or_unknown(body.get("vel")), _KMH_IN_MPS),
    )


def osmand_device(query: Mapping[str, str], body: Any) -> str:
    """The key of the device that speaks the OsmAnd protocol; '' where there is none."""
    found = query.get("id") or query.get("deviceid")
    if found is None and isinstance(body, Mapping):
        found = body.get("device_id") or body.get("id")
    return found if isinstance(found, str) else str(found) if isinstance(found, int) else ""


def osmand_fields(query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """The fields of a position in the query, or in the JSON of a newer client."""
    location = body.get("location") if isinstance(body, Mapping) else None
    if isinstance(location, Mapping):
        coords = location.get("coords")
        coords = coords if isinstance(coords, Mapping) else {}
        return _known(
            lat=coords.get("latitude"),
            lon=coords.get("longitude"),
            at=location.get("timestamp"),
            accuracy_m=_or_unknown(coords.get("accuracy")),
            heading_deg=_or_unknown(coords.get("heading")),
            speed_mps=_or_unknown(coords.get("speed")),
        )
    lat, lon = query.get("lat"), query.get("lon")
    if lat is None and lon is None and query.get("location"):
        lat, _, lon = query["location"].partition(",")
    return _known(
        lat=lat,
        lon=lon,
        at=_seconds(query.get("timestamp")),
        accuracy_m=_or_unknown(query.get("accuracy")),
        heading_deg=_or_unknown(query.get("bearing") or query.get("heading")),
        speed_mps=_times(_or_unknown(query.get("speed")), _KNOT_IN_MPS),
    )


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _seconds(value: Any) -> Any:
    """A time in seconds, or in ms where it is too large for that, as ms; other forms as they are."""
    number = moment_ms(value)
    if number is None or (isinstance(value, str) and not value.isdigit()):
        return value
    if number >= _MS_FROM:
        return number
    return int(float(value) * 1000)


def _or_unknown(value: Any) -> Any:
    """None for a number below 0."""
    try:
        return None if float(value) < 0 else value
    except (TypeError, ValueError, OverflowError):
        return value


def _times(value: Any, factor: float) -> Any:
    try:
        return float(value) * factor
    except (TypeError, ValueError, OverflowError):
        return value
