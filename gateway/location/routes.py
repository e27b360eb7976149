"""The routes of live location, under /fanfare/v1: for apps (`Authorization: Admin KEY`), users, devices and pages."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from aiohttp import web

from gateway.ingress.access import refusing
from gateway.location.assembly import Location
from gateway.location.doors import Doors
from gateway.location.entity_routes import (
    PREFIX,
    add_device,
    add_link,
    change,
    create,
    drop_devices,
    end,
    show,
    stream,
    track,
)
from gateway.location.geofence_routes import create_geofence, delete_geofence, list_geofences, show_geofence
from gateway.location.position_routes import locations, osmand, owntracks
from gateway.rest.context import RestContext

__all__ = ["PREFIX", "ROUTES", "add_location"]

_ANSWER_S: Final = 10.0
_LINES_S: Final = 60.0


class OwnRoute(NamedTuple):
    """One endpoint."""

    method: str
    path: str
    """After `PREFIX`."""
    handler: Callable[[Doors, web.Request], Awaitable[web.StreamResponse]]


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
    OwnRoute("POST", "/geofences", create_geofence),
    OwnRoute("GET", "/geofences", list_geofences),
    OwnRoute("GET", "/geofences/{id}", show_geofence),
    OwnRoute("DELETE", "/geofences/{id}", delete_geofence),
    OwnRoute("POST", "/locations", locations),
    OwnRoute("POST", "/owntracks/{id}", owntracks),
    OwnRoute("GET", "/osmand", osmand),
    OwnRoute("POST", "/osmand", osmand),
]


def add_location(app: web.Application, context: RestContext, location: Location) -> None:
    """Serve the routes."""
    doors = Doors(context, location)
    for route in ROUTES:
        path = PREFIX + route.path.replace("{id}", "{id:[0-9]{1,20}}")
        app.router.add_route(route.method, path, _bound(doors, route))
    app.on_shutdown.append(doors.end)


def _bound(doors: Doors, route: OwnRoute) -> Any:
    limit = None if route.handler is stream else _LINES_S if route.handler is locations else _ANSWER_S

    async def handle(request: web.Request) -> web.StreamResponse:
        request["route"] = PREFIX + route.path
        if limit is None:
            return await route.handler(doors, request)
        async with refusing(limit):
            return await route.handler(doors, request)

    return handle
