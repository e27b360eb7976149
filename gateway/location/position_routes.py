"""The routes by which positions come in: from users, phones and whoever has many of them."""

import asyncio
import base64
import binascii
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from fanfare.clock import now_s
from fanfare.location.positions import Fix
from fanfare.model import User
from gateway.ingress.errors import ApiError, unauthorized
from gateway.ingress.forms import Form
from gateway.location.doors import Doors, id_in, read_body
from gateway.location.fixes import body_with_numbers, quick_fix, read_fix
from gateway.location.phones import osmand_device, osmand_fields, owntracks_fields
from gateway.rest.context import reply
from gateway.rest.server import identified, invalid

__all__ = ["locations", "osmand", "owntracks"]

_LOCATIONS_BYTES: Final = 16 * 1024 * 1024
_PHONE_BYTES: Final = 64 * 1024
_MOST_LINES: Final = 100_000
_MOST_REPORTED: Final = 1000

_elements = msgspec.json.Decoder(list[msgspec.Raw])


async def locations(doors: Doors, request: web.Request) -> web.Response:
    """POST /locations: a position, a list of them, or a line for each."""
    user = await doors.user(request)
    raw = await read_body(request, _LOCATIONS_BYTES)
    if request.content_type in ("application/x-ndjson", "application/jsonl", "application/x-jsonlines"):
        return await _lines(doors, user, raw.split(b"\n"))
    body = body_with_numbers(raw) if len(raw) <= _PHONE_BYTES or raw[:1] != b"[" else None
    if body is None or isinstance(body, list):
        listed = _listed(raw)
        return await _lines(doors, user, listed)
    return reply(await doors.location.publish_one(user, body))


async def owntracks(doors: Doors, request: web.Request) -> web.Response:
    """POST /owntracks/{id}: OwnTracks in its HTTP mode; the password is the token."""
    user = await doors.user(request, _password(request))
    fields = owntracks_fields(body_with_numbers(await read_body(request, _PHONE_BYTES)))
    if fields is not None:
        await doors.location.publish_one(user, fields, id_in(request))
    return reply([])


async def osmand(doors: Doors, request: web.Request) -> web.Response:
    """GET and POST /osmand: the OsmAnd protocol of Traccar Client."""
    raw = await read_body(request, _PHONE_BYTES) if request.can_read_body else b""
    is_form = request.content_type == "application/x-www-form-urlencoded"
    query = dict(request.query)
    body = None
    if raw.strip() and is_form:
        # The body was read already: aiohttp's own reader would find nothing.
        query |= dict(parse_qsl(raw.decode(errors="replace")))
    elif raw.strip():
        body = body_with_numbers(raw)
    key = osmand_device(query, body)
    device = await doors.store.device(key) if key else None
    if device is None:
        invalid(request)
        raise unauthorized()
    user = await doors.context.guilds.user(device.user_id)
    if user is None:
        raise unauthorized()
    identified(request)
    await doors.location.publish_one(user, osmand_fields(query, body), device.entity_id)
    return web.Response(status=200)


async def _lines(doors: Doors, user: User, lines: list[bytes]) -> web.Response:
    """Publish what is right, and say of each line that is not what is wrong with it."""
    if len(lines) > _MOST_LINES + 1:
        raise ApiError(413, 40005, f"Request entity too large (send {_MOST_LINES} lines at most)")
    wrong: list[dict[str, Any]] = []
    fixes: list[Fix] = []
    places: list[int] = []
    now = now_s()
    for number, line in enumerate(lines, 1):
        if number % 500 == 0:
            await asyncio.sleep(0)  # others have their turn
        if not line.strip():
            continue
        fix = quick_fix(line, now, author=user.id)
        try:
            fix = fix or _read_line(line, now, user)
        except ApiError as error:
            wrong.append({"line": number, **error.rest()})
            continue
        fixes.append(fix)
        places.append(number)
    refused = await doors.location.check(fixes)
    wrong += [{"line": places[place], **error.rest()} for place, error in refused.items()]
    said = await doors.location.publish([fix for place, fix in enumerate(fixes) if place not in refused])
    wrong.sort(key=lambda one: int(one["line"]))
    return reply(
        {
            "accepted": said["accepted"],
            "dropped": said["dropped"] + len(wrong),
            "errors": wrong[:_MOST_REPORTED],
        }
    )


def _read_line(line: bytes, now: float, user: User) -> Fix:
    form = Form(body_with_numbers(line))
    fix = read_fix(form, now, author=user.id)
    form.check()
    assert fix is not None
    return fix


def _listed(raw: bytes) -> list[bytes]:
    """The elements of a list in JSON. Raises: ApiError: it is none."""
    try:
        return [bytes(one) for one in _elements.decode(raw)]
    except ValueError as error:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from error


def _password(request: web.Request) -> str:
    """The password of HTTP basic authentication (RFC 7617); '' where there is none."""
    scheme, _, coded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
