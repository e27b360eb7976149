"""Invites: the way by which people join a guild over the network."""

import secrets
import string
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import Guild, Invite
from fanfare.permissions import P
from fanfare.presence.statuses import online_in
from fanfare.store import NotFoundError
from gateway.ingress.errors import ApiError
from gateway.rest.context import Call, Route, reply
from gateway.rest.fields import refuse_others

__all__ = ["ROUTES"]

# 59 bits: nobody finds one by trying.
_CODE: Final = 10
_LETTERS: Final = string.ascii_letters + string.digits
_MAX_AGE_S: Final = 7 * 86_400
_AGE_S: Final = 86_400


async def _create(call: Call) -> web.Response:
    form = await call.form()
    age = form.integer("max_age", most=_MAX_AGE_S)
    uses = form.integer("max_uses", most=100) or 0
    unique = form.boolean("unique") or False
    refuse_others(form, {"max_age", "max_uses", "unique"})
    form.check()
    place, guild = await call.guild_place()
    made = Invite(
        code="".join(secrets.choice(_LETTERS) for _ in range(_CODE)),
        guild_id=guild.id,
        channel_id=place.channel.id,
        inviter=call.user,
        made_at=datetime.now(UTC),
        max_age=_AGE_S if age is None else age,
        max_uses=uses,
    )
    change = await call.context.store.create_invite(place.channel, made, unique=unique)
    if change.changed:
        await call.applied(change)
    return reply(payloads.invite(change.value, guild, metadata=True))


async def _of_channel(call: Call) -> web.Response:
    place, guild = await call.guild_place()
    place.require(P.MANAGE_CHANNELS)
    found = await call.context.store.invites(guild.id, place.channel.id)
    return reply([payloads.invite(one, guild, metadata=True) for one in found])


async def _of_guild(call: Call) -> web.Response:
    guild, _ = await call.guild(P.MANAGE_GUILD)
    found = await call.context.store.invites(guild.id)
    return reply([payloads.invite(one, guild, metadata=True) for one in found])


async def _get(call: Call) -> web.Response:
    found = await _invite(call)
    guild = await call.context.guilds.get(found.guild_id)
    online = await online_in(call.context.redis, [guild.id])
    return reply(payloads.invite(found, guild) | {"approximate_presence_count": online[guild.id]})


async def _delete(call: Call) -> web.Response:
    found = await _invite(call)
    guild, _ = await call.context.ingress.access.guild(call.user, found.guild_id)
    try:
        change = await call.context.store.delete_invite(found.code, by=call.user.id)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return reply(payloads.invite(found, guild))


async def _use(call: Call) -> web.Response:
    """Join. Discord lets people do so, and bots come in by another door; here it is the door for both."""
    form = await call.form()
    refuse_others(form, {"session_id"})
    form.check()
    found = await _invite(call)
    try:
        change = await call.context.store.use_invite(found.code, call.user)
    except NotFoundError:
        raise _unknown() from None
    if change.changed:
        await call.applied(change)
    guild: Guild = await call.context.guilds.get(found.guild_id)
    return reply(payloads.invite(found, guild) | {"new_member": change.changed})


async def _invite(call: Call) -> Invite:
    try:
        return await call.context.store.invite(call.request.match_info["code"])
    except NotFoundError:
        raise _unknown() from None


def _unknown() -> ApiError:
    return ApiError(404, 10006, "Unknown Invite")


_INVITE: Final = "/invites/{code}"

ROUTES: Final = [
    Route("POST", "/channels/{channel}/invites", _create),
    Route("GET", "/channels/{channel}/invites", _of_channel),
    Route("GET", "/guilds/{guild}/invites", _of_guild),
    Route("GET", _INVITE, _get),
    Route("POST", _INVITE, _use),
    Route("DELETE", _INVITE, _delete),
]
