"""Who may change what in a guild: one decision for each kind of change, from the state before and after it. Pure.

Each function returns when the change is allowed, and raises when it is not. The store calls them inside the transaction
that makes the change, on the guild as it is locked, so that nothing can happen between the decision and the change.
User id 0 is the operator at the command line, who may do everything: these functions are not called for the operator.

The rules are Discord's (documentation, "Permissions" and the pages of the resources):

- The owner may do everything, and nobody changes or removes the owner.
- Somebody changes only roles, and members, below their own highest role; no role passes it.
- Somebody gives and takes only bits that they have. Bits that stay as they were are not looked at, even if Fanfare has
  no name for them.
- @everyone is neither renamed, moved, shown apart, given nor deleted.
- In a voice channel, somebody without CONNECT manages nothing (`fanfare.permissions.in_channel`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from fanfare.model import (
    ANNOUNCEMENT,
    ANNOUNCEMENT_THREAD,
    CATEGORY,
    FORUM,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    TEXT,
    THREADS,
    VOICE,
    Channel,
    Guild,
    GuildSettings,
    Member,
    Overwrite,
    Role,
    Thread,
)
from fanfare.permissions import P, base, in_channel, timed_out, top_role

__all__ = [
    "MAX_CHANNELS",
    "MAX_CHILDREN",
    "MAX_EMOJIS",
    "MAX_OVERWRITES",
    "MAX_ROLES",
    "MAX_THREADS",
    "MAX_THREAD_MEMBERS",
    "BadChangeError",
    "NotAllowedError",
    "RightsError",
    "WrongTypeError",
    "banned",
    "channel_changed",
    "channel_created",
    "channel_deleted",
    "children_in_step",
    "emoji_changed",
    "emoji_created",
    "guild_changed",
    "guild_deleted",
    "guild_pruned",
    "invite_deleted",
    "invited",
    "member",
    "member_changed",
    "member_left",
    "member_removed",
    "role_changed",
    "role_created",
    "role_deleted",
    "thread_changed",
    "thread_created",
    "thread_joined",
    "thread_left",
    "unbanned",
    "webhook_changed",
]

MAX_ROLES: Final = 250
MAX_CHANNELS: Final = 500
MAX_OVERWRITES: Final = 500
MAX_CHILDREN: Final = 50
"""Channels in a category."""

MAX_EMOJIS: Final = 50
"""Emojis of a guild that move, and as many that do not."""
MAX_THREADS: Final = 1000
"""Threads of a guild that are not archived."""
MAX_THREAD_MEMBERS: Final = 1000

# The channels in which there may be threads of a type.
_HOLDS: Final = {
    ANNOUNCEMENT_THREAD: {ANNOUNCEMENT},
    PUBLIC_THREAD: {TEXT, FORUM},
    PRIVATE_THREAD: {TEXT},
}
# The types of the channels that a guild may be set to.
_CHANNEL_SETTINGS: Final = {
    "afk_channel_id": {VOICE},
    "system_channel_id": {TEXT, ANNOUNCEMENT},
    "rules_channel_id": {TEXT, ANNOUNCEMENT},
    "public_updates_channel_id": {TEXT, ANNOUNCEMENT},
    "safety_alerts_channel_id": {TEXT, ANNOUNCEMENT},
}
_EVERY_BIT: Final = (1 << 64) - 1
_ADMINISTRATOR: Final = int(P.ADMINISTRATOR)
_MANAGE_ROLES: Final = int(P.MANAGE_ROLES)


class RightsError(Exception):
    """The change is not made."""


class NotAllowedError(RightsError):
    """Somebody may not do this; Discord's code 50013."""


class BadChangeError(RightsError):
    """Nobody can do this."""

    def __init__(self, code: int, message: str, *, field: str = "") -> None:
        """Args: code: Discord's; field: of the body, for 50035."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class WrongTypeError(BadChangeError):
    """A channel of this type has no such thing."""

    def __init__(self) -> None:
        super().__init__(50024, "Cannot execute action on this channel type")


def member(guild: Guild, user_id: int, now: datetime | None = None) -> Member:
    """The member that changes something.

    Args:
        guild: as it is.
        user_id: who.
        now: when; None: timeouts do not matter.

    Raises:
        NotAllowedError: the user is not in the guild, or not any more, or timed out.

    """
    found = guild.members.get(user_id)
    if found is None or (now is not None and timed_out(guild, found, now)):
        raise NotAllowedError
    return found


# Roles


def role_created(guild: Guild, by: Member, role: Role) -> None:
    """Somebody makes a role. Raises: RightsError."""
    _require(guild, by, P.MANAGE_ROLES)
    if len(guild.roles) >= MAX_ROLES:
        raise BadChangeError(30005, f"Maximum number of guild roles reached ({MAX_ROLES})")
    _below(guild, by, (role.position, -role.id))
    _has(guild, by, role.permissions)
    _check_place(role)


def role_changed(guild: Guild, by: Member, before: Role, after: Role) -> None:
    """Somebody changes a role. Raises: RightsError."""
    _require(guild, by, P.MANAGE_ROLES)
    _below(guild, by, (before.position, -before.id))
    _below(guild, by, (after.position, -after.id))
    _has(guild, by, before.permissions ^ after.permissions)
    if before.id == guild.id and _fixed(before) != _fixed(after):
        raise BadChangeError(50028, "Invalid Role: @everyone has no other name, place or look")
    if before.id != guild.id:
        _check_place(after)


def _check_place(role: Role) -> None:
    if role.position < 1:
        raise BadChangeError(50035, "Only @everyone is at position 0.", field="position")


def _fixed(role: Role) -> tuple[str, int, bool, bool, int]:
    """What @everyone keeps."""
    return role.name, role.position, role.hoist, role.mentionable, role.color


def role_deleted(guild: Guild, by: Member, role: Role) -> None:
    """Somebody deletes a role. Raises: RightsError."""
    _require(guild, by, P.MANAGE_ROLES)
    if role.id == guild.id or role.managed:
        raise BadChangeError(50028, "Invalid Role")
    _below(guild, by, (role.position, -role.id))


# Channels


def channel_created(guild: Guild, by: Member, channel: Channel, *, inherited: bool) -> None:
    """Somebody makes a channel.

    Args:
        guild: as it is.
        by: who.
        channel: the new one.
        inherited: its overwrites are those of its category, and nobody said so.

    Raises:
        RightsError: it must not be.

    """
    _require(guild, by, P.MANAGE_CHANNELS)
    if sum(one.type not in THREADS for one in guild.channels.values()) >= MAX_CHANNELS:
        raise BadChangeError(30013, f"Maximum number of guild channels reached ({MAX_CHANNELS})")
    _check_parent(guild, by, channel)
    if not inherited:
        _check_overwrites(guild, by, base(guild, by), (), channel)


def channel_changed(
    guild: Guild, by: Member, before: Channel, after: Channel, *, locked: bool = False
) -> None:
    """Somebody changes a channel, its overwrites, or both.

    Args:
        guild: as it is.
        by: who.
        before: the channel in it.
        after: the channel as it shall be.
        locked: it takes over the overwrites of its category, which somebody must then see and manage, new or not.

    Raises:
        RightsError: it must not be.

    """
    held = in_channel(guild, by.roles, by.user.id, before)
    _check_visible(held)
    besides = replace(before, overwrites=after.overwrites) != after
    if besides and not held & P.MANAGE_CHANNELS:
        raise NotAllowedError
    if locked or before.parent_id != after.parent_id:
        _check_parent(guild, by, after)
    if before.overwrites != after.overwrites:
        _check_overwrites(guild, by, held, before.overwrites, after)


def channel_deleted(guild: Guild, by: Member, channel: Channel) -> None:
    """Somebody deletes a channel, or a thread. Raises: RightsError."""
    needed = P.MANAGE_THREADS if channel.type in THREADS else P.MANAGE_CHANNELS
    # Who does not see it has no other right in it.
    if not in_channel(guild, by.roles, by.user.id, channel) & needed:
        raise NotAllowedError


def children_in_step(guild: Guild, category: Channel) -> list[Channel]:
    """The channels in a category whose overwrites are the category's: they follow it when it changes."""
    return [
        channel
        for channel in guild.channels.values()
        if channel.parent_id == category.id and channel.overwrites == category.overwrites
    ]


def _check_visible(held: int) -> None:
    if not held & P.VIEW_CHANNEL:
        raise NotAllowedError


def _check_parent(guild: Guild, by: Member, channel: Channel) -> None:
    """The parent is a category, has room, and somebody may manage it: a channel in it takes over its overwrites."""
    if not channel.parent_id:
        return
    parent = guild.channels.get(channel.parent_id)
    held = in_channel(guild, by.roles, by.user.id, parent) if parent is not None else 0
    if parent is None or parent.type != CATEGORY or not held & P.VIEW_CHANNEL:
        raise BadChangeError(50035, "Not a category of this guild.", field="parent_id")
    if channel.type == CATEGORY:
        raise BadChangeError(50035, "A category cannot be in a category.", field="parent_id")
    if not held & P.MANAGE_CHANNELS:
        raise NotAllowedError
    inside = [one for one in guild.channels.values() if one.parent_id == parent.id and one.id != channel.id]
    if len(inside) >= MAX_CHILDREN:
        said = f"Maximum number of channels in category reached ({MAX_CHILDREN})"
        raise BadChangeError(50035, said, field="parent_id")


def _check_overwrites(guild: Guild, by: Member, held: int, had: Iterable[Overwrite], after: Channel) -> None:
    """Somebody has the bits that change, and the role or member of each overwrite exists, or stands so in the category.

    A category keeps the overwrites of members who have left, and what is in it can take over all of them.
    A member that has MANAGE_ROLES only by an overwrite could pass it on by another overwrite: that bit is for
    administrators.
    """
    before = {one.id: one for one in had}
    there = {one.id: one for one in after.overwrites}
    parent = guild.channels.get(after.parent_id)
    known = parent.overwrites if parent is not None else ()
    if len(there) > max(MAX_OVERWRITES, len(before)):
        said = f"Maximum number of channel permission overwrites reached ({MAX_OVERWRITES})"
        raise BadChangeError(30060, said)
    others = [ident for ident in before.keys() | there.keys() if before.get(ident) != there.get(ident)]
    if not others:
        return
    changed = 0
    for ident in others:
        old, new = before.get(ident), there.get(ident)
        if new is not None and (old is None or old.type != new.type) and new not in known:
            _check_target(guild, new)
        changed |= (old.allow if old else 0) ^ (new.allow if new else 0)
        changed |= (old.deny if old else 0) ^ (new.deny if new else 0)
    if not held & P.MANAGE_ROLES:
        raise NotAllowedError
    _has(guild, by, changed)
    if changed & _MANAGE_ROLES and not _is_administrator(guild, by):
        raise NotAllowedError


def _check_target(guild: Guild, one: Overwrite) -> None:
    known = one.id in guild.roles if one.type == 0 else one.id in guild.members
    if not known:
        said = "Not a role of this guild." if one.type == 0 else "Not a member of this guild."
        raise BadChangeError(50035, said, field="permission_overwrites")


# Threads


def thread_created(guild: Guild, by: Member, thread: Channel) -> None:
    """Somebody makes a thread. Raises: RightsError."""
    parent = guild.channels.get(thread.parent_id)
    held = in_channel(guild, by.roles, by.user.id, parent) if parent is not None else 0
    _check_visible(held)
    if parent is None or parent.type not in _HOLDS[thread.type]:
        raise WrongTypeError
    needed = P.CREATE_PRIVATE_THREADS if thread.type == PRIVATE_THREAD else P.CREATE_PUBLIC_THREADS
    if parent.type == FORUM:
        needed = P.SEND_MESSAGES
    if not held & needed or (thread.rate_limit_per_user and not held & P.MANAGE_THREADS):
        raise NotAllowedError
    _check_tags(parent, held, (), _about(thread).tags)
    _check_threads(guild)


def _check_tags(forum: Channel | None, held: int, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Whether somebody may mark a thread so; a tag that the forum has no more may stay. Raises: RightsError."""
    known = {tag.id: tag for tag in forum.tags} if forum is not None else {}
    for ident in set(before) ^ set(after):
        tag = known.get(ident)
        if tag is None and ident in after:
            raise BadChangeError(50035, "The forum has no such tag.", field="applied_tags")
        if tag is not None and tag.moderated and not held & P.MANAGE_THREADS:
            raise NotAllowedError


def _check_threads(guild: Guild) -> None:
    there = sum(one.thread is not None and not one.thread.archived for one in guild.channels.values())
    if there >= MAX_THREADS:
        raise BadChangeError(160006, f"Maximum number of active threads reached ({MAX_THREADS})")


def thread_changed(guild: Guild, by: Member, before: Channel, after: Channel) -> None:
    """Somebody changes a thread.

    Who made it may change it; who may write in it may open it, if it is not locked; locking it and slow mode are for
    who may manage threads.

    Raises:
        RightsError: it must not be.

    """
    held = in_channel(guild, by.roles, by.user.id, before)
    _check_visible(held)
    was, now = _about(before), _about(after)
    if was.archived and now.archived:
        raise _archived()
    if was.archived and not now.archived:
        _check_threads(guild)
    _check_tags(guild.channels.get(before.parent_id), held, was.tags, now.tags)
    if held & P.MANAGE_THREADS:
        return
    only_opened = (
        replace(after, thread=replace(now, archived=was.archived, changed_at=was.changed_at)) == before
    )
    if was.archived and only_opened:
        if was.locked or not held & P.SEND_MESSAGES:
            raise NotAllowedError
        return
    managed = (
        was.locked or was.locked != now.locked or before.rate_limit_per_user != after.rate_limit_per_user
    )
    if managed or was.owner_id != by.user.id:
        raise NotAllowedError


def thread_joined(guild: Guild, by: Member, thread: Channel, joining: Member) -> None:
    """Somebody joins a thread, or is added to it by somebody else. Raises: RightsError."""
    held = in_channel(guild, by.roles, by.user.id, thread)
    _check_visible(held)
    about = _about(thread)
    if about.archived:
        raise _archived()
    if joining.user.id != by.user.id:
        manages = held & P.MANAGE_THREADS or about.owner_id == by.user.id
        closed = thread.type == PRIVATE_THREAD and not about.invitable
        if not held & P.SEND_MESSAGES or (closed and not manages):
            raise NotAllowedError
        parent = guild.channels[thread.parent_id]
        if not in_channel(guild, joining.roles, joining.user.id, parent) & P.VIEW_CHANNEL:
            raise BadChangeError(50001, "Missing Access: that member does not see the channel")
    if len(about.members) >= MAX_THREAD_MEMBERS and joining.user.id not in about.joined:
        raise BadChangeError(30033, f"Maximum number of thread participants reached ({MAX_THREAD_MEMBERS})")


def thread_left(guild: Guild, by: Member, thread: Channel, user_id: int) -> None:
    """Somebody leaves a thread, or is taken out of it by somebody else. Raises: RightsError."""
    held = in_channel(guild, by.roles, by.user.id, thread)
    _check_visible(held)
    about = _about(thread)
    if about.archived:
        raise _archived()
    owns = thread.type == PRIVATE_THREAD and about.owner_id == by.user.id
    if user_id != by.user.id and not owns and not held & P.MANAGE_THREADS:
        raise NotAllowedError


def _archived() -> BadChangeError:
    return BadChangeError(50083, "Thread is archived")


def _about(thread: Channel) -> Thread:
    assert thread.thread is not None
    return thread.thread


# Members


def member_changed(guild: Guild, by: Member, before: Member, after: Member) -> None:
    """Somebody changes a member, perhaps themselves. Raises: RightsError."""
    myself = by.user.id == before.user.id
    if before.user.id == guild.owner_id and not myself:
        raise NotAllowedError
    if before.nick != after.nick:
        held = base(guild, by)
        if myself and not held & (P.CHANGE_NICKNAME | P.MANAGE_NICKNAMES):
            raise NotAllowedError
        if not myself:
            _require(guild, by, P.MANAGE_NICKNAMES)
            _above(guild, by, before)
    if before.timed_out_until != after.timed_out_until:
        _require(guild, by, P.MODERATE_MEMBERS)
        if myself or base(guild, before) & _ADMINISTRATOR:
            raise NotAllowedError
        _above(guild, by, before)
    for role_id in {*before.roles} ^ {*after.roles}:
        _check_given(guild, by, role_id, given=role_id in after.roles)


def _check_given(guild: Guild, by: Member, role_id: int, *, given: bool) -> None:
    _require(guild, by, P.MANAGE_ROLES)
    role = guild.roles.get(role_id)
    if role is None:
        if given:
            raise BadChangeError(10011, "Unknown Role")
        return  # what is left of a role that was deleted may go
    if role.id == guild.id or role.managed:
        raise BadChangeError(50028, "Invalid Role")
    _below(guild, by, (role.position, -role.id))


def member_removed(guild: Guild, by: Member, kicked: Member) -> None:
    """Somebody kicks a member. Raises: RightsError."""
    _require(guild, by, P.KICK_MEMBERS)
    if kicked.user.id in {guild.owner_id, by.user.id}:
        raise NotAllowedError
    _above(guild, by, kicked)


def member_left(guild: Guild, leaving: Member) -> None:
    """Somebody leaves. Raises RightsError."""
    if leaving.user.id == guild.owner_id:
        raise BadChangeError(50055, "Invalid Guild: its owner cannot leave it")


def banned(guild: Guild, by: Member, user_id: int) -> None:
    """Somebody bans a user, who may be a member. Raises: RightsError."""
    _require(guild, by, P.BAN_MEMBERS)
    if user_id in {guild.owner_id, by.user.id}:
        raise NotAllowedError
    if (found := guild.members.get(user_id)) is not None:
        _above(guild, by, found)


def unbanned(guild: Guild, by: Member) -> None:
    """Somebody lets a user in again. Raises: RightsError."""
    _require(guild, by, P.BAN_MEMBERS)


# Invites


def invited(guild: Guild, by: Member, channel_id: int) -> None:
    """Somebody makes an invite. Raises: RightsError."""
    channel = guild.channels.get(channel_id)
    if channel is None:
        raise NotAllowedError
    if channel.type == CATEGORY or channel.type in THREADS:
        raise WrongTypeError
    if not in_channel(guild, by.roles, by.user.id, channel) & P.CREATE_INSTANT_INVITE:
        raise NotAllowedError


def invite_deleted(guild: Guild, by: Member, channel_id: int) -> None:
    """Somebody takes an invite back. Raises: RightsError."""
    if base(guild, by) & P.MANAGE_GUILD:
        return
    channel = guild.channels.get(channel_id)
    if channel is None or not in_channel(guild, by.roles, by.user.id, channel) & P.MANAGE_CHANNELS:
        raise NotAllowedError


def webhook_changed(guild: Guild, by: Member, channel_id: int) -> None:
    """Somebody makes, changes or deletes a webhook in a channel. Raises: RightsError."""
    channel = guild.channels.get(channel_id)
    if channel is None or not in_channel(guild, by.roles, by.user.id, channel) & P.MANAGE_WEBHOOKS:
        raise NotAllowedError
    if channel.type in THREADS:
        raise WrongTypeError


# Guilds


def guild_deleted(guild: Guild, by: Member) -> None:
    """Somebody deletes a guild. Raises: RightsError."""
    if by.user.id != guild.owner_id:
        raise NotAllowedError


def guild_changed(
    guild: Guild, by: Member, *, owner_id: int | None = None, settings: GuildSettings | None = None
) -> None:
    """Somebody changes a guild, or gives it away. Args: settings: it is to have. Raises: RightsError."""
    _require(guild, by, P.MANAGE_GUILD)
    for field, types in _CHANNEL_SETTINGS.items():
        ident = getattr(settings, field, None)
        if ident is None or ident == getattr(guild.settings, field):
            continue
        channel = guild.channels.get(ident)
        if channel is None or channel.type not in types:
            raise BadChangeError(50035, "Not a channel of this guild that can be this.", field=field)
    if owner_id is not None and owner_id != guild.owner_id:
        if by.user.id != guild.owner_id:
            raise NotAllowedError
        if owner_id not in guild.members:
            raise BadChangeError(50035, "Not a member of this guild.", field="owner_id")


def guild_pruned(guild: Guild, by: Member) -> None:
    """Somebody removes members who have been away for long. Raises: NotAllowedError."""
    _require(guild, by, P.MANAGE_GUILD)
    _require(guild, by, P.KICK_MEMBERS)


def command_permissions_changed(guild: Guild, by: Member) -> None:
    """Somebody says who may use the commands of an application. Raises: NotAllowedError."""
    _require(guild, by, P.MANAGE_GUILD)
    _require(guild, by, P.MANAGE_ROLES)


def emoji_created(guild: Guild, by: Member, *, animated: bool) -> None:
    """Somebody makes an emoji. Raises: RightsError."""
    _require(guild, by, P.CREATE_GUILD_EXPRESSIONS | P.MANAGE_GUILD_EXPRESSIONS)
    if sum(one.animated == animated for one in guild.emojis.values()) >= MAX_EMOJIS:
        raise BadChangeError(30008, f"Maximum number of emojis reached ({MAX_EMOJIS})")


def emoji_changed(guild: Guild, by: Member, made_by: int) -> None:
    """Somebody renames or deletes an emoji; whoever may make some, only their own. Raises: NotAllowedError."""
    own = P.CREATE_GUILD_EXPRESSIONS if made_by == by.user.id else P.MANAGE_GUILD_EXPRESSIONS
    _require(guild, by, own | P.MANAGE_GUILD_EXPRESSIONS)


# What the rules have in common


def _is_owner(guild: Guild, by: Member) -> bool:
    return by.user.id == guild.owner_id


def _is_administrator(guild: Guild, by: Member) -> bool:
    return bool(base(guild, by) & _ADMINISTRATOR)


def _require(guild: Guild, by: Member, needed: P) -> None:
    if not base(guild, by) & needed:
        raise NotAllowedError


def _has(guild: Guild, by: Member, bits: int) -> None:
    """Nobody gives or takes what they do not have; an administrator has bits that have no name yet, too."""
    held = _EVERY_BIT if _is_administrator(guild, by) else base(guild, by)
    if bits & ~held:
        raise NotAllowedError


def _below(guild: Guild, by: Member, place: tuple[int, int]) -> None:
    """A role, by (position, -id), stands below the highest that somebody has."""
    if not _is_owner(guild, by) and place >= top_role(guild, by.roles):
        raise NotAllowedError


def _above(guild: Guild, by: Member, other: Member) -> None:
    """Somebody stands above a member."""
    if not _is_owner(guild, by) and top_role(guild, other.roles) >= top_role(guild, by.roles):
        raise NotAllowedError
