"""Where the websocket is."""

from typing import Final

from aiohttp import web

from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]


async def _gateway(call: Call) -> web.Response:
    return reply({"url": call.context.settings.public_gateway()})


async def _gateway_bot(call: Call) -> web.Response:
    limit = {"total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 16}
    url = call.context.settings.public_gateway()
    return reply({"url": url, "shards": 1, "session_start_limit": limit})


ROUTES: Final = [Route("GET", "/gateway", _gateway), Route("GET", "/gateway/bot", _gateway_bot)]
