"""Who may see an event. Pure: a guild's state goes in as a `View` that never changes.

Sessions of a guild that share roles, intents and transport form an audience class, so that a broadcast is one
decision and one buffer for each class, however many sessions are in it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fanfare.model import Guild
from fanfare.permissions import P, in_channel
from fanfare.record import GUILD, Record
from gateway.frames import Transport

__all__ = ["MESSAGE_CONTENT", "AudienceClass", "View", "classify", "content_for", "intent_of", "sees"]

_GUILDS: Final = 1 << 0
_GUILD_MEMBERS: Final = 1 << 1
_GUILD_MODERATION: Final = 1 << 2
_GUILD_EXPRESSIONS: Final = 1 << 3
_GUILD_PRESENCES: Final = 1 << 8
_MESSAGES: Final = (1 << 9, 1 << 12)
_REACTIONS: Final = (1 << 10, 1 << 13)
_TYPING: Final = (1 << 11, 1 << 14)
MESSAGE_CONTENT: Final = 1 << 15
# A plain number: the operators of a flag make an object each time.
_VIEW_CHANNEL: Final = int(P.VIEW_CHANNEL)

# Intent of each dispatch: (in a guild, in a direct conversation). Not named: none is needed.
_INTENTS: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys(
        (
            "GUILD_CREATE",
            "GUILD_UPDATE",
            "GUILD_DELETE",
            "GUILD_ROLE_CREATE",
            "GUILD_ROLE_UPDATE",
            "GUILD_ROLE_DELETE",
            "CHANNEL_CREATE",
            "CHANNEL_UPDATE",
            "CHANNEL_DELETE",
        ),
        (_GUILDS, 0),
    ),
    "CHANNEL_PINS_UPDATE": (_GUILDS, 1 << 12),
    **dict.fromkeys(("GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE"), (_GUILD_MEMBERS, 0)),
    **dict.fromkeys(("GUILD_BAN_ADD", "GUILD_BAN_REMOVE"), (_GUILD_MODERATION, 0)),
    "GUILD_EMOJIS_UPDATE": (_GUILD_EXPRESSIONS, 0),
    "PRESENCE_UPDATE": (_GUILD_PRESENCES, 0),
    **dict.fromkeys(("MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK"), _MESSAGES),
    **dict.fromkeys(
        (
            "MESSAGE_REACTION_ADD",
            "MESSAGE_REACTION_REMOVE",
            "MESSAGE_REACTION_REMOVE_ALL",
            "MESSAGE_REACTION_REMOVE_EMOJI",
        ),
        _REACTIONS,
    ),
    "TYPING_START": _TYPING,
}


class AudienceClass(NamedTuple):
    """What decides which frame, if any, a session of a guild gets."""

    roles: tuple[int, ...]
    user: int
    """0, but for those with rights of their own: the owner and who is named in a channel's overwrites."""
    intents: int
    transport: Transport


class View:
    """One version of a guild's state. A change makes another view; members may only be added as they are looked up."""

    __slots__ = ("_permissions", "guild", "snapshot", "special")

    def __init__(self, guild: Guild) -> None:
        self.guild = guild
        self.special = frozenset(
            {guild.owner_id}
            | {
                overwrite.id
                for channel in guild.channels.values()
                for overwrite in channel.overwrites
                if overwrite.type == 1
            }
        )
        self.snapshot: tuple[bytes, bool] | None = None
        """What GUILD_CREATE says to everybody, and whether without members (gateway.snapshot)."""
        self._permissions: dict[tuple[tuple[int, ...], int, int], int] = {}

    def permissions(self, roles: tuple[int, ...], user: int, channel_id: int) -> int:
        """Permission bits in a channel; none in one that does not exist."""
        at = (roles, user, channel_id)
        held = self._permissions.get(at)
        if held is None:
            channel = self.guild.channels.get(channel_id)
            held = in_channel(self.guild, roles, user, channel) if channel is not None else 0
            self._permissions[at] = held
        return held


def intent_of(name: str, *, in_guild: bool) -> int:
    """The intent bit without which a session does not get the dispatch; 0 if it needs none."""
    intents = _INTENTS.get(name)
    return 0 if intents is None else intents[0 if in_guild else 1]


def classify(view: View, user: int, intents: int, transport: Transport) -> AudienceClass:
    """The class of a session.

    Raises:
        KeyError: the view does not know the user as a member.

    """
    roles = tuple(sorted(view.guild.members[user].roles))
    return AudienceClass(roles, user if user in view.special else 0, intents, transport)


def sees(view: View, audience: AudienceClass, record: Record) -> bool:
    """Whether sessions of the class get the record, which is one for a guild or for a channel of it."""
    needed = intent_of(record.type, in_guild=True)
    if needed and not audience.intents & needed:
        return False
    if record.audience == GUILD:
        return True
    held = view.permissions(audience.roles, audience.user, record.channel)
    return bool(held & _VIEW_CHANNEL) and held & record.permission == record.permission


def content_for(user: int, intents: int, record: Record) -> bool:
    """Whether a session gets the fields that MESSAGE_CONTENT gates."""
    return (
        bool(intents & MESSAGE_CONTENT)
        or not record.guild
        or record.author == user
        or user in record.mentions
    )
