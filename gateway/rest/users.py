"""Users, and what belongs to oneself."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.permissions import base
from fanfare.presence.statuses import online_in
from fanfare.store import NotFoundError
from gateway.ingress.errors import ApiError, unknown_guild, unknown_user
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]


async def _me(call: Call) -> web.Response:
    return reply(payloads.own_user(call.user))


async def _user(call: Call) -> web.Response:
    user = await call.context.guilds.user(call.id("user"))
    if user is None:
        raise unknown_user()
    return reply(payloads.user(user))


async def _my_guilds(call: Call) -> web.Response:
    query = call.query()
    before, after = query.snowflake("before"), query.snowflake("after") or 0
    limit = query.integer("limit", least=1, most=200) or 200
    counts = call.request.query.get("with_counts", "") in {"true", "1", "True"}
    query.check()
    ids = [i for i in await call.context.store.guild_ids(call.user.id) if i > after]
    if before is not None:
        ids = [i for i in ids if i < before][-limit:]
    online = await online_in(call.context.redis, ids[:limit]) if counts else {}
    found: list[payloads.Json] = []
    for guild_id in ids[:limit]:
        guild, member = await call.context.ingress.access.guild(call.user, guild_id)
        found.append(
            {
                "id": str(guild.id),
                "name": guild.name,
                "icon": guild.settings.icon,
                "banner": None,
                "owner": guild.owner_id == call.user.id,
                "permissions": str(base(guild, member)),
                "features": [],
            }
            | ({"approximate_member_count": guild.member_count} if counts else {})
            | ({"approximate_presence_count": online[guild.id]} if counts else {})
        )
    return reply(found)


async def _leave(call: Call) -> web.Response:
    guild, _ = await call.guild()
    try:
        change = await call.context.store.leave(guild.id, call.user.id)
    except NotFoundError:
        raise unknown_guild() from None
    await call.applied(change)
    return empty()


async def _my_member(call: Call) -> web.Response:
    _, member = await call.guild()
    return reply(payloads.member(member))


async def _my_channels(call: Call) -> web.Response:
    direct = await call.context.store.dms(call.user.id)
    return reply([payloads.channel(channel, to=call.user.id) for channel in direct])


async def _direct(call: Call) -> web.Response:
    form = await call.form()
    recipient = form.snowflake("recipient_id")
    if recipient is None:
        recipient = next(iter(form.snowflakes("recipients", most=1) or ()), None)
    if recipient is None and not form.errors:
        form.fail("recipient_id", "BASE_TYPE_REQUIRED", "This field is required")
    form.check()
    assert recipient is not None
    if recipient == call.user.id:
        raise ApiError(400, 50033, "Invalid Recipient(s)")
    if await call.context.guilds.user(recipient) is None:
        raise unknown_user()
    channel = await call.context.store.dm(call.context.ids.next_id(), call.user.id, recipient)
    return reply(payloads.channel(channel, to=call.user.id))


ROUTES: Final = [
    Route("GET", "/users/@me", _me),
    Route("GET", "/users/{user}", _user),
    Route("GET", "/users/@me/guilds", _my_guilds),
    Route("DELETE", "/users/@me/guilds/{guild}", _leave),
    Route("GET", "/users/@me/guilds/{guild}/member", _my_member),
    Route("GET", "/users/@me/channels", _my_channels),
    Route("POST", "/users/@me/channels", _direct),
]
