"""Interactions: users begin them, and applications answer by the token that each of them has."""

from typing import Final

from aiohttp import web

from gateway.interactions.respond import ORIGINAL
from gateway.interactions.state import unknown_interaction, unknown_webhook
from gateway.rest import webhooks
from gateway.rest.context import Call, Route, empty, json_body, reply
from gateway.rest.server import identified, invalid

__all__ = ["ROUTES"]


async def _invoke(call: Call) -> web.Response:
    return reply(await call.context.ingress.interactions.invoking.invoke(call.user, await call.body()))


async def _callback(call: Call) -> web.Response:
    responding = call.context.ingress.interactions.responding
    token = call.request.match_info["token"]
    ident = call.id("interaction")
    if responding.of_token(token) is None:
        invalid(call.request)
    else:
        identified(call.request)

    async def may() -> None:
        if responding.of_token(token) != ident:
            raise unknown_interaction()

    async with call.with_files(may, whose=ident) as body:
        said = await responding.callback(ident, token, body.said, body.parts)
    return reply(said) if call.asks("with_response") else empty()


async def _follow_up(call: Call) -> web.Response:
    responding = call.context.ingress.interactions.responding
    ident = _interaction(call)
    if ident is None:
        return await webhooks.say(call)
    async with call.with_files(_may, whose=ident) as body:
        return json_body(await responding.follow_up(ident, body.said, body.parts))


async def _get(call: Call) -> web.Response:
    responding = call.context.ingress.interactions.responding
    ident = _interaction(call)
    if ident is None:
        return await webhooks.get_message(call)
    return json_body(await responding.read(ident, _which(call)))


async def _edit(call: Call) -> web.Response:
    responding = call.context.ingress.interactions.responding
    ident = _interaction(call)
    if ident is None:
        return await webhooks.edit_message(call)
    async with call.with_files(_may, whose=ident) as body:
        return json_body(await responding.change(ident, _which(call), body.said, body.parts))


async def _delete(call: Call) -> web.Response:
    ident = _interaction(call)
    if ident is None:
        return await webhooks.delete_message(call)
    await call.context.ingress.interactions.responding.delete(ident, _which(call))
    return empty()


async def _may() -> None:
    """Whoever has the token of an interaction may send files."""


def _interaction(call: Call) -> int | None:
    """The interaction of the token in the path; None: it can only be that of a webhook. Raises: ApiError: 10015."""
    ident = call.context.ingress.interactions.responding.of_token(call.request.match_info["token"])
    if ident is not None:
        identified(call.request)
    elif "message" not in call.request.match_info and call.request.method != "POST":
        # A webhook has no first answer.
        invalid(call.request)
        raise unknown_webhook()
    return ident


def _which(call: Call) -> str:
    return str(call.id("message")) if "message" in call.request.match_info else ORIGINAL


_WEBHOOK: Final = "/webhooks/{webhook}/{token}"

ROUTES: Final = [
    Route("POST", "/interactions", _invoke),
    Route("POST", "/interactions/{interaction}/{token}/callback", _callback),
    Route("POST", _WEBHOOK, _follow_up),
    *(
        Route(method, _WEBHOOK + path, handler)
        for path in ("/messages/@original", "/messages/{message}")
        for method, handler in (("GET", _get), ("PATCH", _edit), ("DELETE", _delete))
    ),
]
