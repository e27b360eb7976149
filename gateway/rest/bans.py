"""Bans of a guild."""

from typing import Any, Final

from aiohttp import web

from fanfare import payloads
from fanfare.clock import now_s
from fanfare.model import Guild, User
from fanfare.permissions import P
from fanfare.rights import RightsError
from fanfare.store import NotFoundError
from fanfare.store.bans import Ban
from gateway.ingress.errors import ApiError, unknown_user
from gateway.ingress.forms import Form
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import refuse_others

__all__ = ["ROUTES"]

_MAX_S: Final = 7 * 86_400
_BULK: Final = 200


async def _page(call: Call) -> web.Response:
    query = call.query()
    limit, after = query.integer("limit", least=1, most=1000) or 1000, query.snowflake("after") or 0
    before = query.snowflake("before")
    query.check()
    guild, _ = await call.guild(P.BAN_MEMBERS)
    bans = await call.context.store.bans(guild.id, before=before, after=after, limit=limit)
    return reply([_shown(ban) for ban in bans])


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild(P.BAN_MEMBERS)
    ban = await call.context.store.ban_of(guild.id, call.id("user"))
    if ban is None:
        raise _unknown()
    return reply(_shown(ban))


async def _ban(call: Call) -> web.Response:
    form = await call.form()
    seconds = _seconds(form)
    form.check()
    guild, _ = await call.guild(P.BAN_MEMBERS)
    user = await call.context.guilds.user(call.id("user"))
    if user is None:
        raise unknown_user()
    await _keep_out(call, guild, user, seconds)
    return empty()


async def _ban_many(call: Call) -> web.Response:
    form = await call.form()
    users = form.snowflakes("user_ids", most=_BULK)
    seconds = _seconds(form, {"user_ids"})
    if not users and not form.errors:
        form.fail("user_ids", "BASE_TYPE_REQUIRED", "This field is required")
    form.check()
    guild, _ = await call.guild(P.BAN_MEMBERS | P.MANAGE_GUILD)
    found = await call.context.guilds.users(users or ())
    banned, failed = [], [ident for ident in users or () if ident not in found]
    for ident, user in found.items():
        try:
            await _keep_out(call, guild, user, seconds)
        except RightsError:
            failed.append(ident)
        else:
            banned.append(ident)
    if not banned:
        raise ApiError(400, 500000, "Failed to ban users")
    return reply({"banned_users": [str(i) for i in banned], "failed_users": [str(i) for i in failed]})


async def _unban(call: Call) -> web.Response:
    guild, _ = await call.guild(P.BAN_MEMBERS)
    try:
        change = await call.context.store.unban(guild.id, call.id("user"), by=call.user.id)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return empty()


async def _keep_out(call: Call, guild: Guild, user: User, seconds: int) -> None:
    change = await call.context.store.ban(guild.id, user, by=call.user.id)
    if change.changed:
        await call.applied(change)
    if seconds:
        # After the ban is in force everywhere: nothing more is written that would be missed.
        since_ms = int((now_s() - seconds) * 1000)
        await call.context.ingress.purge.of_author(guild, user.id, since_ms, call.user.id)


def _seconds(form: Form, known: Any = ()) -> int:
    """How far back messages are deleted; days are the old way to say so."""
    refuse_others(form, {"delete_message_seconds", "delete_message_days", "reason", *known})
    days = form.integer("delete_message_days", most=7) or 0
    seconds = form.integer("delete_message_seconds", most=_MAX_S)
    return days * 86_400 if seconds is None else seconds


def _shown(ban: Ban) -> payloads.Json:
    return {"user": payloads.user(ban.user), "reason": ban.reason}


def _unknown() -> ApiError:
    return ApiError(404, 10026, "Unknown Ban")


_BANS: Final = "/guilds/{guild}/bans"

ROUTES: Final = [
    Route("GET", _BANS, _page),
    Route("GET", _BANS + "/{user}", _get),
    Route("PUT", _BANS + "/{user}", _ban),
    Route("DELETE", _BANS + "/{user}", _unban),
    Route("POST", "/guilds/{guild}/bulk-ban", _ban_many),
]
