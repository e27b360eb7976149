"""The routes of geofences, for apps."""

from typing import Final

from aiohttp import web

from fanfare.store.errors import NotFoundError
from fanfare.store.geofences import GeofencesFullError
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import Form
from gateway.location.doors import Doors, body_in, id_in
from gateway.location.geofences import geofence_of, geofence_shown
from gateway.rest.context import empty, reply

__all__ = ["create_geofence", "delete_geofence", "list_geofences", "show_geofence"]

_MOST: Final = 10_000


async def create_geofence(doors: Doors, request: web.Request) -> web.Response:
    """POST /geofences."""
    doors.admit(request)
    geofence = geofence_of(Form(await body_in(request)), doors.context.ids.next_id())
    try:
        await doors.store.create_geofence(geofence, _MOST)
    except GeofencesFullError:
        raise ApiError(400, 30910, f"Maximum number of geofences reached ({_MOST})") from None
    return reply(geofence_shown(geofence), 201)


async def list_geofences(doors: Doors, request: web.Request) -> web.Response:
    """GET /geofences."""
    doors.admit(request)
    return reply([geofence_shown(geofence) for geofence in await doors.store.geofences()])


async def show_geofence(doors: Doors, request: web.Request) -> web.Response:
    """GET /geofences/{id}."""
    doors.admit(request)
    try:
        return reply(geofence_shown(await doors.store.geofence(id_in(request, "geofence_id"))))
    except NotFoundError:
        raise _unknown() from None


async def delete_geofence(doors: Doors, request: web.Request) -> web.Response:
    """DELETE /geofences/{id}: nothing more is told of it; who is inside has not gone."""
    doors.admit(request)
    try:
        await doors.store.delete_geofence(id_in(request, "geofence_id"))
    except NotFoundError:
        raise _unknown() from None
    return empty()


def _unknown() -> ApiError:
    return ApiError(404, 10910, "Unknown Geofence")
