"""The routes of entities: made and changed by apps, shown to who may watch them."""

import asyncio
import secrets
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec.structs import replace

from fanfare.clock import now_s
from fanfare.location.entity import ORDER, Entity
from fanfare.location.positions import Fix
from fanfare.location.tracks import geojson, gpx, simplified
from fanfare.model import User
from fanfare.store.entities import Device
from fanfare.store.errors import NotFoundError
from gateway.ingress.errors import forbidden, missing_access, unauthorized
from gateway.ingress.forms import Form
from gateway.location.doors import Doors, body_in, id_in
from gateway.location.entities import changed, created, follows_in, shown, state_changed, unknown_entity
from gateway.location.fixes import moment_ms
from gateway.location.watch_list import Update
from gateway.rest.context import empty, reply
from gateway.rest.server import identified, invalid

__all__ = [
    "PREFIX",
    "add_device",
    "add_link",
    "change",
    "create",
    "drop_devices",
    "end",
    "show",
    "stream",
    "track",
]

PREFIX: Final = "/fanfare/v1"
_LINK_S: Final = 86_400
_LONGEST_LINK_S: Final = 30 * 86_400
_TRACK_MS: Final = 86_400_000


async def create(doors: Doors, request: web.Request) -> web.Response:
    """POST /entities."""
    doors.admit(request)
    form = Form(await body_in(request))
    entity = created(form, doors.context.ids.next_id())
    if form.raw("follows") is not None:
        follows = (await doors.store.entities([follows_in(form)])).get(follows_in(form))
        entity = changed(Form({"follows": form.raw("follows")}), entity, follows)
    made = await doors.store.create_entity(entity)
    return reply(shown(made, everything=True), 201)


async def show(doors: Doors, request: web.Request) -> web.Response:
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


async def change(doors: Doors, request: web.Request) -> web.Response:
    """PATCH /entities/{id}: an app may change all of it, who publishes it its state."""
    user = await doors.admit_or_user(request)
    ident = id_in(request)
    form = Form(await body_in(request))
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


async def end(doors: Doors, request: web.Request) -> web.Response:
    """DELETE /entities/{id}: it ends."""
    doors.admit(request)

    def alter(entity: Entity) -> Entity:
        if entity.ended:
            raise NotFoundError("entity", entity.id)
        state = "cancelled" if entity.kind == ORDER else entity.state
        return replace(entity, ended=True, follows=0, state=state)

    try:
        after, _ = await doors.store.change_entity(id_in(request), alter)
    except NotFoundError:
        raise unknown_entity() from None
    await doors.location.arrived(after)
    return empty()


async def add_device(doors: Doors, request: web.Request) -> web.Response:
    """POST /entities/{id}/devices: a key for a device that publishes in the name of a user."""
    doors.admit(request)
    entity = await doors.entity(request)
    form = Form(await body_in(request))
    user = form.snowflake("user_id", required=True) or 0
    if not form.errors and user not in entity.publishers:
        form.fail("user_id", "BASE_TYPE_CHOICES", "The user is none of the publishers of the entity.")
    form.check()
    key = secrets.token_urlsafe(24)
    await doors.store.add_device(key, Device(entity.id, user))
    return reply({"key": key, "entity_id": str(entity.id), "user_id": str(user)}, 201)


async def drop_devices(doors: Doors, request: web.Request) -> web.Response:
    """DELETE /entities/{id}/devices: all its keys are good no more."""
    doors.admit(request)
    await doors.store.drop_devices((await doors.entity(request)).id)
    return empty()


async def add_link(doors: Doors, request: web.Request) -> web.Response:
    """POST /entities/{id}/links: whoever has it may watch, until then or until the entity ends."""
    doors.admit(request)
    entity = await doors.entity(request)
    form = Form(await body_in(request))
    seconds = form.integer("expires_in_s", least=1, most=_LONGEST_LINK_S) or _LINK_S
    form.check()
    until = int(now_s()) + seconds
    token = doors.location.links.issue(entity.id, until)
    path = f"{PREFIX}/entities/{entity.id}/stream?link={token}"
    return reply({"token": token, "expires_at": until * 1000, "stream": path}, 201)


async def stream(doors: Doors, request: web.Request) -> web.StreamResponse:
    """GET /entities/{id}/stream: server-sent events."""
    ident = id_in(request)
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


async def track(doors: Doors, request: web.Request) -> web.Response:
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


async def _may_drive(doors: Doors, ident: int, user: User) -> None:
    """Whether a user publishes an entity, or the one that it follows. Raises: ApiError."""
    found = await doors.store.entities([ident])
    if ident not in found:
        raise unknown_entity()
    entity = found[ident]
    driver = (await doors.store.entities([entity.follows])).get(entity.follows) if entity.follows else None
    if user.id in entity.publishers or (driver is not None and user.id in driver.publishers):
        return
    raise forbidden()


def _moment(query: Form, name: str, default: int) -> int:
    raw = query.raw(name)
    if raw is None:
        return default
    found = moment_ms(raw)
    if found is None:
        query.fail(name, "DATE_TIME_TYPE_PARSE", "Give ISO 8601, or milliseconds since 1970.")
        return default
    return found


def _position(fix: Fix, *, exact: bool) -> Any:
    return msgspec.Raw(Update(fix).data(exact=exact))
