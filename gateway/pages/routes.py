"""The routes of browsers. Unlike REST's they are for our own pages alone: no other origin may read the answers."""

import asyncio
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from fanfare.control import ControlError, ask
from fanfare.settings import Settings
from gateway.ingress.errors import ApiError, not_found, unauthorized
from gateway.ingress.forms import body_of
from gateway.pages.documents import documents
from gateway.pages.files import Asset, assets, headers
from gateway.pages.live import Live
from gateway.pages.offers import is_local, owner
from gateway.rest.context import reply
from gateway.rest.server import identified, invalid, tired

__all__ = ["add_pages"]

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_WISHES: Final = ("scale", "restart", "load", "letters", "retry", "drop", "follow")
_NOTHING: Final[dict[str, Any]] = {"users": {}, "admin_key": ""}


def add_pages(app: web.Application, settings: Settings) -> None:
    """Serve the pages."""
    said = headers(settings.public_gateway())
    for asset in assets():
        app.router.add_get(asset.path, _asset(asset, said))
    pages = _Pages(settings, said)
    app.router.add_get("/docs", pages.document)
    app.router.add_get("/docs/{rest:.*}", pages.document)
    app.router.add_get("/web/offers", pages.offers)
    app.router.add_get("/web/live", pages.live)
    app.router.add_post("/web/do", pages.do)
    app.on_shutdown.append(pages.end)


def _asset(asset: Asset, said: Mapping[str, str]) -> Any:
    async def serve(request: web.Request) -> web.Response:
        return _served(request, asset, said)

    return serve


def _served(request: web.Request, asset: Asset, said: Mapping[str, str]) -> web.Response:
    _own(request)
    extra = {"ETag": asset.etag, **said}
    if request.headers.get("If-None-Match") == asset.etag:
        answer = web.Response(status=304, headers=extra)
    else:
        answer = web.Response(body=asset.body, headers=extra | {"Content-Type": asset.content_type})
    if tired(request):
        answer.force_close()
    return answer


class _Pages:
    """What the pages ask for besides files and REST."""

    def __init__(self, settings: Settings, said: Mapping[str, str]) -> None:
        self._settings = settings
        self._said = dict(said)
        self._live = Live(self._ask)

    async def end(self, app: web.Application) -> None:
        """The node stops."""
        await self._live.end(app)

    async def document(self, request: web.Request) -> web.Response:
        """A page or a picture of the documents. Raises ApiError: there is none."""
        _own(request)
        found = (await asyncio.to_thread(documents)).get(request.path.rstrip("/"))
        if found is None:
            raise not_found()
        return _served(request, found, self._said)

    async def offers(self, request: web.Request) -> web.Response:
        """The demo's people and the admin's key, for who may read them in the data folder."""
        _own(request)
        found = _NOTHING
        if self._settings.control is not None and await asyncio.to_thread(_is_ours, request):
            try:
                found = await self._ask({"do": "offers"})
            except ApiError:
                found = _NOTHING
        return reply(found, headers=self._said | {"Cache-Control": "no-store"})

    async def live(self, request: web.Request) -> web.StreamResponse:
        """What the system does, as a stream of events."""
        self._admit(request)
        return await self._live.stream(request, self._said | {"Cache-Control": "no-store"})

    async def do(self, request: web.Request) -> web.Response:
        """What `fanfare scale`, `restart` and `dead-letters` do, and where a message has been."""
        self._admit(request)
        try:
            wish = body_of(await request.read())
            kind = wish["do"]
        except (TypeError, KeyError):
            raise ApiError(400, 50109, "The request body contains invalid JSON.") from None
        if kind not in _WISHES:
            raise ApiError(400, 50035, f"do: {kind!r} is none of {', '.join(_WISHES)}")
        return reply(await self._ask(wish), headers=self._said)

    def _admit(self, request: web.Request) -> None:
        _own(request)
        key = self._settings.admin_key.get_secret_value()
        given = request.headers.get("Authorization", "")
        if not key or not hmac.compare_digest(given.encode(), f"Admin {key}".encode()):
            invalid(request)
            raise unauthorized()
        identified(request)

    async def _ask(self, wish: dict[str, Any]) -> Any:
        if self._settings.control is None:
            raise ApiError(
                503, 0, "503: only a system that `fanfare up` runs can be watched and changed here"
            )
        try:
            return await ask(self._settings.control, wish)
        except ControlError as error:
            raise ApiError(409, 0, str(error)) from None
        except OSError as error:
            raise ApiError(503, 0, f"503: `fanfare up` does not answer ({error})") from None


def _own(request: web.Request) -> None:
    """The answer is for pages of the same origin."""
    request["own"] = True
    request["route"] = "/web"


def _is_ours(request: web.Request) -> bool:
    """Whether the request comes from this machine, and from a program of our own user."""
    transport = request.transport
    if transport is None or transport.get_extra_info("ssl_object") is not None:
        return False
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    if not is_local(request.headers, peer[0]):
        return False
    lines: list[str] = []
    for table in _TABLES:
        try:
            lines += table.read_text("ascii").splitlines()
        except OSError:
            continue
    return owner(lines, peer[:2], own[:2]) in {0, os.getuid()}
