"""Who may see an event. Pure: a guild's state goes in as a `View` that never changes.

Sessions of a guild that share roles, intents and transport form an audience class, so that a broadcast is one
decision and one buffer for each class, however many sessions are in it. An event type that is not named here goes to
nobody: it needs a line in the table of intents before anybody gets it.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from fanfare import payloads
from fanfare.model import PRIVATE_THREAD, THREADS, Channel, Guild, Overwrite
from fanfare.permissions import VOICE_TYPES, P, base_of, in_channel
from fanfare.record import GUILD, Record
from gateway.protocol.frames import Transport, encode

__all__ = [
    "GUILDS",
    "HEARS",
    "INTENTS",
    "MESSAGE_CONTENT",
    "NOBODY",
    "AudienceClass",
    "Rights",
    "View",
    "classify",
    "content_for",
    "intent_of",
    "rights_of",
    "sees",
]

GUILDS: Final = 1 << 0
_GUILD_MEMBERS: Final = 1 << 1
_GUILD_MODERATION: Final = 1 << 2
_GUILD_EXPRESSIONS: Final = 1 << 3
_GUILD_WEBHOOKS: Final = 1 << 5
_GUILD_INVITES: Final = 1 << 6
_GUILD_VOICE_STATES: Final = 1 << 7
_GUILD_PRESENCES: Final = 1 << 8
_MESSAGES: Final = (1 << 9, 1 << 12)
_REACTIONS: Final = (1 << 10, 1 << 13)
_TYPING: Final = (1 << 11, 1 << 14)
MESSAGE_CONTENT: Final = 1 << 15
NOBODY: Final = 1 << 63
"""An intent that no client can ask for."""
HEARS: Final = 1 << 64
"""A bit above those of permissions: may get what is said in the channel; in a voice channel that needs CONNECT."""
# Plain numbers: the operators of a flag make an object each time.
_VIEW_CHANNEL: Final = int(P.VIEW_CHANNEL)
_CONNECT: Final = int(P.CONNECT)
# Between what two overwrites say; no id or bits are negative.
_SEPARATOR: Final = -1
# Rights that are kept of a channel: far more than a guild has different sets of roles.
_KEPT: Final = 10_000

# Intent of each dispatch: (in a guild, in a direct conversation). Not named: nobody gets it. (GUILD_CREATE is made anew
# for each session, never passed on.)
INTENTS: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys(
        (
            "GUILD_UPDATE",
            "GUILD_ROLE_CREATE",
            "GUILD_ROLE_UPDATE",
            "GUILD_ROLE_DELETE",
            "CHANNEL_CREATE",
            "CHANNEL_UPDATE",
            "CHANNEL_DELETE",
            "THREAD_CREATE",
            "THREAD_UPDATE",
            "THREAD_DELETE",
        ),
        (GUILDS, NOBODY),
    ),
    "CHANNEL_PINS_UPDATE": (GUILDS, 1 << 12),
    **dict.fromkeys(
        ("GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE", "THREAD_MEMBERS_UPDATE"),
        (_GUILD_MEMBERS, NOBODY),
    ),
    **dict.fromkeys(
        ("GUILD_BAN_ADD", "GUILD_BAN_REMOVE", "GUILD_AUDIT_LOG_ENTRY_CREATE"), (_GUILD_MODERATION, NOBODY)
    ),
    **dict.fromkeys(("INVITE_CREATE", "INVITE_DELETE"), (_GUILD_INVITES, NOBODY)),
    "WEBHOOKS_UPDATE": (_GUILD_WEBHOOKS, NOBODY),
    "GUILD_EMOJIS_UPDATE": (_GUILD_EXPRESSIONS, NOBODY),
    "PRESENCE_UPDATE": (_GUILD_PRESENCES, NOBODY),
    "VOICE_STATE_UPDATE": (_GUILD_VOICE_STATES, NOBODY),
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
    # They name the users that they are for, and go to nobody else: to these without any intent.
    **dict.fromkeys(
        (
            "INTERACTION_CREATE",
            "INTERACTION_SUCCESS",
            "INTERACTION_MODAL_CREATE",
            "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE",
        ),
        (0, 0),
    ),
}


class AudienceClass(NamedTuple):
    """What decides which frame, if any, a session of a guild gets."""

    roles: tuple[int, ...]
    own: int
    """What overwrites and private threads say of the user by name; 0: nothing. For the owner, the owner's id.

    Whoever has the same ones has the same number, in each version of the guild.
    """
    intents: int
    transport: Transport


Rights = tuple[tuple[int, ...], int]
"""What a user's rights in a guild depend on: the sorted roles, and `AudienceClass.own`."""


class View:
    """One version of a guild's state. A change makes another view; members may only be added as they are looked up."""

    __slots__ = (
        "alike",
        "channel_lists",
        "examples",
        "guild",
        "held",
        "json",
        "parents",
        "seen",
        "snapshots",
        "special",
        "whole",
    )

    def __init__(self, guild: Guild, before: "View | None" = None) -> None:
        """Args: before: another version of the guild: what is the same in both is not worked out again."""
        self.guild = guild
        self.snapshots: dict[bool, bytes] = {}
        """What GUILD_CREATE says to everybody, by whether it is without members (gateway.guilds.snapshot)."""
        self.whole = len(guild.members) >= guild.member_count
        """Whether all members were known when it was made."""
        self.channel_lists: dict[frozenset[int], bytes] = {}
        """Lists of channels as clients see them, by the channels that a member sees (gateway.guilds.snapshot)."""
        self.parents: frozenset[int] = frozenset()
        """The channels that have open threads."""
        self.special: dict[int, int] = {}
        """The users with rights of their own, and which: the owner, those in an overwrite, or in a private thread."""
        self.examples: dict[int, int] = {}
        """One of the users with each of these rights."""
        self.json: dict[int, bytes] = {}
        """The channels as clients see them, filled as they are asked for. So are the next two."""
        self.held: dict[int, dict[Rights, int]] = {}
        """Permission bits, per channel."""
        self.seen: dict[Rights, frozenset[int]] = {}
        """The channels and open threads that are visible."""
        self.alike: list[list[int]] = []
        """The channels and open threads by what their overwrites say: most are in step with their category."""
        old = before.guild if before is not None else None
        same_channels = old is not None and old.channels is guild.channels
        same_owner = old is not None and old.owner_id == guild.owner_id
        same_roles = old is not None and same_owner and not changed_roles(old, guild)
        if before is not None and same_channels:
            self.json, self.alike, self.parents = before.json, before.alike, before.parents
        else:
            self.json = _unchanged(guild, before, before.json) if before is not None else {}
            self.parents = frozenset(one.parent_id for one in guild.channels.values() if _is_open(one))
        if before is not None and same_channels and same_owner:
            self.special, self.examples = before.special, before.examples
        else:
            self.special = _special(guild)
            self.examples = {own: user for user, own in self.special.items()}
        if before is not None and same_channels and same_roles:
            self.held, self.seen = before.held, before.seen
        elif before is not None and same_roles:
            self.held = _unchanged(guild, before, before.held)

    def permissions(self, roles: tuple[int, ...], own: int, channel_id: int) -> int:
        """Permission bits in a channel, and HEARS; none in one that does not exist.

        Args:
            roles: sorted.
            own: as of `AudienceClass`.
            channel_id: which channel.

        """
        known = self.held.get(channel_id)
        if known is None:
            if channel_id not in self.guild.channels:
                return 0
            known = self.held[channel_id] = {}
        at = (roles, own)
        held = known.get(at)
        if held is None:
            if own and own not in self.examples:
                return 0  # nobody has these rights in this version
            if len(known) >= _KEPT:
                known.clear()
            channel = self.guild.channels[channel_id]
            held = in_channel(self.guild, roles, self.examples.get(own, 0), channel)
            if held & _VIEW_CHANNEL and (held & _CONNECT or channel.type not in VOICE_TYPES):
                held |= HEARS
            known[at] = held
        return held

    def shows(self, rights: Rights, channel_id: int) -> bool:
        """Whether a channel is there for somebody."""
        return bool(self.permissions(*rights, channel_id) & _VIEW_CHANNEL)

    def visible(self, rights: Rights) -> frozenset[int]:
        """The channels and open threads that are there for somebody."""
        found = self.seen.get(rights)
        if found is None:
            if len(self.seen) >= _KEPT:
                self.seen.clear()
            if not self.alike:
                self.alike = _alike(self.guild)
            shown = (group for group in self.alike if self.shows(rights, group[0]))
            found = self.seen[rights] = frozenset().union(*shown)
        return found

    def has_the_rights_of(self, other: "View", rights: Rights) -> bool:
        """Whether a user's rights are the same in both views, channels that differ between them left out."""
        if self.seen is other.seen:
            return True
        mine, others = self.guild, other.guild
        if mine.owner_id != others.owner_id and rights[1] in {mine.owner_id, others.owner_id}:
            return False
        return not changed_roles(mine, others) & {mine.id, *rights[0]}

    def channel_json(self, channel_id: int) -> bytes:
        """A channel as clients see it."""
        found = self.json.get(channel_id)
        if found is None:
            found = self.json[channel_id] = encode(payloads.channel(self.guild.channels[channel_id]))
        return found


def changed_roles(one: Guild, other: Guild) -> set[int]:
    """The roles that do not grant the same in two versions of a guild."""
    if one.roles is other.roles:
        return set()
    return {
        ident
        for ident in one.roles.keys() | other.roles.keys()
        if _granted(one, ident) != _granted(other, ident)
    }


def _granted(guild: Guild, role_id: int) -> int | None:
    role = guild.roles.get(role_id)
    return role.permissions if role is not None else None


def _alike(guild: Guild) -> list[list[int]]:
    """The channels and open threads of a guild, those together that the same people see."""
    found: dict[tuple[bool, tuple[Overwrite, ...]], list[int]] = {}
    private = []
    for channel in guild.channels.values():
        if channel.type in THREADS and not _is_open(channel):
            continue
        parent = guild.channels.get(channel.parent_id) if channel.type in THREADS else channel
        if channel.type == PRIVATE_THREAD or parent is None:
            private.append([channel.id])
            continue
        found.setdefault((parent.type in VOICE_TYPES, parent.overwrites), []).append(channel.id)
    return [*found.values(), *private]


def _is_open(channel: Channel) -> bool:
    return channel.thread is not None and not channel.thread.archived


def _special(guild: Guild) -> dict[int, int]:
    """The users with rights of their own, and which: the same number for the same ones."""
    named: dict[int, list[int]] = {}
    for ident in sorted(guild.channels):
        channel = guild.channels[ident]
        if channel.type == PRIVATE_THREAD and channel.thread is not None:
            for one in channel.thread.members:
                named.setdefault(one.id, []).append(ident)
        for overwrite in channel.overwrites:
            if overwrite.type == 1:
                said = named.setdefault(overwrite.id, [])
                said += (ident, overwrite.allow, overwrite.deny, _SEPARATOR)
    numbers: dict[tuple[int, ...], int] = {}
    found = {}
    for user, said in named.items():
        key = tuple(said)
        if key not in numbers:
            numbers[key] = _number(key)
        found[user] = numbers[key]
    found[guild.owner_id] = guild.owner_id
    return found


def _number(said: tuple[int, ...]) -> int:
    """A number for what is said, larger than any user's id: so none is taken for that of another one."""
    digest = hashlib.blake2b(repr(said).encode(), digest_size=16).digest()
    return int.from_bytes(digest) | 1 << 128


_Found = TypeVar("_Found")


def _unchanged(guild: Guild, before: View, found: Mapping[int, _Found]) -> dict[int, _Found]:
    """What was found out of the channels that are as they were before, as is what they are in."""
    old, new = before.guild.channels, guild.channels
    return {
        ident: found[ident]
        for ident, channel in new.items()
        if ident in found
        and old.get(ident) is channel
        and (channel.type not in THREADS or old.get(channel.parent_id) is new.get(channel.parent_id))
    }


def intent_of(name: str, *, in_guild: bool) -> int:
    """The intent bit without which a session does not get the dispatch."""
    return INTENTS.get(name, (NOBODY, NOBODY))[0 if in_guild else 1]


def rights_of(view: View, user: int) -> Rights:
    """The rights of a member.

    Raises:
        KeyError: the view does not know the user as a member.

    """
    return tuple(sorted(view.guild.members[user].roles)), view.special.get(user, 0)


def classify(view: View, user: int, intents: int, transport: Transport) -> AudienceClass:
    """The class of a session. Raises as `rights_of`."""
    roles, own = rights_of(view, user)
    return AudienceClass(roles, own, intents, transport)


def sees(view: View, audience: AudienceClass, record: Record) -> bool:
    """Whether sessions of the class get the record, which is one for a guild or for a channel of it."""
    if not audience.intents & intent_of(record.type, in_guild=True):
        return False
    if not record.channel:
        if record.permission and record.permission & ~base_of(view.guild, audience.roles, audience.own):
            return False
        return record.audience == GUILD
    held = view.permissions(audience.roles, audience.own, record.channel)
    needed = record.permission | (_VIEW_CHANNEL if record.audience == GUILD else HEARS)
    return held & needed == needed


def content_for(user: int, intents: int, record: Record) -> bool:
    """Whether a session gets the fields that MESSAGE_CONTENT gates."""
    return (
        bool(intents & MESSAGE_CONTENT)
        or not record.guild
        or record.author == user
        or user in record.mentions
    )
