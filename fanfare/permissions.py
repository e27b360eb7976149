"""Who may do what: Discord's permission bits and the rules by which roles and overwrites combine. Pure.

The rules take a guild, the ids of somebody's roles and their user id, so that a gateway can evaluate a whole
class of sessions with the same roles at once; with user id 0 there is no owner and no member overwrite.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import IntFlag
from functools import reduce
from operator import or_
from typing import Final

from fanfare.model import PRIVATE_THREAD, THREADS, Channel, Guild, Member

__all__ = [
    "ALL",
    "DEFAULT",
    "DM_PERMISSIONS",
    "NONE",
    "TIMED_OUT",
    "VOICE_TYPES",
    "P",
    "base",
    "base_of",
    "in_channel",
    "timed_out",
    "top_role",
]


class P(IntFlag):
    """Permission bits, named as Discord names them."""

    CREATE_INSTANT_INVITE = 1 << 0
    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_AUDIT_LOG = 1 << 7
    PRIORITY_SPEAKER = 1 << 8
    STREAM = 1 << 9
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS_MESSAGES = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    VIEW_GUILD_INSIGHTS = 1 << 19
    CONNECT = 1 << 20
    SPEAK = 1 << 21
    MUTE_MEMBERS = 1 << 22
    DEAFEN_MEMBERS = 1 << 23
    MOVE_MEMBERS = 1 << 24
    USE_VAD = 1 << 25
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    MANAGE_GUILD_EXPRESSIONS = 1 << 30
    USE_APPLICATION_COMMANDS = 1 << 31
    REQUEST_TO_SPEAK = 1 << 32
    MANAGE_EVENTS = 1 << 33
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    USE_EXTERNAL_STICKERS = 1 << 37
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EMBEDDED_ACTIVITIES = 1 << 39
    MODERATE_MEMBERS = 1 << 40
    VIEW_CREATOR_MONETIZATION_ANALYTICS = 1 << 41
    USE_SOUNDBOARD = 1 << 42
    CREATE_GUILD_EXPRESSIONS = 1 << 43
    CREATE_EVENTS = 1 << 44
    USE_EXTERNAL_SOUNDS = 1 << 45
    SEND_VOICE_MESSAGES = 1 << 46
    SEND_POLLS = 1 << 49
    USE_EXTERNAL_APPS = 1 << 50
    PIN_MESSAGES = 1 << 51
    BYPASS_SLOWMODE = 1 << 52


NONE: Final = 0
ALL: Final = int(reduce(or_, P))
# What the @everyone role of a new guild grants.
DEFAULT: Final = int(
    P.CREATE_INSTANT_INVITE
    | P.ADD_REACTIONS
    | P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.USE_EXTERNAL_EMOJIS
    | P.CONNECT
    | P.SPEAK
    | P.USE_VAD
    | P.CHANGE_NICKNAME
    | P.USE_APPLICATION_COMMANDS
    | P.REQUEST_TO_SPEAK
    | P.CREATE_PUBLIC_THREADS
    | P.USE_EXTERNAL_STICKERS
    | P.SEND_MESSAGES_IN_THREADS
    | P.SEND_VOICE_MESSAGES
    | P.SEND_POLLS
)
# What both sides of a direct conversation may do.
DM_PERMISSIONS: Final = int(
    P.ADD_REACTIONS
    | P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.USE_EXTERNAL_EMOJIS
    | P.PIN_MESSAGES
)

TIMED_OUT: Final = int(P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY)
"""What is left to a member that is timed out."""
_ADMINISTRATOR: Final = int(P.ADMINISTRATOR)
_VIEW: Final = int(P.VIEW_CHANNEL)
_SEND: Final = int(P.SEND_MESSAGES)
_NEEDS_SEND: Final = int(P.MENTION_EVERYONE | P.SEND_TTS_MESSAGES | P.ATTACH_FILES | P.EMBED_LINKS)
_CONNECT: Final = int(P.CONNECT)
_SEND_IN_THREADS: Final = int(P.SEND_MESSAGES_IN_THREADS)
_MANAGE_THREADS: Final = int(P.MANAGE_THREADS)
VOICE_TYPES: Final = frozenset({2, 13})
"""Types of channels that one connects to."""


def base_of(guild: Guild, roles: Iterable[int], user_id: int = 0) -> int:
    """What somebody may do in the guild, before channels have their say.

    Args:
        guild: with its roles.
        roles: ids of the roles held, @everyone need not be among them; unknown ids count for nothing.
        user_id: who it is, to recognise the owner.

    """
    if user_id and user_id == guild.owner_id:
        return ALL
    everyone = guild.roles.get(guild.id)
    held = everyone.permissions if everyone else NONE
    for role_id in roles:
        if role := guild.roles.get(role_id):
            held |= role.permissions
    return ALL if held & _ADMINISTRATOR else held


def base(guild: Guild, member: Member) -> int:
    """What a member may do in the guild, before channels have their say."""
    return base_of(guild, member.roles, member.user.id)


def timed_out(guild: Guild, member: Member, now: datetime) -> bool:
    """Whether a member may do nothing but see and read now. It does not hold for administrators."""
    until = member.timed_out_until
    return until is not None and until > now and not base(guild, member) & _ADMINISTRATOR


def in_channel(guild: Guild, roles: Iterable[int], user_id: int, channel: Channel) -> int:
    """What somebody may do in a channel of the guild, the implicit rules applied: 0 without VIEW_CHANNEL.

    In a voice channel nothing but VIEW_CHANNEL is left without CONNECT: MANAGE_CHANNELS and MANAGE_ROLES go too, as
    Discord documents it ("Implicit Permissions") and as its libraries work it out.

    In a thread it is what they may do in its channel, but that SEND_MESSAGES_IN_THREADS stands for SEND_MESSAGES; a
    private thread is there for those who have joined it, and for who may manage threads.

    Args:
        guild: with its roles.
        roles: ids of the roles held.
        user_id: who it is, for the owner and member overwrites; 0 for a class of people who are neither.
        channel: with its overwrites.

    """
    if channel.type in THREADS:
        return _in_thread(guild, roles, user_id, channel)
    return _implicit(_granted(guild, roles, user_id, channel), voice=channel.type in VOICE_TYPES)


def _in_thread(guild: Guild, roles: Iterable[int], user_id: int, thread: Channel) -> int:
    parent = guild.channels.get(thread.parent_id)
    held = _granted(guild, roles, user_id, parent) if parent is not None else NONE
    if thread.type == PRIVATE_THREAD and not held & _MANAGE_THREADS:
        members = thread.thread.members if thread.thread is not None else ()
        if all(one.id != user_id for one in members):
            return NONE
    held = (held | _SEND) if held & _SEND_IN_THREADS else (held & ~_SEND)
    return _implicit(held, voice=False)


def _granted(guild: Guild, roles: Iterable[int], user_id: int, channel: Channel) -> int:
    """What roles and overwrites give, before the implicit rules; everything to administrators."""
    held_roles = frozenset(roles)
    held = base_of(guild, held_roles, user_id)
    if held & _ADMINISTRATOR:
        return ALL
    everyone = own = None
    allow = deny = NONE
    for overwrite in channel.overwrites:
        if overwrite.type == 1:
            # User id 0 stands for a class of members without rights of their own: no overwrite is theirs.
            own = overwrite if user_id and overwrite.id == user_id else own
        elif overwrite.id == guild.id:
            everyone = overwrite
        elif overwrite.id in held_roles:
            allow |= overwrite.allow
            deny |= overwrite.deny
    if everyone is not None:
        held = (held & ~everyone.deny) | everyone.allow
    held = (held & ~deny) | allow
    if own is not None:
        held = (held & ~own.deny) | own.allow
    return held


def top_role(guild: Guild, roles: Iterable[int]) -> tuple[int, int]:
    """The highest of somebody's roles as (position, -id), to be compared; of two the older one is higher."""
    known = (guild.roles[r] for r in roles if r in guild.roles)
    return max(((r.position, -r.id) for r in known), default=(0, -guild.id))


def _implicit(held: int, *, voice: bool) -> int:
    if not held & _VIEW:
        return NONE
    if not held & _SEND:
        held &= ~_NEEDS_SEND
    # A member that may not connect to a voice channel sees that it is there, and can do nothing in it or with it.
    return held & _VIEW if voice and not held & _CONNECT else held
