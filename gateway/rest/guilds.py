"""Guilds and their channels."""

from typing import Final

from aiohttp import web

from fanfare import payloads, permissions
from fanfare.model import CATEGORY, TEXT, Channel
from fanfare.permissions import P
from gateway.errors import ApiError, FormError
from gateway.forms import forms_of
from gateway.ingress.access import Place
from gateway.rest.changes import channel_fields
from gateway.rest.channels import check_overwrites, check_parent
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]

_MAX_CHANNELS: Final = 500
_TYPES: Final = (TEXT, 2, CATEGORY, 5)


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild()
    found = payloads.guild(guild)
    if call.request.query.get("with_counts", "").lower() in {"true", "1"}:
        found |= {"approximate_member_count": guild.member_count, "approximate_presence_count": 0}
    return reply(found)


async def _create(call: Call) -> web.Response:
    form = await call.form()
    name = form.text("name", shortest=2, longest=100, required=True)
    form.check()
    change = await call.context.store.create_guild(call.context.ids.next_id, call.user, name or "")
    await call.applied(change)
    return reply(payloads.guild(change.value), 201)


async def _update(call: Call) -> web.Response:
    form = await call.form()
    name = form.text("name", shortest=2, longest=100)
    form.check()
    guild, _ = await call.guild(P.MANAGE_GUILD)
    change = await call.context.store.update_guild(guild.id, name=name)
    await call.applied(change)
    return reply(payloads.guild(change.value))


async def _channels(call: Call) -> web.Response:
    guild, member = await call.guild()
    seen = [
        channel
        for channel in guild.channels.values()
        if permissions.in_channel(guild, member.roles, call.user.id, channel) & P.VIEW_CHANNEL
    ]
    return reply([payloads.channel(channel) for channel in sorted(seen, key=lambda c: (c.position, c.id))])


async def _create_channel(call: Call) -> web.Response:
    form = await call.form()
    fields = {"name": form.text("name", shortest=1, longest=100, required=True)} | channel_fields(form)
    kind = form.integer("type") or TEXT
    if kind not in _TYPES:
        form.fail("type", "BASE_TYPE_CHOICES", f"Value must be one of {set(_TYPES)}.")
    form.check()
    guild, member = await call.guild(P.MANAGE_CHANNELS)
    if len(guild.channels) >= _MAX_CHANNELS:
        raise ApiError(400, 30013, f"Maximum number of guild channels reached ({_MAX_CHANNELS})")
    fields.setdefault("position", max((c.position for c in guild.channels.values()), default=-1) + 1)
    channel = Channel(id=call.context.ids.next_id(), type=kind, guild_id=guild.id, **fields)
    place = Place(channel, guild, member, permissions.base(guild, member))
    check_overwrites(place, channel.overwrites)
    check_parent(place, fields)
    change = await call.context.store.create_channel(channel)
    await call.applied(change)
    return reply(payloads.channel(change.value), 201)


async def _move_channels(call: Call) -> web.Response:
    body = await call.body()
    guild, _ = await call.guild(P.MANAGE_CHANNELS)
    wanted = []
    for form in forms_of(body, _MAX_CHANNELS):
        ident = form.snowflake("id", required=True) or 0
        fields = channel_fields(form)
        form.check()
        if ident not in guild.channels:
            raise FormError.at("id", "GUILD_CHANNEL_UNKNOWN", "Not a channel of this guild")
        wanted.append((ident, {key: fields[key] for key in ("position", "parent_id") if key in fields}))
    change = None
    for ident, moved in wanted:
        change = await call.context.store.update_channel(ident, **moved)
    if change is not None:
        await call.applied(change)
    return empty()


_GUILD: Final = "/guilds/{guild}"

ROUTES: Final = [
    Route("POST", "/guilds", _create),
    Route("GET", _GUILD, _get),
    Route("PATCH", _GUILD, _update),
    Route("GET", _GUILD + "/channels", _channels),
    Route("POST", _GUILD + "/channels", _create_channel),
    Route("PATCH", _GUILD + "/channels", _move_channels),
]
