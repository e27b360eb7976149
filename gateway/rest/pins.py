"""Pinned messages, by the present paths and by the old ones."""

from datetime import datetime
from typing import Final

from aiohttp import web

from gateway.ingress.message_payloads import PINNED_AT
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import moment

__all__ = ["ROUTES"]

_PAGE: Final = 50


async def _list(call: Call) -> web.Response:
    query = call.query()
    limit = query.integer("limit", least=1, most=_PAGE) or _PAGE
    before = query.text("before", longest=40)
    query.check()
    pins = await call.context.ingress.pinning.pins(call.user, call.id("channel"))
    if before:
        earliest = moment("before", before)
        pins = [one for one in pins if datetime.fromisoformat(one[PINNED_AT]) < earliest]
    items = [{"pinned_at": one[PINNED_AT], "message": one} for one in pins[:limit]]
    return reply({"items": items, "has_more": len(pins) > limit})


async def _old_list(call: Call) -> web.Response:
    return reply((await call.context.ingress.pinning.pins(call.user, call.id("channel")))[:_PAGE])


async def _pin(call: Call) -> web.Response:
    await call.context.ingress.pinning.set(call.user, call.id("channel"), call.id("message"), pin=True)
    return empty()


async def _unpin(call: Call) -> web.Response:
    await call.context.ingress.pinning.set(call.user, call.id("channel"), call.id("message"), pin=False)
    return empty()


_NEW: Final = "/channels/{channel}/messages/pins"
_OLD: Final = "/channels/{channel}/pins"

ROUTES: Final = [
    Route("GET", _NEW, _list),
    Route("GET", _OLD, _old_list),
    *(
        Route(method, path + "/{message}", handler)
        for path in (_NEW, _OLD)
        for method, handler in (("PUT", _pin), ("DELETE", _unpin))
    ),
]
