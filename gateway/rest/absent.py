"""What guilds have at Discord and not here: libraries look for it, and find none of it."""

from typing import Final

from aiohttp import web

from fanfare.permissions import NONE, P
from gateway.ingress.errors import ApiError, missing_access
from gateway.rest.context import Call, Handler, Route, reply

__all__ = ["ROUTES"]


async def _nothing(_: Call) -> web.Response:
    return reply([])


def _of_guild(value: object, needed: int = NONE) -> Handler:
    async def answer(call: Call) -> web.Response:
        await call.guild(needed)
        return reply(value)

    return answer


def _with(key: str) -> Handler:
    async def answer(call: Call) -> web.Response:
        if "guild" in call.request.match_info:
            await call.guild()
        return reply({key: []})

    return answer


def _of_application(value: object) -> Handler:
    async def answer(call: Call) -> web.Response:
        if call.id("application") != call.user.id:
            raise missing_access()
        return reply(value)

    return answer


async def _no_onboarding(call: Call) -> web.Response:
    guild, _ = await call.guild()
    none: dict[str, object] = {"prompts": [], "default_channel_ids": [], "enabled": False, "mode": 0}
    return reply({"guild_id": str(guild.id), **none})


async def _no_welcome_screen(call: Call) -> web.Response:
    await call.guild()
    raise ApiError(404, 10069, "Unknown Guild Welcome Screen")


ROUTES: Final = [
    Route("GET", "/soundboard-default-sounds", _nothing),
    Route("GET", "/voice/regions", _nothing),
    Route("GET", "/sticker-packs", _with("sticker_packs")),
    *(
        Route("GET", f"/guilds/{{guild}}/{what}", _of_guild([]))
        for what in (
            "auto-moderation/rules",
            "integrations",
            "regions",
            "scheduled-events",
            "stickers",
            "templates",
        )
    ),
    *(
        Route("GET", f"/applications/{{application}}/{what}", _of_application([]))
        for what in ("entitlements", "role-connections/metadata", "skus")
    ),
    Route("GET", "/applications/{application}/emojis", _of_application({"items": []})),
    Route("GET", "/guilds/{guild}/vanity-url", _of_guild({"code": None, "uses": 0}, P.MANAGE_GUILD)),
    Route("GET", "/guilds/{guild}/widget", _of_guild({"enabled": False, "channel_id": None}, P.MANAGE_GUILD)),
    Route("GET", "/guilds/{guild}/onboarding", _no_onboarding),
    Route("GET", "/guilds/{guild}/welcome-screen", _no_welcome_screen),
    Route("GET", "/guilds/{guild}/soundboard-sounds", _with("items")),
]
