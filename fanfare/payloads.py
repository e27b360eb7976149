"""The client-visible objects of Discord's protocol, built from our model as plain dicts.

Each object carries every key that some client library needs (docs/clients.md, "Objects"): a missing one makes
libraries exit. Ids are strings, permissions decimal strings, timestamps ISO-8601 in UTC with microseconds.
Pure; imports nothing but the model.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from fanfare.model import (
    CATEGORY,
    DM,
    FORUM,
    GROUP_DM,
    PRIVATE_THREAD,
    VOICE,
    Channel,
    CustomEmoji,
    Guild,
    GuildSettings,
    Invite,
    Member,
    Overwrite,
    Role,
    Tag,
    Thread,
    ThreadMember,
    User,
)

__all__ = [
    "APPLICATION_FLAGS",
    "PRIVILEGED",
    "Json",
    "application_flags",
    "channel",
    "guild",
    "guild_create",
    "invite",
    "invite_created",
    "member",
    "overwrite",
    "own_user",
    "role",
    "thread_gone",
    "thread_member",
    "thread_members",
    "thread_members_update",
    "timestamp",
    "unavailable_guild",
    "user",
]

Json = dict[str, Any]

# Discord counts the members of a thread no further.
_COUNTED: Final = 50
# What of a guild those see who are asked to join it.
_PREVIEW: Final = frozenset(
    {
        "id", "name", "splash", "banner", "description", "icon", "features", "verification_level", "vanity_url_code",
        "nsfw", "nsfw_level", "premium_subscription_count", "premium_tier",
    }
)  # fmt: skip
# Limited presence, members and message content: what a bot in fewer than 100 guilds has switched on.
_FLAGS: Final = {1 << 8: 1 << 13, 1 << 1: 1 << 15, 1 << 15: 1 << 19}
PRIVILEGED: Final = sum(_FLAGS)
"""The intents that an application may be denied: members, presences, and what is said."""
APPLICATION_FLAGS: Final = sum(_FLAGS.values())


def timestamp(moment: datetime) -> str:
    """The moment in UTC, always with microseconds and offset. A naive moment is taken as UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def application_flags(denied: int) -> int:
    """The flags of an application that is denied these intents: libraries look there for what they may ask for."""
    return sum(flag for intent, flag in _FLAGS.items() if not intent & denied)


def user(u: User) -> Json:
    """A user as everybody sees it."""
    return {
        "id": str(u.id),
        "username": u.username,
        "discriminator": "0",
        "global_name": u.global_name,
        "avatar": None,
        "bot": u.bot,
        "public_flags": 0,
    }


def own_user(u: User) -> Json:
    """A user as it sees itself: READY, /users/@me and USER_UPDATE."""
    return user(u) | {
        "flags": 0,
        "mfa_enabled": False,
        "verified": True,
        "email": None,
        "locale": "en-US",
        "banner": None,
        "accent_color": None,
    }


def member(m: Member, *, with_user: bool = True) -> Json:
    """A member of a guild.

    Args:
        m: the member.
        with_user: False for the `member` inside a message, next to `author`.

    """
    known: Json = {"user": user(m.user)} if with_user else {}
    return known | {
        "nick": m.nick,
        "avatar": None,
        "roles": [str(r) for r in m.roles],
        "joined_at": timestamp(m.joined_at),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": timestamp(m.timed_out_until) if m.timed_out_until else None,
    }


def invite(i: Invite, g: Guild, *, metadata: bool = False) -> Json:
    """An invite, to members of the guild or to anybody. Args: metadata: how often it was used, and when it ends."""
    c = g.channels.get(i.channel_id)
    found: Json = {
        "type": 0,
        "code": i.code,
        "guild_id": str(g.id),
        "guild": {key: value for key, value in guild(g).items() if key in _PREVIEW},
        "channel": {"id": str(c.id), "name": c.name, "type": c.type} if c is not None else None,
        "inviter": user(i.inviter),
        "expires_at": _expires(i),
        "approximate_member_count": g.member_count,
        "approximate_presence_count": 0,
        "flags": 0,
    }
    return found | _metadata(i) if metadata else found


def invite_created(i: Invite) -> Json:
    """The `d` of INVITE_CREATE."""
    return {
        "type": 0,
        "code": i.code,
        "guild_id": str(i.guild_id),
        "channel_id": str(i.channel_id),
        "inviter": user(i.inviter),
        "expires_at": _expires(i),
    } | _metadata(i)


def _metadata(i: Invite) -> Json:
    return {
        "uses": i.uses,
        "max_uses": i.max_uses,
        "max_age": i.max_age,
        "temporary": False,
        "created_at": timestamp(i.made_at),
    }


def _expires(i: Invite) -> str | None:
    return timestamp(i.made_at + timedelta(seconds=i.max_age)) if i.max_age else None


def role(r: Role) -> Json:
    """A role of a guild."""
    return {
        "id": str(r.id),
        "name": r.name,
        "color": r.color,
        "colors": {"primary_color": r.color, "secondary_color": None, "tertiary_color": None},
        "hoist": r.hoist,
        "icon": None,
        "unicode_emoji": None,
        "position": r.position,
        "permissions": str(r.permissions),
        "managed": r.managed,
        "mentionable": r.mentionable,
        "flags": 0,
    }


def overwrite(o: Overwrite) -> Json:
    """What a channel allows or denies to a role or member."""
    return {"id": str(o.id), "type": o.type, "allow": str(o.allow), "deny": str(o.deny)}


def channel(c: Channel, *, to: int = 0) -> Json:
    """A channel.

    Args:
        c: the channel, of a guild or direct.
        to: for a direct channel, the user it is shown to, who is left out of the recipients; 0: all are listed.

    """
    if c.type in {DM, GROUP_DM}:
        return {
            "id": str(c.id),
            "type": c.type,
            "recipients": [user(u) for u in c.recipients if u.id != to],
            "last_message_id": None,
            "last_pin_timestamp": None,
            "flags": 0,
        }
    if c.thread is not None:
        return _thread(c, c.thread)
    found: Json = {
        "id": str(c.id),
        "type": c.type,
        "guild_id": str(c.guild_id),
        "name": c.name,
        "position": c.position,
        "parent_id": str(c.parent_id) if c.parent_id else None,
        "permission_overwrites": [overwrite(o) for o in c.overwrites],
        "nsfw": c.nsfw,
        "flags": 0,
    }
    if c.type != CATEGORY:
        found |= {
            "topic": c.topic,
            "last_message_id": None,
            "last_pin_timestamp": None,
            "rate_limit_per_user": c.rate_limit_per_user,
        }
    if c.type == VOICE:
        found |= {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
    if c.type == FORUM:
        found |= {
            "available_tags": [_tag(one) for one in c.tags],
            "default_reaction_emoji": None,
            "default_sort_order": None,
            "default_forum_layout": 0,
        }
    return found


def _tag(one: Tag) -> Json:
    return {
        "id": str(one.id),
        "name": one.name,
        "moderated": one.moderated,
        "emoji_id": str(one.emoji_id) if one.emoji_id else None,
        "emoji_name": one.emoji_name,
    }


def _thread(c: Channel, about: Thread) -> Json:
    metadata: Json = {
        "archived": about.archived,
        "auto_archive_duration": about.auto_archive,
        "archive_timestamp": timestamp(about.changed_at),
        "locked": about.locked,
        "create_timestamp": timestamp(about.made_at),
    }
    if c.type == PRIVATE_THREAD:
        metadata["invitable"] = about.invitable
    return {
        "id": str(c.id),
        "type": c.type,
        "guild_id": str(c.guild_id),
        "parent_id": str(c.parent_id),
        "owner_id": str(about.owner_id),
        "name": c.name,
        "nsfw": c.nsfw,
        "last_message_id": None,
        "last_pin_timestamp": None,
        "message_count": 0,
        "total_message_sent": 0,
        "member_count": min(len(about.members), _COUNTED),
        "rate_limit_per_user": c.rate_limit_per_user,
        "thread_metadata": metadata,
        "applied_tags": [str(ident) for ident in about.tags],
        "flags": 0,
    }


def thread_gone(c: Channel) -> Json:
    """The `d` of THREAD_DELETE."""
    return {"id": str(c.id), "guild_id": str(c.guild_id), "parent_id": str(c.parent_id), "type": c.type}


def thread_member(c: Channel, one: ThreadMember) -> Json:
    """Somebody who has joined a thread."""
    return {"id": str(c.id), "user_id": str(one.id), "join_timestamp": timestamp(one.joined_at), "flags": 0}


def thread_members(c: Channel) -> list[Json]:
    """Everybody who has joined a thread."""
    return [thread_member(c, one) for one in c.thread.members] if c.thread is not None else []


def thread_members_update(c: Channel, added: Sequence[ThreadMember], removed: Sequence[int]) -> Json:
    """The `d` of THREAD_MEMBERS_UPDATE. Args: c: the thread after it."""
    count = min(len(c.thread.members), _COUNTED) if c.thread is not None else 0
    found: Json = {"id": str(c.id), "guild_id": str(c.guild_id), "member_count": count}
    if added:
        found["added_members"] = [thread_member(c, one) for one in added]
    if removed:
        found["removed_member_ids"] = [str(ident) for ident in removed]
    return found


def emoji(e: CustomEmoji) -> Json:
    """An emoji of a guild."""
    return {
        "id": str(e.id),
        "name": e.name,
        "roles": [],
        "require_colons": True,
        "managed": False,
        "animated": e.animated,
        "available": True,
    }


def guild_settings(settings: GuildSettings) -> Json:
    """What a guild is set to."""
    found = msgspec.structs.asdict(settings)
    return {
        name: str(value) if name.endswith("_id") and value is not None else value
        for name, value in found.items()
    }


def guild(g: Guild) -> Json:
    """A guild as REST and GUILD_UPDATE show it, with its roles."""
    return guild_settings(g.settings) | {
        "id": str(g.id),
        "name": g.name,
        "icon_hash": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "owner_id": str(g.owner_id),
        "application_id": None,
        "region": None,
        "widget_enabled": False,
        "widget_channel_id": None,
        "mfa_level": 0,
        "max_members": 250_000,
        "max_presences": None,
        "max_video_channel_users": 25,
        "max_stage_video_channel_users": 25,
        "vanity_url_code": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        "nsfw_level": 0,
        "features": [],
        "emojis": [emoji(one) for one in g.emojis.values()],
        "stickers": [],
        "roles": [role(r) for r in sorted(g.roles.values(), key=lambda r: (r.position, r.id))],
    }


def guild_create(
    g: Guild, channels: Iterable[Channel], members: Iterable[Member], *, joined_at: datetime, large: bool
) -> Json:
    """The `d` of GUILD_CREATE.

    Args:
        g: the guild; its `member_count` is shown.
        channels: those the session may see.
        members: everybody in a small guild, at least the session's own in a large one.
        joined_at: when the session's user joined.
        large: the members are not complete.

    """
    return guild(g) | {
        "joined_at": timestamp(joined_at),
        "large": large,
        "unavailable": False,
        "member_count": g.member_count,
        "members": [member(m) for m in members],
        "channels": [channel(c) for c in channels],
        "threads": [],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def unavailable_guild(guild_id: int) -> Json:
    """A guild in READY, and in GUILD_DELETE when it cannot be loaded."""
    return {"id": str(guild_id), "unavailable": True}
