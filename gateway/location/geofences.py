"""Geofences as apps write and read them. Pure."""

from typing import Any, Final

from fanfare.location.geofences import HYSTERESIS_M, Geofence
from fanfare.location.shapes import MOST_POINTS, Circle, Place, Polygon, Shape, flaw, opened, wrapped
from gateway.ingress.forms import Form
from gateway.location.entities import KIND
from gateway.location.fixes import number_in

__all__ = ["geofence_of", "geofence_shown"]

_NAME: Final = 100
_MOST_ENTITIES: Final = 1000
_MOST_KINDS: Final = 20
_LEAST_RADIUS_M: Final = 1.0
_MOST_RADIUS_M: Final = 5_000_000.0
_MOST_HYSTERESIS_M: Final = 10_000.0
_MOST_DWELL_S: Final = 30 * 86_400
_PAIR: Final = "Must be a list of [lon, lat] in degrees."


def geofence_of(form: Form, ident: int) -> Geofence:
    """The geofence in the body of POST /fanfare/v1/geofences. Raises: FormError."""
    circle, polygon = form.child("circle", _circle), _polygon(form)
    if (form.raw("circle") is None) == (form.raw("polygon") is None):
        form.fail("circle", "BASE_TYPE_REQUIRED", "Say one of circle and polygon.")
    name = form.text("name", longest=_NAME) or ""
    entities = tuple(form.snowflakes("entities", most=_MOST_ENTITIES) or ())
    kinds = _kinds(form)
    if not entities and not kinds and not {"entities", "kinds"} & form.errors.keys():
        form.fail("entities", "BASE_TYPE_REQUIRED", "Say whom it is for, by entities or by kinds.")
    hysteresis = number_in(form, "hysteresis_m", 0, _MOST_HYSTERESIS_M)
    dwell = form.integer("dwell_s", most=_MOST_DWELL_S) or 0
    form.check()
    shape: Shape | None = circle or polygon
    assert shape is not None
    return Geofence(
        id=ident,
        shape=shape,
        name=name,
        entities=entities,
        kinds=kinds,
        hysteresis_m=HYSTERESIS_M if hysteresis is None else hysteresis,
        dwell_s=dwell,
    )


def geofence_shown(geofence: Geofence) -> dict[str, Any]:
    """A geofence as REST shows it."""
    shape = geofence.shape
    if isinstance(shape, Circle):
        said: dict[str, Any] = {"circle": {"lat": shape.lat, "lon": shape.lon, "radius_m": shape.radius_m}}
    else:
        ring = [[wrapped(lon), lat] for lon, lat in shape.points]
        said = {"polygon": [*ring, ring[0]]}
    return {
        "id": str(geofence.id),
        "name": geofence.name,
        **said,
        "entities": [str(ident) for ident in geofence.entities],
        "kinds": list(geofence.kinds),
        "hysteresis_m": geofence.hysteresis_m,
        "dwell_s": geofence.dwell_s,
    }


def _circle(form: Form) -> Circle | None:
    lat = number_in(form, "lat", -90, 90, required=True)
    lon = number_in(form, "lon", -180, 180, required=True)
    radius = number_in(form, "radius_m", _LEAST_RADIUS_M, _MOST_RADIUS_M, required=True)
    if lat is None or lon is None or radius is None:
        return None
    return Circle(lat, lon, radius)


def _polygon(form: Form) -> Polygon | None:
    raw = form.raw("polygon")
    if raw is None:
        return None
    if not isinstance(raw, list) or not all(_is_pair(one) for one in raw):
        form.fail("polygon", "LIST_TYPE_CONVERT", _PAIR)
        return None
    if len(raw) > MOST_POINTS + 1:
        form.fail("polygon", "BASE_TYPE_MAX_LENGTH", f"Must be {MOST_POINTS} corners or fewer.")
        return None
    ring: list[Place] = [(float(lon), float(lat)) for lon, lat in raw]
    if not all(-180 <= lon <= 180 and -90 <= lat <= 90 for lon, lat in ring):
        form.fail("polygon", "NUMBER_TYPE_RANGE", _PAIR)
        return None
    points = opened(ring)
    if why := flaw(points):
        form.fail("polygon", "GEOFENCE_SHAPE", why)
        return None
    return Polygon(points)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(
            isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= 180 for one in value
        )
    )


def _kinds(form: Form) -> tuple[str, ...]:
    raw = form.raw("kinds")
    if raw is None:
        return ()
    if (
        not isinstance(raw, list)
        or len(raw) > _MOST_KINDS
        or not all(isinstance(one, str) and KIND.fullmatch(one) for one in raw)
    ):
        form.fail("kinds", "BASE_TYPE_CHOICES", f"Up to {_MOST_KINDS} kinds of entities, such as driver.")
        return ()
    return tuple(dict.fromkeys(raw))
