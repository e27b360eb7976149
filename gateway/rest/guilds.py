"""Guilds and their channels."""

from typing import Any, Final

from aiohttp import web

from fanfare import payloads, permissions
from fanfare.model import ANNOUNCEMENT, CATEGORY, FORUM, TEXT, THREADS, VOICE, Channel
from fanfare.permissions import P
from fanfare.presence.statuses import online_in
from fanfare.rights import MAX_CHANNELS
from fanfare.store import NotFoundError
from gateway.ingress.errors import FormError, unknown_channel
from gateway.ingress.forms import forms_of
from gateway.ingress.pictures import BODY_BYTES, picture
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import GUILD_SETTINGS, channel_fields, guild_settings, refuse_others
from gateway.rest.forum_tags import available_tags
from gateway.rest.pictures import icon_name, icon_path

__all__ = ["ROUTES"]

# The most guilds of one owner that can be made over REST.
_MAX_GUILDS: Final = 100
# The most members of a guild that can be deleted.
_MAX_DELETED: Final = 10_000
_TYPES: Final = (TEXT, VOICE, CATEGORY, ANNOUNCEMENT, FORUM)


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild()
    found = payloads.guild(guild)
    if call.asks("with_counts"):
        online = await online_in(call.context.redis, [guild.id])
        found |= {
            "approximate_member_count": guild.member_count,
            "approximate_presence_count": online[guild.id],
        }
    return reply(found)


async def _create(call: Call) -> web.Response:
    form = await call.form()
    name = form.text("name", shortest=2, longest=100, required=True)
    refuse_others(form, {"name"})
    form.check()
    change = await call.context.store.create_guild(
        call.context.ids.next_id, call.user, name or "", most=_MAX_GUILDS
    )
    await call.applied(change)
    return reply(payloads.guild(change.value), 201)


async def _update(call: Call) -> web.Response:
    form = await call.form(BODY_BYTES)
    guild, _ = await call.guild(P.MANAGE_GUILD)
    name, owner = form.text("name", shortest=2, longest=100), form.snowflake("owner_id")
    settings, icon = guild_settings(form), picture(form, "icon")
    refuse_others(form, {"name", "owner_id", "icon", *GUILD_SETTINGS}, payloads.guild(guild))
    form.check()
    if icon is not None:
        settings["icon"] = await _keep_icon(call, guild.id, icon)
    elif "icon" in form:
        settings["icon"] = None
    change = await call.context.store.update_guild(
        guild.id, by=call.user.id, name=name, owner_id=owner, **settings
    )
    await call.applied(change)
    return reply(payloads.guild(change.value))


async def _keep_icon(call: Call, guild_id: int, icon: bytes) -> str:
    name = icon_name(icon)
    await call.context.files.put(icon_path(guild_id, name), icon)
    return name


async def _delete(call: Call) -> web.Response:
    guild, _ = await call.guild()
    change = await call.context.store.delete_guild(guild.id, by=call.user.id, most=_MAX_DELETED)
    await call.told(change)
    return empty()


async def _channels(call: Call) -> web.Response:
    guild, member = await call.guild()
    seen = [
        channel
        for channel in guild.channels.values()
        if channel.type not in THREADS
        and permissions.in_channel(guild, member.roles, call.user.id, channel) & P.VIEW_CHANNEL
    ]
    return reply([payloads.channel(channel) for channel in sorted(seen, key=lambda c: (c.position, c.id))])


async def _create_channel(call: Call) -> web.Response:
    form = await call.form()
    name = form.text("name", shortest=1, longest=100, required=True)
    kind = form.integer("type") or TEXT
    if kind not in _TYPES:
        form.fail("type", "BASE_TYPE_CHOICES", f"Value must be one of {set(_TYPES)}.")
    known = {"type", "available_tags"} if kind == FORUM else {"type"}
    fields = {"name": name or ""} | channel_fields(form, known)
    if kind == FORUM:
        fields["tags"] = available_tags(form, (), call.context.ids.next_id) or ()
    form.check()
    guild, _ = await call.guild(P.MANAGE_CHANNELS)
    channel = Channel(id=call.context.ids.next_id(), type=kind, guild_id=guild.id, **fields)
    change = await call.context.store.create_channel(
        channel, by=call.user.id, inherit="overwrites" not in fields, last="position" not in fields
    )
    await call.applied(change)
    return reply(payloads.channel(change.value), 201)


async def _move_channels(call: Call) -> web.Response:
    body = await call.body()
    guild, _ = await call.guild()
    moves: dict[int, dict[str, Any]] = {}
    in_step = set()
    for form in forms_of(body, MAX_CHANNELS):
        ident = form.snowflake("id", required=True) or 0
        refuse_others(form, {"id", "position", "parent_id", "lock_permissions"})
        fields = channel_fields(form, {"id", "lock_permissions"})
        if form.boolean("lock_permissions"):
            in_step.add(ident)
        form.check()
        if ident not in guild.channels or guild.channels[ident].type in THREADS:
            raise FormError.at("id", "GUILD_CHANNEL_UNKNOWN", "Not a channel of this guild")
        moves[ident] = {key: fields[key] for key in ("position", "parent_id") if key in fields}
    try:
        change = await call.context.store.move_channels(guild.id, moves, by=call.user.id, in_step=in_step)
    except NotFoundError:
        raise unknown_channel() from None
    if change.changed:
        await call.applied(change)
    return empty()


_GUILD: Final = "/guilds/{guild}"

ROUTES: Final = [
    Route("POST", "/guilds", _create),
    Route("GET", _GUILD, _get),
    Route("PATCH", _GUILD, _update),
    Route("DELETE", _GUILD, _delete),
    Route("GET", _GUILD + "/channels", _channels),
    Route("POST", _GUILD + "/channels", _create_channel),
    Route("PATCH", _GUILD + "/channels", _move_channels),
]
