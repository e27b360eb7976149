"""What a guild event does to a guild's state, and how it was before it. Pure: the state given is left as it was."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from fanfare.constants import ARCHIVED_KEPT_S, LARGE_GUILD
from fanfare.model import (
    Channel,
    CustomEmoji,
    Guild,
    GuildSettings,
    Member,
    Overwrite,
    Role,
    Tag,
    Thread,
    ThreadMember,
    User,
)
from fanfare.record import Record

__all__ = ["UnknownPastError", "apply", "undo"]


_ARCHIVED_KEPT: Final = dt.timedelta(seconds=ARCHIVED_KEPT_S)


_Joined = tuple[ThreadMember, ...]


class UnknownPastError(Exception):
    """A change does not say what was before it."""


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
    available_tags: tuple[Tag, ...] = ()


class _Metadata(msgspec.Struct):
    archived: bool
    auto_archive_duration: int
    archive_timestamp: dt.datetime
    locked: bool
    create_timestamp: dt.datetime
    invitable: bool = True


class _ThreadMember(msgspec.Struct):
    user_id: int
    join_timestamp: dt.datetime


class _Thread(msgspec.Struct):
    id: int
    type: int
    guild_id: int
    parent_id: int
    owner_id: int
    name: str
    nsfw: bool
    rate_limit_per_user: int
    thread_metadata: _Metadata
    applied_tags: tuple[int, ...] = ()
    members: list[_ThreadMember] | None = None
    """None: as they are known."""


class _ThreadMembers(msgspec.Struct):
    id: int
    added_members: list[_ThreadMember] = []
    removed_member_ids: list[int] = []


class _ThreadMembersWere(msgspec.Struct):
    id: int
    members: list[_ThreadMember]


class _Role(msgspec.Struct):
    role: Role


class _RoleGone(msgspec.Struct):
    role_id: int


class _LostOverwrite(msgspec.Struct):
    channel_id: int
    overwrite: Overwrite


class _RoleWas(msgspec.Struct):
    role: Role
    overwrites: list[_LostOverwrite]
    members: list[int] | None
    """The members that held it; None if they were too many to be named."""


class _Member(msgspec.Struct):
    user: User
    joined_at: dt.datetime
    roles: tuple[int, ...] = ()
    nick: str | None = None
    communication_disabled_until: dt.datetime | None = None


class _MemberGone(msgspec.Struct):
    user: User


class _Emojis(msgspec.Struct):
    emojis: list[CustomEmoji]


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


def undo(guild: Guild, record: Record) -> Guild:
    """The guild before an event that made its present version.

    Raises:
        UnknownPastError: the event does not say how it was.

    """
    assert record.version == guild.version
    change = _UNDONE.get(record.type)
    try:
        was = change(guild, record) if change is not None else guild
    except msgspec.DecodeError as error:
        raise UnknownPastError(f"{record.type} without what was before") from error
    return replace(was, version=guild.version - 1)


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
        tags=found.available_tags,
    )
    return replace(guild, channels=guild.channels | {channel.id: channel})


def _channel_gone(guild: Guild, payload: bytes) -> Guild:
    gone = _read(payload, _Channel).id
    return replace(guild, channels={key: value for key, value in guild.channels.items() if key != gone})


def _thread(guild: Guild, payload: bytes) -> Guild:
    found: _Thread = _read(payload, _Thread)
    known = guild.channels.get(found.id)
    members = known.thread.members if known is not None and known.thread is not None else ()
    metadata = found.thread_metadata
    thread = Channel(
        id=found.id,
        type=found.type,
        guild_id=found.guild_id,
        name=found.name,
        parent_id=found.parent_id,
        nsfw=found.nsfw,
        rate_limit_per_user=found.rate_limit_per_user,
        thread=Thread(
            owner_id=found.owner_id,
            made_at=metadata.create_timestamp,
            archived=metadata.archived,
            changed_at=metadata.archive_timestamp,
            auto_archive=metadata.auto_archive_duration,
            locked=metadata.locked,
            invitable=metadata.invitable,
            members=members if found.members is None else _members(found.members),
            tags=found.applied_tags,
        ),
    )
    long_ago = metadata.archive_timestamp - _ARCHIVED_KEPT
    kept = {ident: one for ident, one in guild.channels.items() if not _archived_before(one, long_ago)}
    kept[thread.id] = thread
    return replace(guild, channels=kept)


def _archived_before(channel: Channel, moment: dt.datetime) -> bool:
    about = channel.thread
    return about is not None and about.archived and about.changed_at < moment


def _thread_members(guild: Guild, payload: bytes) -> Guild:
    found: _ThreadMembers = _read(payload, _ThreadMembers)

    def after(before: _Joined) -> _Joined:
        members = {one.id: one for one in (*before, *_members(found.added_members))}
        for ident in found.removed_member_ids:
            members.pop(ident, None)
        return tuple(sorted(members.values(), key=lambda one: one.id))

    return _with_members(guild, found.id, after)


def _thread_members_were(guild: Guild, payload: bytes) -> Guild:
    found: _ThreadMembersWere = _read(payload, _ThreadMembersWere)
    return _with_members(guild, found.id, lambda _: _members(found.members))


def _with_members(guild: Guild, ident: int, change: Callable[[_Joined], _Joined]) -> Guild:
    thread = guild.channels.get(ident)
    if thread is None or thread.thread is None:
        return guild
    about = replace(thread.thread, members=change(thread.thread.members))
    return replace(guild, channels=guild.channels | {ident: replace(thread, thread=about)})


def _members(found: list[_ThreadMember]) -> _Joined:
    return tuple(ThreadMember(one.user_id, one.join_timestamp) for one in found)


def _role(guild: Guild, payload: bytes) -> Guild:
    role = _read(payload, _Role).role
    return replace(guild, roles=guild.roles | {role.id: role})


def _role_gone(guild: Guild, payload: bytes) -> Guild:
    gone = _read(payload, _RoleGone).role_id
    channels = {
        ident: replace(channel, overwrites=tuple(one for one in channel.overwrites if one.id != gone))
        for ident, channel in guild.channels.items()
        if any(one.id == gone for one in channel.overwrites)
    }
    members = {
        ident: replace(member, roles=tuple(role for role in member.roles if role != gone))
        for ident, member in guild.members.items()
        if gone in member.roles
    }
    return replace(
        guild,
        roles={key: value for key, value in guild.roles.items() if key != gone},
        channels=guild.channels | channels if channels else guild.channels,
        members=guild.members | members if members else guild.members,
    )


def _member(guild: Guild, payload: bytes) -> Guild:
    found: _Member = _read(payload, _Member)
    member = Member(
        user=found.user,
        roles=found.roles,
        joined_at=found.joined_at,
        nick=found.nick,
        timed_out_until=found.communication_disabled_until,
    )
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
    settings: GuildSettings = _read(payload, GuildSettings)
    return replace(guild, name=found.name, owner_id=found.owner_id, settings=settings)


def _emojis(guild: Guild, payload: bytes) -> Guild:
    found: _Emojis = _read(payload, _Emojis)
    return replace(guild, emojis={one.id: one for one in found.emojis})


_CHANGES = {
    "CHANNEL_CREATE": _channel,
    "CHANNEL_UPDATE": _channel,
    "CHANNEL_DELETE": _channel_gone,
    "THREAD_CREATE": _thread,
    "THREAD_UPDATE": _thread,
    "THREAD_DELETE": _channel_gone,
    "THREAD_MEMBERS_UPDATE": _thread_members,
    "GUILD_ROLE_CREATE": _role,
    "GUILD_ROLE_UPDATE": _role,
    "GUILD_ROLE_DELETE": _role_gone,
    "GUILD_MEMBER_ADD": _member_new,
    "GUILD_MEMBER_UPDATE": _member_changed,
    "GUILD_MEMBER_REMOVE": _member_gone,
    "GUILD_DELETE": _member_gone,
    "GUILD_UPDATE": _guild,
    "GUILD_EMOJIS_UPDATE": _emojis,
}


def _without_role(guild: Guild, record: Record) -> Guild:
    gone = _read(record.payload, _Role).role.id
    return replace(guild, roles={key: value for key, value in guild.roles.items() if key != gone})


def _with_role(guild: Guild, record: Record) -> Guild:
    was: _RoleWas = _read(record.before, _RoleWas)
    if was.members is None:
        raise UnknownPastError("a role that very many members held is gone")
    channels = dict(guild.channels)
    for lost in was.overwrites:
        channel = channels.get(lost.channel_id)
        if channel is not None:
            overwrites = sorted((*channel.overwrites, lost.overwrite), key=lambda one: one.id)
            channels[channel.id] = replace(channel, overwrites=tuple(overwrites))
    members = {
        ident: replace(member, roles=tuple(sorted((*member.roles, was.role.id))))
        for ident in was.members
        if (member := guild.members.get(ident)) is not None
    }
    return replace(
        guild,
        roles=guild.roles | {was.role.id: was.role},
        channels=channels,
        members=guild.members | members,
    )


def _member_back(guild: Guild, record: Record) -> Guild:
    return replace(_member(guild, record.before), member_count=guild.member_count + 1)


def _created(guild: Guild, _: Record) -> Guild:
    raise UnknownPastError(f"before it there was no guild {guild.id}")


def _replaced(change: Callable[[Guild, bytes], Guild]) -> Callable[[Guild, Record], Guild]:
    return lambda guild, record: change(guild, record.before)


def _reversed(change: Callable[[Guild, bytes], Guild]) -> Callable[[Guild, Record], Guild]:
    return lambda guild, record: change(guild, record.payload)


_UNDONE: Final[dict[str, Callable[[Guild, Record], Guild]]] = {
    "CHANNEL_CREATE": _reversed(_channel_gone),
    "CHANNEL_UPDATE": _replaced(_channel),
    "CHANNEL_DELETE": _reversed(_channel),
    "THREAD_CREATE": _reversed(_channel_gone),
    "THREAD_UPDATE": _replaced(_thread),
    "THREAD_DELETE": _replaced(_thread),
    "THREAD_MEMBERS_UPDATE": _replaced(_thread_members_were),
    "GUILD_CREATE": _created,
    "GUILD_ROLE_CREATE": _without_role,
    "GUILD_ROLE_UPDATE": _replaced(_role),
    "GUILD_ROLE_DELETE": _with_role,
    "GUILD_MEMBER_ADD": _reversed(_member_gone),
    "GUILD_MEMBER_UPDATE": _replaced(_member_changed),
    "GUILD_MEMBER_REMOVE": _member_back,
    "GUILD_DELETE": _member_back,
    "GUILD_UPDATE": _replaced(_guild),
    "GUILD_EMOJIS_UPDATE": _replaced(_emojis),
}
