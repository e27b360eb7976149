"""What libraries ask about the application at login. Each bot is an application of its own, with the same id."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from gateway.ingress.errors import FormError
from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]

_MAX_COMMANDS: Final = 200


async def _application(call: Call) -> web.Response:
    user = payloads.user(call.user)
    return reply(
        {
            "id": str(call.user.id),
            "name": call.user.username,
            "icon": None,
            "description": "",
            "summary": "",
            "bot_public": False,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": user,
            "bot": user,
            "team": None,
            "flags": payloads.APPLICATION_FLAGS,
            "rpc_origins": [],
            "approximate_guild_count": len(await call.context.store.guild_ids(call.user.id)),
            "approximate_user_install_count": 0,
        }
    )


async def _commands(_: Call) -> web.Response:
    return reply([])


async def _set_commands(call: Call) -> web.Response:
    """Application commands are not carried out here; libraries that register some get them back."""
    commands = await call.body()
    if not isinstance(commands, list) or not all(isinstance(one, dict) for one in commands):
        raise FormError.at("commands", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    application = call.request.match_info["application"]
    return reply(
        [
            {"type": 1, "description": ""}
            | one
            | {"id": str(call.context.ids.next_id()), "application_id": application, "version": "1"}
            for one in commands[:_MAX_COMMANDS]
        ]
    )


async def _nothing(_: Call) -> web.Response:
    return reply([])


ROUTES: Final = [
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/@me", _application),
    Route("GET", "/applications/{application}/commands", _commands),
    Route("PUT", "/applications/{application}/commands", _set_commands),
    Route("GET", "/applications/{application}/guilds/{guild}/commands", _commands),
    Route("PUT", "/applications/{application}/guilds/{guild}/commands", _set_commands),
    Route("GET", "/soundboard-default-sounds", _nothing),
]
