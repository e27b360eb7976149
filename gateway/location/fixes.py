"""A position as clients write it, checked field by field: the same over REST, over the socket and from phones. Pure."""

import json
import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from fanfare.ids import MAX_ID
from fanfare.location.positions import Fix
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import Form, body_of

__all__ = ["AHEAD_S", "OLDEST_S", "body_with_numbers", "moment_ms", "quick_fix", "read_fix"]

AHEAD_S: Final = 300.0
"""Clocks of phones are off; a time further ahead than this is wrong."""
OLDEST_S: Final = 30 * 86_400.0
"""What a phone that was offline may bring."""

_MAX_SEQ: Final = (1 << 53) - 1
_FASTEST_MPS: Final = 1_000.0
_FARTHEST_M: Final = 1_000_000.0
_EPOCH_END_MS: Final = 86_400_000 * 365
# Not float(): that takes words, underscores and the digits of every script.
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class _Line(msgspec.Struct, gc=False):
    """A position as most clients write it."""

    entity_id: str
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    at: int
    seq: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SEQ)] = 0
    accuracy_m: Annotated[float, msgspec.Meta(ge=0, le=_FARTHEST_M)] | None = None
    heading_deg: Annotated[float, msgspec.Meta(ge=0, lt=360)] | None = None
    speed_mps: Annotated[float, msgspec.Meta(ge=0, le=_FASTEST_MPS)] | None = None


_quick = msgspec.json.Decoder(_Line)


def quick_fix(line: bytes, now_s: float, *, author: int) -> Fix | None:
    """The position in a line that says it plainly; None for any other: `read_fix` knows what is the matter with it.

    Lines come by thousands, and a form for each costs ten times as much.
    """
    try:
        said = _quick.decode(line)
    except (msgspec.DecodeError, ValueError):
        return None
    ident = said.entity_id
    earliest, latest = (now_s - OLDEST_S) * 1000, (now_s + AHEAD_S) * 1000
    if not (len(ident) <= 19 and ident.isascii() and ident.isdigit() and earliest <= said.at <= latest):
        return None
    number = int(ident)
    if not 0 < number <= MAX_ID or (said.lat == 0 and said.lon == 0):
        return None
    return Fix(
        entity_id=number,
        at=said.at,
        lat=said.lat,
        lon=said.lon,
        seq=said.seq,
        author_id=author,
        accuracy_m=said.accuracy_m,
        heading_deg=said.heading_deg,
        speed_mps=said.speed_mps,
    )


def read_fix(form: Form, now_s: float, *, author: int, entity_id: int = 0) -> Fix | None:
    """The position in a form; None where something is wrong, which the form then knows: call its `check()`.

    Args:
        form: `entity_id`, `lat`, `lon`, `at` (ISO 8601 or ms), and what else is known.
        now_s: seconds since 1970.
        author: the user who says so.
        entity_id: of which entity, where the form need not say it.

    """
    ident = entity_id or form.snowflake("entity_id", required=True) or 0
    if not ident and "entity_id" not in form.errors:
        form.fail("entity_id", "BASE_TYPE_REQUIRED", "This field is required")
    lat = number_in(form, "lat", -90, 90, required=True)
    lon = number_in(form, "lon", -180, 180, required=True)
    if lat == 0 and lon == 0:
        form.fail("lat", "LOCATION_NO_FIX", "A device says (0, 0) while it does not know where it is.")
    at = _time(form, now_s)
    seq = form.integer("seq", most=_MAX_SEQ) or 0
    accuracy = number_in(form, "accuracy_m", 0, _FARTHEST_M)
    heading = number_in(form, "heading_deg", 0, 360)
    speed = number_in(form, "speed_mps", 0, _FASTEST_MPS)
    if form.errors or lat is None or lon is None or at is None:
        return None
    return Fix(
        entity_id=ident,
        at=at,
        lat=lat,
        lon=lon,
        seq=seq,
        author_id=author,
        accuracy_m=accuracy,
        heading_deg=0.0 if heading == 360 else heading,
        speed_mps=speed,
    )


def body_with_numbers(raw: bytes) -> Any:
    """The JSON of a body, in which NaN and Infinity may stand: so that the field is named. Raises as `body_of`."""
    try:
        return body_of(raw)
    except ApiError as error:
        if error.code != 50109 or not (b"NaN" in raw or b"Infinity" in raw) or len(raw) > 65_536:
            raise
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise error from None
        return found


def moment_ms(value: Any) -> int | None:
    """A time as ms since 1970: it is that already, as a number or in text, or it is ISO 8601 with its offset."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and len(value) <= 15:
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 1e15:
        return int(value)
    return None


def _time(form: Form, now_s: float) -> int | None:
    if form.raw("at") is None:
        form.fail("at", "BASE_TYPE_REQUIRED", "This field is required")
        return None
    at = moment_ms(form.raw("at"))
    if at is None:
        form.fail("at", "DATE_TIME_TYPE_PARSE", "Give ISO 8601, or milliseconds since 1970.")
    elif at < _EPOCH_END_MS:
        form.fail("at", "LOCATION_TIME_OLD", "It is of 1970: give milliseconds, not seconds.")
    elif at > (now_s + AHEAD_S) * 1000:
        form.fail("at", "LOCATION_TIME_AHEAD", "It is of a time to come: set the clock of the device.")
    elif at < (now_s - OLDEST_S) * 1000:
        form.fail("at", "LOCATION_TIME_OLD", f"It is older than {OLDEST_S / 86_400:.0f} days.")
    else:
        return at
    return None


def number_in(form: Form, key: str, least: float, most: float, *, required: bool = False) -> float | None:
    value = form.raw(key)
    if value is None:
        if required:
            form.fail(key, "BASE_TYPE_REQUIRED", "This field is required")
        return None
    number = _float(value)
    if number is None:
        said = value[:64] if isinstance(value, str) else type(value).__name__
        form.fail(key, "NUMBER_TYPE_COERCE", f'Value "{said}" is no number.')
    elif not least <= number <= most:  # neither is NaN
        form.fail(key, "NUMBER_TYPE_RANGE", f"Must be between {least:g} and {most:g}.")
    else:
        return number
    return None


def _float(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if len(value) <= 64 and _NUMBER.fullmatch(value) else None
    if isinstance(value, int):
        return float(value) if abs(value) < 1 << 64 else math.inf
    return value if isinstance(value, float) else None
