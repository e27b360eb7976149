"""The statuses and voice states that GUILD_CREATE and GUILD_MEMBERS_CHUNK show.

They are read from Redis when the first session wants them, and kept current by the events that the node's inbox brings.
Only of guilds that are sent with all their members: of a large one, GUILD_CREATE shows none.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from fanfare.constants import LARGE_GUILD
from fanfare.presence.errors import RedisError
from fanfare.presence.statuses import Statuses, Voice
from fanfare.record import Record
from fanfare.tasks import Shared
from gateway.guilds.audience import View, rights_of
from gateway.statuses.status import OFFLINE, member_status

__all__ = ["PRESENCES", "VOICE", "Shown"]

PRESENCES: Final = 1 << 8
VOICE: Final = 1 << 7
_EVENTS: Final = frozenset({"PRESENCE_UPDATE", "VOICE_STATE_UPDATE"})
_WATCH_AGAIN_S: Final = 1200.0


class Guilds(Protocol):
    """What a node knows of guilds."""

    views: dict[int, View]


class Registered(Protocol):
    """Which guilds' events come to this node: `gateway.registrations.PresenceWriter`."""

    def serial(self, guild: int) -> int:
        """Another number each time that the guild is registered; 0: it is not."""


@dataclass(slots=True)
class _Known:
    """What is known of one guild, since it was registered."""

    serial: int
    statuses: dict[int, bytes] = field(default_factory=dict)
    voices: dict[int, Voice] = field(default_factory=dict)
    since: list[Record] = field(default_factory=list)
    """Events that came while the rest was being read."""
    ready: bool = False
    watched: bool = False
    """Whether statuses are known too: somebody wanted them."""
    watched_at: float = 0.0


class _Voice(msgspec.Struct):
    channel_id: str | None


class Shown:
    """What this node shows."""

    def __init__(self, statuses: Statuses, guilds: Guilds, registered: Registered) -> None:
        self._statuses = statuses
        self._guilds = guilds
        self._registered = registered
        self._known: dict[int, _Known] = {}
        self._wanted: set[int] = set()
        """Guilds of which some session wanted the statuses; nobody is told of those of the others."""
        self._reading: Shared[int, None] = Shared(self._read)

    async def prepare(self, guilds: Iterable[int], intents: int) -> None:
        """Get to know what sessions with these intents are shown; while Redis is away, nothing is."""
        if not intents & (PRESENCES | VOICE):
            return
        guilds = list(guilds)
        if intents & PRESENCES:
            self._wanted.update(guilds)
        # Twice: what was being read already may have been without statuses.
        for _ in range(2):
            lacking = [guild for guild in guilds if self._lacks(guild)]
            await asyncio.gather(*map(self._reading.of, lacking), return_exceptions=True)

    def part(self, view: View, user: int, intents: int) -> bytes:
        """The part of GUILD_CREATE for a member whose session has these intents."""
        known = self._known.get(view.guild.id)
        statuses: list[bytes] = []
        voices: list[bytes] = []
        if known is not None and known.ready:
            if intents & PRESENCES and view.guild.member_count <= LARGE_GUILD:
                members = view.guild.members
                statuses = [member_status(*one) for one in known.statuses.items() if one[0] in members]
            if intents & VOICE and known.voices:
                rights = rights_of(view, user)
                voices = [voice.state for voice in known.voices.values() if view.shows(rights, voice.channel)]
        return b',"presences":[%b],"voice_states":[%b]' % (b",".join(statuses), b",".join(voices))

    async def of_members(self, guild: int, users: Sequence[int]) -> list[tuple[int, bytes]]:
        """The members who are not offline, and the JSON of their statuses; none while Redis is away."""
        try:
            found = await self._statuses.of_members(guild, users)
        except (RedisError, OSError):
            return []
        return [(user, member_status(user, status)) for user, status in found.items()]

    def take(self, record: Record) -> None:
        """Take an event of the inbox."""
        if record.type not in _EVENTS:
            return
        known = self._known.get(record.guild)
        if known is None:
            return
        if not known.ready:
            known.since.append(record)
        elif record.type == "PRESENCE_UPDATE":
            status = _status_in(record)
            if status == OFFLINE:
                known.statuses.pop(record.author, None)
            else:
                known.statuses[record.author] = status
        elif channel := msgspec.json.decode(record.payload, type=_Voice).channel_id:
            known.voices[record.author] = Voice(int(channel), record.payload)
        elif (voice := known.voices.get(record.author)) is not None and voice.channel == record.channel:
            del known.voices[record.author]

    async def renew(self) -> None:
        """Say again which guilds are watched here, and forget what is not kept current any more; raises RedisError."""
        for guild, known in list(self._known.items()):
            if known.serial != self._registered.serial(guild):
                del self._known[guild]
        self._wanted = set(filter(self._registered.serial, self._wanted))
        now = asyncio.get_running_loop().time()
        due = [
            guild
            for guild, known in self._known.items()
            if known.watched and now - known.watched_at > _WATCH_AGAIN_S
        ]
        if due:
            await self._statuses.watch(due)
        for guild in due:
            if guild in self._known:
                self._known[guild].watched_at = now

    def _lacks(self, guild: int) -> bool:
        known = self._known.get(guild)
        if known is None or not known.ready or known.serial != self._registered.serial(guild):
            return True
        return guild in self._wanted and not known.watched

    async def _read(self, guild: int) -> None:
        if not self._lacks(guild):
            return
        known = _Known(self._registered.serial(guild), watched=guild in self._wanted)
        self._known[guild] = known
        if known.watched:
            # Said first: what changes after that is told, what changed before is read.
            await self._statuses.watch([guild])
            known.watched_at = asyncio.get_running_loop().time()
            view = self._guilds.views.get(guild)
            if view is None or view.guild.member_count <= LARGE_GUILD:
                known.statuses = await self._statuses.of_guild(guild)
        known.voices = await self._statuses.voices(guild)
        known.ready = True
        for record in known.since:
            self.take(record)
        known.since.clear()


def _status_in(record: Record) -> bytes:
    """The status in the payload of PRESENCE_UPDATE."""
    found: dict[str, Any] = msgspec.json.decode(record.payload, type=dict[str, msgspec.Raw])
    return b'{"status":%b,"activities":%b,"client_status":%b}' % (
        bytes(found["status"]),
        bytes(found["activities"]),
        bytes(found["client_status"]),
    )
