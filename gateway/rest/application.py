"""What libraries ask about the application at login. Each bot is an application of its own, with the same id."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]


async def _application(call: Call) -> web.Response:
    user = payloads.user(call.user)
    denied = await call.context.store.denied_intents(call.user.id)
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
            "flags": payloads.application_flags(denied),
            "rpc_origins": [],
            "approximate_guild_count": len(await call.context.store.guild_ids(call.user.id)),
            "approximate_user_install_count": 0,
        }
    )


ROUTES: Final = [
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/@me", _application),
]
