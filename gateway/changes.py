"""What a guild event does to a guild's state. Pure: the old state is left as it was."""

import datetime as dt
from typing import Any

import msgspec
from msgspec.structs import replace

from fanfare.constants import LARGE_GUILD
from fanfare.model import Channel, Guild, Member, Overwrite, Role, User
from fanfare.record import Record

__all__ = ["apply"]


class _Channel(msgspec.Struct):
    id: int
    type: int
    guild_id: int
    name: str = ""
    topic: str | None = None
    position: int = 0
    parent_id: int | None = None
    nsfw: bool = False
    rate_limit_per_user: int = 0
    permission_overwrites: tuple[Overwrite, ...] = ()


class _Role(msgspec.Struct):
    role: Role


class _RoleGone(msgspec.Struct):
    role_id: int


class _Member(msgspec.Struct):
    user: User
    joined_at: dt.datetime
    roles: tuple[int, ...] = ()
    nick: str | None = None


class _MemberGone(msgspec.Struct):
    user: User


class _Guild(msgspec.Struct):
    name: str
    owner_id: int


def apply(guild: Guild, record: Record) -> Guild:
    """The guild after the event. One that the guild's version already holds changes nothing."""
    if record.version <= guild.version:
        return guild
    change = _CHANGES.get(record.type)
    changed = change(guild, record.payload) if change is not None else guild
    return replace(changed, version=record.version)


def _read(payload: bytes, kind: Any) -> Any:
    # Ids and permissions are decimal strings on the wire.
    return msgspec.json.decode(payload, type=kind, strict=False)


def _channel(guild: Guild, payload: bytes) -> Guild:
    found: _Channel = _read(payload, _Channel)
    channel = Channel(
        id=found.id,
        type=found.type,
        guild_id=found.guild_id,
        name=found.name,
        topic=found.topic,
        position=found.position,
        parent_id=found.parent_id or 0,
        nsfw=found.nsfw,
        rate_limit_per_user=found.rate_limit_per_user,
        overwrites=found.permission_overwrites,
    )
    return replace(guild, channels=guild.channels | {channel.id: channel})


def _channel_gone(guild: Guild, payload: bytes) -> Guild:
    gone = _read(payload, _Channel).id
    return replace(guild, channels={key: value for key, value in guild.channels.items() if key != gone})


def _role(guild: Guild, payload: bytes) -> Guild:
    role = _read(payload, _Role).role
    return replace(guild, roles=guild.roles | {role.id: role})


def _role_gone(guild: Guild, payload: bytes) -> Guild:
    gone = _read(payload, _RoleGone).role_id
    return replace(guild, roles={key: value for key, value in guild.roles.items() if key != gone})


def _member(guild: Guild, payload: bytes) -> Guild:
    found: _Member = _read(payload, _Member)
    member = Member(user=found.user, roles=found.roles, joined_at=found.joined_at, nick=found.nick)
    return replace(guild, members=guild.members | {member.user.id: member})


def _member_new(guild: Guild, payload: bytes) -> Guild:
    count = guild.member_count + 1
    if count > LARGE_GUILD:
        # The members of a large guild are looked up as they are needed.
        return replace(guild, member_count=count)
    return replace(_member(guild, payload), member_count=count)


def _member_changed(guild: Guild, payload: bytes) -> Guild:
    known = _read(payload, _MemberGone).user.id in guild.members
    return _member(guild, payload) if known else guild


def _member_gone(guild: Guild, payload: bytes) -> Guild:
    gone = _read(payload, _MemberGone).user.id
    members = {key: value for key, value in guild.members.items() if key != gone}
    return replace(guild, members=members, member_count=guild.member_count - 1)


def _guild(guild: Guild, payload: bytes) -> Guild:
    found: _Guild = _read(payload, _Guild)
    return replace(guild, name=found.name, owner_id=found.owner_id)


_CHANGES = {
    "CHANNEL_CREATE": _channel,
    "CHANNEL_UPDATE": _channel,
    "CHANNEL_DELETE": _channel_gone,
    "GUILD_ROLE_CREATE": _role,
    "GUILD_ROLE_UPDATE": _role,
    "GUILD_ROLE_DELETE": _role_gone,
    "GUILD_MEMBER_ADD": _member_new,
    "GUILD_MEMBER_UPDATE": _member_changed,
    "GUILD_MEMBER_REMOVE": _member_gone,
    "GUILD_UPDATE": _guild,
}
