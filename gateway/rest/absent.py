"""What guilds have at Discord and not here: libraries look for it, and find none of it."""

from typing import Final

from aiohttp import web

from gateway.rest.context import Call, Handler, Route, reply

__all__ = ["ROUTES"]


async def _nothing(_: Call) -> web.Response:
    return reply([])


async def _nothing_in_guild(call: Call) -> web.Response:
    await call.guild()
    return reply([])


def _with(key: str) -> Handler:
    async def answer(call: Call) -> web.Response:
        if "guild" in call.request.match_info:
            await call.guild()
        return reply({key: []})

    return answer


ROUTES: Final = [
    Route("GET", "/soundboard-default-sounds", _nothing),
    Route("GET", "/voice/regions", _nothing),
    Route("GET", "/sticker-packs", _with("sticker_packs")),
    *(
        Route("GET", f"/guilds/{{guild}}/{what}", _nothing_in_guild)
        for what in ("integrations", "regions", "scheduled-events", "stickers")
    ),
    Route("GET", "/guilds/{guild}/soundboard-sounds", _with("items")),
]
