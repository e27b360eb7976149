"""The audit log of a guild."""

from typing import Final

import msgspec
from aiohttp import web

from fanfare import payloads
from fanfare.permissions import P
from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]


async def _page(call: Call) -> web.Response:
    query = call.query()
    limit = query.integer("limit", least=1, most=100) or 50
    user, target = query.snowflake("user_id") or 0, query.snowflake("target_id") or 0
    action = query.integer("action_type", most=1000) or 0
    before, after = query.snowflake("before"), query.snowflake("after")
    query.check()
    guild, _ = await call.guild(P.VIEW_AUDIT_LOG)
    found = await call.context.store.audit_log(
        guild.id, user_id=user, action=action, target=target, before=before, after=after, limit=limit
    )
    users = await call.context.guilds.users(
        sorted({ident for _, *named in found for ident in named if ident})
    )
    return reply(
        {
            "audit_log_entries": [msgspec.Raw(entry) for entry, _, _ in found],
            "users": [payloads.user(user) for user in users.values()],
            "application_commands": [],
            "auto_moderation_rules": [],
            "guild_scheduled_events": [],
            "integrations": [],
            "threads": [],
            "webhooks": [],
        }
    )


ROUTES: Final = [Route("GET", "/guilds/{guild}/audit-logs", _page)]
