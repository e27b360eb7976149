"""Where the websocket is."""

from typing import Final

from aiohttp import web

from fanfare.presence import session_starts
from fanfare.presence.errors import RedisError
from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]

# What is told where there is no limit.
_UNLIMITED: Final = 1_000_000
_GUILDS: Final = 1000
"""Of a shard, as recommended; more than twice as many may be in one."""


async def _gateway(call: Call) -> web.Response:
    return reply({"url": call.context.settings.public_gateway()})


async def _gateway_bot(call: Call) -> web.Response:
    context = call.context
    total = context.settings.session_starts or _UNLIMITED
    try:
        begun = await session_starts.left(context.redis, call.user.id, total)
    except (RedisError, OSError):
        begun = session_starts.Left(total, session_starts.DAY_S * 1000)
    limit = {
        "total": total,
        "remaining": begun.remaining,
        "reset_after": begun.reset_after_ms,
        "max_concurrency": session_starts.AT_ONCE,
    }
    guilds = len(await context.store.guild_ids(call.user.id))
    url = context.settings.public_gateway()
    return reply({"url": url, "shards": -(-guilds // _GUILDS) or 1, "session_start_limit": limit})


ROUTES: Final = [Route("GET", "/gateway", _gateway), Route("GET", "/gateway/bot", _gateway_bot)]
