"""Members of a guild."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web
from msgspec import UNSET

from fanfare import payloads
from fanfare.model import Guild, Member
from fanfare.permissions import VOICE_TYPES, P, base, in_channel, timed_out
from fanfare.rights import MAX_ROLES
from fanfare.store import Change, NotFoundError
from fanfare.tokens import BadTokenError
from gateway.ingress.errors import ApiError, FormError, forbidden, unknown_member, unknown_user
from gateway.ingress.forms import Form
from gateway.rest.context import Call, Route, empty, json_body, reply
from gateway.rest.fields import refuse_others

__all__ = ["ROUTES"]

_UNTIL: Final = "communication_disabled_until"
_LONGEST: Final = timedelta(days=28)


async def _page(call: Call) -> web.Response:
    query = call.query()
    limit, after = query.integer("limit", least=1, most=1000) or 1, query.snowflake("after") or 0
    query.check()
    guild, _ = await call.guild()
    return reply([payloads.member(m) for m in await call.context.store.member_page(guild.id, after, limit)])


async def _search(call: Call) -> web.Response:
    query = call.query()
    limit = query.integer("limit", least=1, most=1000) or 1
    prefix = query.text("query", shortest=1, longest=100, required=True) or ""
    query.check()
    guild, _ = await call.guild()
    found = await call.context.store.search_members(guild.id, prefix, limit)
    return reply([payloads.member(member) for member in found])


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild()
    return reply(payloads.member(await _member(call, guild)))


async def _update(call: Call) -> web.Response:
    form = await call.form()
    guild, me = await call.guild()
    myself = call.request.match_info.get("user") in {None, str(call.user.id)}
    target = me if myself else await _member(call, guild)
    nick = form.text("nick", longest=32)
    roles = form.snowflakes("roles", most=MAX_ROLES)
    known = {"nick", "roles", _UNTIL, "channel_id"}
    until = _until(form) if _UNTIL in form else UNSET
    refuse_others(form, known, payloads.member(target))
    channel = form.snowflake("channel_id") or 0
    form.check()
    if "channel_id" in form:
        await _move(call, guild, me, target, channel)
    change = await _changed(
        call.context.store.set_member(
            guild.id,
            target.user.id,
            roles=roles,
            nick=(nick or None) if "nick" in form else UNSET,
            timed_out_until=until,
            by=call.user.id,
        )
    )
    await call.applied(change)
    return reply(payloads.member(change.value))


async def _move(call: Call, guild: Guild, me: Member, target: Member, channel_id: int) -> None:
    """Put a member into another voice channel, or out of it. Raises: ApiError, RightsError."""
    channel = guild.channels.get(channel_id)
    if channel_id and (channel is None or channel.type not in VOICE_TYPES):
        raise FormError.at("channel_id", "CHANNEL_TYPE_INVALID", "Must be a voice channel of the guild.")
    if not base(guild, me) & P.MOVE_MEMBERS or timed_out(guild, me, datetime.now(UTC)):
        raise forbidden()
    if channel is not None:
        needed = P.VIEW_CHANNEL | P.CONNECT | P.MOVE_MEMBERS
        if in_channel(guild, me.roles, me.user.id, channel) & needed != needed:
            raise forbidden()
    await call.context.statuses.move(guild.id, target.user.id, channel_id)


async def _voice_state(call: Call) -> web.Response:
    guild, me = await call.guild()
    whose = call.user.id if "user" not in call.request.match_info else call.id("user")
    voice = await call.context.statuses.voice_of(guild.id, whose)
    channel = guild.channels.get(voice.channel) if voice is not None else None
    seen = channel is not None and in_channel(guild, me.roles, me.user.id, channel) & P.VIEW_CHANNEL
    if voice is None or not seen:
        raise ApiError(404, 10065, "Unknown Voice State")
    return json_body(voice.state)


def _until(form: Form) -> datetime | None:
    """The end of a timeout; None: there is none."""
    text = form.text(_UNTIL, longest=64)
    if text is None:
        return None
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        form.fail(_UNTIL, "DATE_TIME_TYPE_PARSE", f'Could not parse "{text}". Should be ISO8601.')
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    if until > datetime.now(UTC) + _LONGEST:
        said = f"A timeout lasts {_LONGEST.days} days at the most."
        form.fail(_UNTIL, "GUILD_COMMUNICATION_DISABLED_TOO_LONG", said)
    return until


async def _add(call: Call) -> web.Response:
    """Take a user in who has given us a token of theirs: 204 for a member."""
    form = await call.form()
    token = form.text("access_token", longest=512, required=True) or ""
    nick, roles = form.text("nick", longest=32), form.snowflakes("roles", most=MAX_ROLES)
    refuse_others(form, {"access_token", "nick", "roles"})
    form.check()
    guild, _ = await call.guild(P.CREATE_INSTANT_INVITE)
    user = await call.context.guilds.user(call.id("user"))
    if user is None:
        raise unknown_user()
    try:
        holder = await call.context.accounts.admit(token)
    except BadTokenError:
        raise ApiError(403, 50025, "Invalid OAuth2 access token provided") from None
    if holder.user != user.id:
        raise ApiError(403, 50025, "Invalid OAuth2 access token provided")
    change = await call.context.store.take_in(
        guild.id, user, roles=roles or (), nick=nick or None, by=call.user.id
    )
    if not change.changed:
        return empty()
    await call.applied(change)
    return reply(payloads.member(change.value), 201)


async def _set_nick(call: Call) -> web.Response:
    """The old way to change one's own nick."""
    form = await call.form()
    nick = form.text("nick", longest=32)
    refuse_others(form, {"nick"})
    form.check()
    guild, me = await call.guild()
    change = await _changed(
        call.context.store.set_member(guild.id, me.user.id, nick=nick or None, by=call.user.id)
    )
    await call.applied(change)
    return reply({"nick": change.value.nick})


async def _kick(call: Call) -> web.Response:
    guild, _ = await call.guild(P.KICK_MEMBERS)
    target = await _member(call, guild)
    kicking = call.context.store.remove_member(guild.id, target.user.id, by=call.user.id)
    await call.applied(await _changed(kicking))
    return empty()


async def _add_role(call: Call) -> web.Response:
    return await _set_roles(call, add=[call.id("role")])


async def _remove_role(call: Call) -> web.Response:
    return await _set_roles(call, remove=[call.id("role")])


async def _set_roles(call: Call, add: Sequence[int] = (), remove: Sequence[int] = ()) -> web.Response:
    guild, _ = await call.guild(P.MANAGE_ROLES)
    if any(role not in guild.roles for role in (*add, *remove)):
        raise ApiError(404, 10011, "Unknown Role")
    target = await _member(call, guild)
    changing = call.context.store.set_member(
        guild.id, target.user.id, add_roles=add, remove_roles=remove, by=call.user.id
    )
    await call.applied(await _changed(changing))
    return empty()


async def _member(call: Call, guild: Guild) -> Member:
    member = await call.context.guilds.member(guild.id, call.id("user"))
    if member is None:
        raise unknown_member()
    return member


async def _changed(changing: Any) -> Change[Member]:
    try:
        change: Change[Member] = await changing
    except NotFoundError:
        raise unknown_member() from None
    return change


_MEMBERS: Final = "/guilds/{guild}/members"

ROUTES: Final = [
    Route("GET", _MEMBERS, _page),
    Route("GET", _MEMBERS + "/search", _search),
    Route("GET", _MEMBERS + "/{user}", _get),
    Route("PATCH", _MEMBERS + "/@me", _update),
    Route("PATCH", _MEMBERS + "/@me/nick", _set_nick),
    Route("PUT", _MEMBERS + "/{user}", _add),
    Route("PATCH", _MEMBERS + "/{user}", _update),
    Route("DELETE", _MEMBERS + "/{user}", _kick),
    Route("PUT", _MEMBERS + "/{user}/roles/{role}", _add_role),
    Route("GET", "/guilds/{guild}/voice-states/@me", _voice_state),
    Route("GET", "/guilds/{guild}/voice-states/{user}", _voice_state),
    Route("DELETE", _MEMBERS + "/{user}/roles/{role}", _remove_role),
]
