"""The routes of live location, under /fanfare/v1: for apps (`Authorization: Admin KEY`), users, devices and pages."""

import asyncio
import base64
import binascii
import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from aiohttp import web
from msgspec.structs import replace

from fanfare.clock import now_s
from fanfare.location.entity import Entity
from fanfare.location.positions import Fix
from fanfare.location.tracks import geojson, gpx, simplified
from fanfare.model import User
from fanfare.store.entities import Device
from fanfare.store.errors import NotFoundError
from fanfare.tokens import BadTokenError
from gateway.ingress.access import refusing
from gateway.ingress.errors import ApiError, FormError, forbidden, missing_access, unauthorized
from gateway.ingress.forms import Form, body_of
from gateway.location.assembly import Location
from gateway.location.entities import changed, created, follows_in, shown, state_changed, unknown_entity
from gateway.location.fixes import body_with_numbers, moment_ms, quick_fix, read_fix
from gateway.location.phones import osmand_device, osmand_fields, owntracks_fields
from gateway.location.streams import Streams
from gateway.location.watch_list import Update
from gateway.rest.context import RestContext, empty, reply
from gateway.rest.server import identified, invalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["PREFIX", "ROUTES", "add_location"]

PREFIX: Final = "/fanfare/v1"

_ANSWER_S: Final = 10.0
_LOCATIONS_BYTES: Final = 16 * 1024 * 1024
_PHONE_BYTES: Final = 64 * 1024
_MOST_LINES: Final = 100_000
_MOST_REPORTED: Final = 1000
_LINES_S: Final = 60.0
_MAX_ID: Final = 1 << 63
_LINK_S: Final = 86_400
_LONGEST_LINK_S: Final = 30 * 86_400
_TRACK_MS: Final = 86_400_000

_elements = msgspec.json.Decoder(list[msgspec.Raw])


class OwnRoute(NamedTuple):
    """One endpoint."""

    method: str
    path: str
    """After `PREFIX`."""
    handler: "Callable[[_Doors, web.Request], Awaitable[web.StreamResponse]]"


class _Doors:
    """Who asks, and what for."""

    def __init__(self, context: RestContext, location: Location) -> None:
        self.context = context
        self.location = location
        self.store = context.store
        self.streams = Streams(location.watching)

    async def end(self, _: web.Application) -> None:
        """The node stops."""
        self.streams.end()

    def is_admin(self, request: web.Request) -> bool:
        """Whether an app asks. Raises: ApiError: it says so, with a wrong key."""
        given = request.headers.get("Authorization", "")
        if not given.startswith("Admin "):
            return False
        key = self.context.settings.admin_key.get_secret_value()
        if not key or not hmac.compare_digest(given.encode(), f"Admin {key}".encode()):
            invalid(request)
            raise unauthorized()
        identified(request)
        return True

    def admit(self, request: web.Request) -> None:
        """Raises: ApiError: it is no app that asks."""
        if not self.is_admin(request):
            invalid(request)
            raise unauthorized()

    async def user(self, request: web.Request, token: str | None = None) -> User:
        """The user who asks. Raises: ApiError: there is no valid token."""
        given = request.headers.get("Authorization", "") if token is None else token
        try:
            holder = await self.context.accounts.admit(given)
        except BadTokenError:
            invalid(request)
            raise unauthorized() from None
        user = await self.context.guilds.user(holder.user)
        if user is None:
            raise unauthorized()
        identified(request)
        return user

    async def admit_or_user(self, request: web.Request) -> User | None:
        """The user who asks; None: an app does. Raises: ApiError."""
        return None if self.is_admin(request) else await self.user(request)

    async def entity(self, request: web.Request) -> Entity:
        """The entity in the path. Raises: ApiError."""
        return await self.location.entity(_id(request))

    async def may_watch(self, entity: Entity, user: User) -> None:
        """Raises: ApiError: a user may not see where an entity is."""
        if not entity.may_watch(user.id, await self.roles(entity, user)):
            raise missing_access()

    async def roles(self, entity: Entity, user: User) -> tuple[int, ...]:
        """The roles of a user that count for an entity."""
        if not entity.roles:
            return ()
        member = await self.context.guilds.member(entity.guild_id, user.id)
        return tuple(member.roles) if member is not None else ()


async def create(doors: _Doors, request: web.Request) -> web.Response:
    """POST /entities."""
    doors.admit(request)
    form = Form(await _body(request))
    entity = created(form, doors.context.ids.next_id())
    if form.raw("follows") is not None:
        follows = (await doors.store.entities([follows_in(form)])).get(follows_in(form))
        entity = changed(Form({"follows": form.raw("follows")}), entity, follows)
    made = await doors.store.create_entity(entity)
    return reply(shown(made, everything=True), 201)


async def show(doors: _Doors, request: web.Request) -> web.Response:
    """GET /entities/{id}: also where it was last."""
    user = await doors.admit_or_user(request)
    entity = await doors.entity(request)
    exact = True
    if user is not None:
        if user.id not in entity.publishers:
            await doors.may_watch(entity, user)
        exact = entity.sees_exactly(user.id, await doors.roles(entity, user))
    found = shown(entity, everything=user is None)
    fix = None if entity.ended and user is not None else await doors.location.newest(entity.id)
    found["location"] = _position(fix, exact=exact) if fix is not None else None
    found["left"] = await doors.location.left(entity) if exact else None
    return reply(found)


async def change(doors: _Doors, request: web.Request) -> web.Response:
    """PATCH /entities/{id}: an app may change all of it, who publishes it its state."""
    user = await doors.admit_or_user(request)
    ident = _id(request)
    form = Form(await _body(request))
    wanted = follows_in(form)
    if user is not None:
        await _may_drive(doors, ident, user)
    # What is followed must not end meanwhile; one that does not exist is told by its field.
    known = (await doors.store.entities([wanted])).get(wanted) if wanted else None

    def alter(entity: Entity) -> Entity:
        return changed(form, entity, known) if user is None else state_changed(form, entity)

    try:
        after, before = await doors.store.change_entity(ident, alter, wanted if known is not None else None)
    except NotFoundError:
        raise unknown_entity() from None
    if before is not None:
        await doors.location.arrived(after)
    return reply(shown(after, everything=user is None))


async def end(doors: _Doors, request: web.Request) -> web.Response:
    """DELETE /entities/{id}: it ends."""
    doors.admit(request)

    def alter(entity: Entity) -> Entity:
        if entity.ended:
            raise NotFoundError("entity", entity.id)
        state = "cancelled" if entity.kind == "order" else entity.state
        return replace(entity, ended=True, follows=0, state=state)

    try:
        after, _ = await doors.store.change_entity(_id(request), alter)
    except NotFoundError:
        raise unknown_entity() from None
    await doors.location.arrived(after)
    return empty()


async def add_device(doors: _Doors, request: web.Request) -> web.Response:
    """POST /entities/{id}/devices: a key for a device that publishes in the name of a user."""
    doors.admit(request)
    entity = await doors.entity(request)
    form = Form(await _body(request))
    user = form.snowflake("user_id", required=True) or 0
    if not form.errors and user not in entity.publishers:
        form.fail("user_id", "BASE_TYPE_CHOICES", "The user is none of the publishers of the entity.")
    form.check()
    key = secrets.token_urlsafe(24)
    await doors.store.add_device(key, Device(entity.id, user))
    return reply({"key": key, "entity_id": str(entity.id), "user_id": str(user)}, 201)


async def drop_devices(doors: _Doors, request: web.Request) -> web.Response:
    """DELETE /entities/{id}/devices: all its keys are good no more."""
    doors.admit(request)
    await doors.store.drop_devices((await doors.entity(request)).id)
    return empty()


async def add_link(doors: _Doors, request: web.Request) -> web.Response:
    """POST /entities/{id}/links: whoever has it may watch, until then or until the entity ends."""
    doors.admit(request)
    entity = await doors.entity(request)
    form = Form(await _body(request))
    seconds = form.integer("expires_in_s", least=1, most=_LONGEST_LINK_S) or _LINK_S
    form.check()
    until = int(now_s()) + seconds
    token = doors.location.links.issue(entity.id, until)
    path = f"{PREFIX}/entities/{entity.id}/stream?link={token}"
    return reply({"token": token, "expires_at": until * 1000, "stream": path}, 201)


async def stream(doors: _Doors, request: web.Request) -> web.StreamResponse:
    """GET /entities/{id}/stream: server-sent events."""
    ident = _id(request)
    link = request.query.get("link")
    if link is not None:
        if doors.location.links.verify(link, now_s()) != ident:
            invalid(request)
            raise unauthorized()
        identified(request)
        entity = await doors.location.entity(ident)
        if entity.ended:
            raise unknown_entity()
        return await doors.streams.serve(request, entity, 0, until_s=doors.location.links.until_s(link))
    user = await doors.user(request)
    entity = await doors.location.entity(ident)
    await doors.may_watch(entity, user)
    holder = await doors.context.accounts.admit(request.headers.get("Authorization", ""))
    return await doors.streams.serve(
        request, entity, user.id, stands=lambda: doors.context.accounts.stands(holder)
    )


async def track(doors: _Doors, request: web.Request) -> web.Response:
    """GET /entities/{id}/track: where it was, for who may see exactly where it is, also after its end."""
    user = await doors.admit_or_user(request)
    entity = await doors.entity(request)
    if user is not None and not entity.sees_exactly(user.id, await doors.roles(entity, user)):
        raise missing_access()
    query = Form(request.query)
    now_ms = int(now_s() * 1000)
    until = _moment(query, "to", now_ms)
    since = _moment(query, "from", until - _TRACK_MS)
    tolerance = query.integer("simplify", most=1_000_000) or 0
    form = query.text("format", longest=10) or "geojson"
    if form not in ("geojson", "gpx"):
        query.fail("format", "BASE_TYPE_CHOICES", "Value must be one of {geojson, gpx}.")
    query.check()
    fixes = await doors.store.track(entity.id, since, until)
    kept = await asyncio.to_thread(simplified, fixes, float(tolerance))
    if form == "gpx":
        body = gpx(entity.name or f"{entity.kind} {entity.id}", kept)
        return web.Response(body=body.encode(), headers={"Content-Type": "application/gpx+xml"})
    answer = reply(geojson(entity.id, kept))
    answer.headers["Content-Type"] = "application/geo+json"
    return answer


async def locations(doors: _Doors, request: web.Request) -> web.Response:
    """POST /locations: a position, a list of them, or a line for each."""
    user = await doors.user(request)
    raw = await _read(request, _LOCATIONS_BYTES)
    if request.content_type in ("application/x-ndjson", "application/jsonl", "application/x-jsonlines"):
        return await _lines(doors, user, raw.split(b"\n"))
    body = body_with_numbers(raw) if len(raw) <= _PHONE_BYTES or raw[:1] != b"[" else None
    if body is None or isinstance(body, list):
        listed = _listed(raw)
        return await _lines(doors, user, listed)
    return reply(await doors.location.publish_one(user, body))


async def owntracks(doors: _Doors, request: web.Request) -> web.Response:
    """POST /owntracks/{id}: OwnTracks in its HTTP mode; the password is the token."""
    user = await doors.user(request, _password(request))
    fields = owntracks_fields(body_with_numbers(await _read(request, _PHONE_BYTES)))
    if fields is not None:
        await doors.location.publish_one(user, fields, _id(request))
    return reply([])


async def osmand(doors: _Doors, request: web.Request) -> web.Response:
    """GET and POST /osmand: the OsmAnd protocol of Traccar Client."""
    raw = await _read(request, _PHONE_BYTES) if request.can_read_body else b""
    is_form = request.content_type == "application/x-www-form-urlencoded"
    query = dict(request.query)
    body = None
    if raw.strip() and is_form:
        query |= {name: str(value) for name, value in (await request.post()).items()}
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


ROUTES: Final = [
    OwnRoute("POST", "/entities", create),
    OwnRoute("GET", "/entities/{id}", show),
    OwnRoute("PATCH", "/entities/{id}", change),
    OwnRoute("DELETE", "/entities/{id}", end),
    OwnRoute("POST", "/entities/{id}/devices", add_device),
    OwnRoute("DELETE", "/entities/{id}/devices", drop_devices),
    OwnRoute("POST", "/entities/{id}/links", add_link),
    OwnRoute("GET", "/entities/{id}/stream", stream),
    OwnRoute("GET", "/entities/{id}/track", track),
    OwnRoute("POST", "/locations", locations),
    OwnRoute("POST", "/owntracks/{id}", owntracks),
    OwnRoute("GET", "/osmand", osmand),
    OwnRoute("POST", "/osmand", osmand),
]


def add_location(app: web.Application, context: RestContext, location: Location) -> None:
    """Serve the routes."""
    doors = _Doors(context, location)
    for route in ROUTES:
        path = PREFIX + route.path.replace("{id}", "{id:[0-9]{1,20}}")
        app.router.add_route(route.method, path, _bound(doors, route))
    app.on_shutdown.append(doors.end)


def _bound(doors: _Doors, route: OwnRoute) -> Any:
    limit = None if route.handler is stream else _LINES_S if route.handler is locations else _ANSWER_S

    async def handle(request: web.Request) -> web.StreamResponse:
        request["route"] = PREFIX + route.path
        if limit is None:
            return await route.handler(doors, request)
        async with refusing(limit):
            return await route.handler(doors, request)

    return handle


async def _lines(doors: _Doors, user: User, lines: list[bytes]) -> web.Response:
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


async def _may_drive(doors: _Doors, ident: int, user: User) -> None:
    """Whether a user publishes an entity, or the one that it follows. Raises: ApiError."""
    found = await doors.store.entities([ident])
    if ident not in found:
        raise unknown_entity()
    entity = found[ident]
    driver = (await doors.store.entities([entity.follows])).get(entity.follows) if entity.follows else None
    if user.id in entity.publishers or (driver is not None and user.id in driver.publishers):
        return
    raise forbidden()


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    return body_of(raw) if raw.strip() else {}


async def _read(request: web.Request, most: int) -> bytes:
    """The body, up to so many bytes. Raises: HTTPRequestEntityTooLarge."""
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
    return await request.clone(client_max_size=most).read()


def _id(request: web.Request) -> int:
    ident = int(request.match_info["id"])
    if ident >= _MAX_ID:
        raise FormError.at("entity_id", "NUMBER_TYPE_COERCE", f'Value "{ident}" is not snowflake.')
    return ident


def _moment(query: Form, name: str, default: int) -> int:
    raw = query.raw(name)
    if raw is None:
        return default
    found = moment_ms(raw)
    if found is None:
        query.fail(name, "DATE_TIME_TYPE_PARSE", "Give ISO 8601, or milliseconds since 1970.")
        return default
    return found


def _password(request: web.Request) -> str:
    """The password of HTTP basic authentication (RFC 7617); '' where there is none."""
    scheme, _, coded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _position(fix: Fix, *, exact: bool) -> Any:
    return msgspec.Raw(Update(fix).data(exact=exact))
