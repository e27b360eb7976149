"""The things of a chat: users, guilds, channels, roles, members. State only; ids are integers."""

from datetime import datetime
from typing import Final

import msgspec

__all__ = [
    "ANNOUNCEMENT",
    "ANNOUNCEMENT_THREAD",
    "CATEGORY",
    "DM",
    "FORUM",
    "GROUP_DM",
    "PRIVATE_THREAD",
    "PUBLIC_THREAD",
    "TEXT",
    "THREADS",
    "VOICE",
    "Channel",
    "CustomEmoji",
    "Guild",
    "GuildSettings",
    "Invite",
    "Member",
    "Overwrite",
    "Role",
    "Thread",
    "ThreadMember",
    "User",
]

TEXT: Final = 0
DM: Final = 1
VOICE: Final = 2
GROUP_DM: Final = 3
CATEGORY: Final = 4
ANNOUNCEMENT: Final = 5
ANNOUNCEMENT_THREAD: Final = 10
PUBLIC_THREAD: Final = 11
PRIVATE_THREAD: Final = 12
FORUM: Final = 15
"""A channel of threads only: nothing is said beside them."""
THREADS: Final = frozenset({ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD})


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a bot."""

    id: int
    username: str
    global_name: str | None = None
    bot: bool = False


class Overwrite(msgspec.Struct, frozen=True):
    """What a channel allows or denies to a role (type 0) or a member (type 1)."""

    id: int
    type: int
    allow: int
    deny: int


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role. The one whose id is the guild's is @everyone."""

    id: int
    name: str
    permissions: int
    position: int = 0
    color: int = 0
    hoist: bool = False
    mentionable: bool = False
    managed: bool = False


class Tag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the threads of a forum may be marked with."""

    id: int
    name: str
    moderated: bool = False
    """Only who may manage threads puts it on one, or takes it off."""
    emoji_id: int | None = None
    """Of an emoji of the guild."""
    emoji_name: str | None = None
    """An emoji of Unicode."""

    def with_id(self, ident: int) -> "Tag":
        """The tag under an id of its own."""
        return msgspec.structs.replace(self, id=ident)


class ThreadMember(msgspec.Struct, frozen=True):
    """Somebody who has joined a thread."""

    id: int
    joined_at: datetime


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """What only threads have."""

    owner_id: int
    made_at: datetime
    archived: bool = False
    changed_at: datetime
    """When it was archived or opened last."""
    auto_archive: int = 1440
    """Minutes without a message after which it is archived."""
    locked: bool = False
    """Only who may manage threads opens it again."""
    invitable: bool = True
    """Of a private one: whether any of its members may add others."""
    members: tuple[ThreadMember, ...] = ()
    """By id."""
    tags: tuple[int, ...] = ()
    """Those of its forum that it is marked with."""

    @property
    def joined(self) -> frozenset[int]:
        """The users who have joined."""
        return frozenset(one.id for one in self.members)


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel of a guild, a thread in one, or a direct conversation (guild_id 0, with its recipients)."""

    id: int
    type: int = TEXT
    guild_id: int = 0
    name: str = ""
    topic: str | None = None
    position: int = 0
    parent_id: int = 0
    """The category; of a thread, the channel that it is in."""
    nsfw: bool = False
    rate_limit_per_user: int = 0
    overwrites: tuple[Overwrite, ...] = ()
    recipients: tuple[User, ...] = ()
    thread: Thread | None = None
    tags: tuple[Tag, ...] = ()
    """Of a forum: what its threads may be marked with."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a guild."""

    user: User
    roles: tuple[int, ...] = ()
    joined_at: datetime
    nick: str | None = None
    timed_out_until: datetime | None = None
    """Up to then they may do next to nothing (fanfare.permissions.timed_out)."""


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """A code by which people join a guild."""

    code: str
    guild_id: int
    channel_id: int
    inviter: User
    made_at: datetime
    max_age: int = 0
    """Seconds; 0: for ever."""
    max_uses: int = 0
    """0: any number."""
    uses: int = 0


class CustomEmoji(msgspec.Struct, frozen=True):
    """An emoji of a guild's own."""

    id: int
    name: str
    animated: bool = False


class GuildSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a guild is set to, named as clients see it; most of it is for clients alone."""

    description: str | None = None
    icon: str | None = None
    """Names the picture: it is served at /icons/{guild}/{icon}."""
    verification_level: int = 0
    default_message_notifications: int = 0
    explicit_content_filter: int = 0
    afk_channel_id: int | None = None
    afk_timeout: int = 300
    system_channel_id: int | None = None
    system_channel_flags: int = 0
    rules_channel_id: int | None = None
    public_updates_channel_id: int | None = None
    safety_alerts_channel_id: int | None = None
    preferred_locale: str = "en-US"


class Guild(msgspec.Struct, kw_only=True):
    """A guild as one process holds it.

    `version` grows by one with every change; `members` holds everybody in a small guild, in a large one only the
    members that this process has asked for. Of the threads, `channels` holds those that are open, or were lately.
    """

    id: int
    name: str
    owner_id: int
    version: int = 0
    member_count: int = 0
    roles: dict[int, Role] = {}
    channels: dict[int, Channel] = {}
    members: dict[int, Member] = {}
    settings: GuildSettings = GuildSettings()
    emojis: dict[int, CustomEmoji] = {}
