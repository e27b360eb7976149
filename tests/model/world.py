"""Kafka and Redis as plain state, and who is in which guild."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec.structs import replace

from fanfare.bus.topics import DELIVERIES_OF
from fanfare.constants import NONCE_WINDOW_S, S_EPOCH_MS, SNOWFLAKE_EPOCH_MS
from fanfare.record import CHANNEL, GUILD, USERS, Position, Record
from gateway.recovery.path import Moved
from tests.model.append import Inbox

__all__ = ["CHANNELS", "SOURCES", "WINDOW", "Appended", "Kafka", "Redis", "Step", "deliveries_of", "event"]

Step = Iterator[str]
"""A process: yields the name of what it is about to do, so that anything can happen before it."""

SOURCES: Final = ("chat.events/0", "chat.events/1", "guild.events/0")
# A tick of the model as the brokers' clocks see it.
TICK_MS: Final = 4000
WINDOW: Final = int(NONCE_WINDOW_S * 1000) // TICK_MS
"""The nonce window in ticks."""


class Channel(NamedTuple):
    """Where events of one order go."""

    source: str
    audience: str
    guild: int
    users: tuple[int, ...]


CHANNELS: Final = {
    101: Channel("chat.events/0", CHANNEL, 1, ()),
    102: Channel("chat.events/1", CHANNEL, 1, ()),
    201: Channel("chat.events/0", CHANNEL, 2, ()),
    202: Channel("chat.events/1", CHANNEL, 2, ()),
    301: Channel("chat.events/0", USERS, 0, (10, 11)),
    302: Channel("chat.events/1", USERS, 0, (12, 11)),
    1: Channel("guild.events/0", GUILD, 1, ()),
    2: Channel("guild.events/0", GUILD, 2, ()),
}
MEMBERS: Final = {10: (1,), 11: (1, 2), 12: (2,), 13: (1, 2)}
SCOPES: Final = {
    user: frozenset([f"u:{user}", *(f"g:{guild}" for guild in guilds)]) for user, guilds in MEMBERS.items()
}


def deliveries_of(source: str) -> str:
    """The partition of the deliveries of a source partition."""
    topic, number = source.split("/")
    return f"{DELIVERIES_OF[topic]}/{number}"


def event(number: int, channel: int, born: int) -> Record:
    """An event made at a tick; of a channel of chat it is a message with a nonce."""
    at = CHANNELS[channel]
    chat = at.source.startswith("chat")
    return Record(
        type="MESSAGE_CREATE" if chat else "GUILD_UPDATE",
        id=(born * TICK_MS) << 22 | number,
        audience=at.audience,
        guild=at.guild,
        channel=channel,
        author=9,
        nonce=str(number) if chat else "",
        users=at.users,
    )


class Appended(NamedTuple):
    """A record in a log, and the tick."""

    record: Record
    at: int

    @property
    def at_ms(self) -> int:
        return SNOWFLAKE_EPOCH_MS + self.at * TICK_MS


@dataclass
class Kafka:
    """Logs and committed offsets. It keeps what it acknowledged."""

    events: dict[str, list[Appended]] = field(default_factory=lambda: {name: [] for name in SOURCES})
    deliveries: dict[str, list[Appended]] = field(
        default_factory=lambda: {deliveries_of(name): [] for name in SOURCES}
    )
    committed: dict[str, int] = field(default_factory=dict)
    """Next offset of the one group that reads a partition."""
    beginnings: dict[str, int] = field(default_factory=dict)
    """Oldest offsets that retention has left."""
    down: int = 0

    def accept(self, source: str, record: Record, at: int) -> Position:
        """Append to an events topic."""
        topic, number = source.split("/")
        log = self.events[source]
        position = Position(topic, int(number), len(log))
        log.append(Appended(replace(record, source=position), at))
        return position

    def log(self, partition: str) -> list[Appended]:
        return self.events[partition] if partition in self.events else self.deliveries[partition]

    def commit(self, partition: str, offset: int) -> None:
        self.committed[partition] = max(self.committed.get(partition, 0), offset)


@dataclass
class Stored:
    """What a snapshot of Redis holds."""

    inboxes: dict[str, Inbox] = field(default_factory=dict)
    presence: dict[str, set[str]] = field(default_factory=dict)
    """Per scope the inboxes (guilds) or `session@inbox` (users)."""
    moved: dict[str, Moved] = field(default_factory=dict)
    first: dict[str, tuple[Position, int]] = field(default_factory=dict)
    """Per nonce the position that won, and the tick when the key goes."""

    leases: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Per node its inbox, and the tick when the key goes."""

    def copy(self) -> "Stored":
        return Stored(
            {name: inbox.copy() for name, inbox in self.inboxes.items()},
            {scope: set(fields) for scope, fields in self.presence.items()},
            dict(self.moved),
            dict(self.first),
            dict(self.leases),
        )


class Redis:
    """The primary. `token` is another one whenever writes may have been lost."""

    def __init__(self) -> None:
        self.stored = Stored()
        self.saved = Stored()
        """The newest snapshot."""
        self.tail = Stored()
        """What a replica has: a little older than the primary."""
        self.losses = 0
        self.clock = 1000
        self.down = 0

    @property
    def token(self) -> str:
        return f"run{self.losses}"

    @property
    def now_ms(self) -> int:
        return S_EPOCH_MS + self.clock

    def lose(self, stored: Stored) -> None:
        """Go on with something older."""
        self.losses += 1
        self.stored = stored.copy()

    def expire(self, t: int) -> None:
        """Keys whose time is over."""
        for name in [name for name, inbox in self.stored.inboxes.items() if inbox.expires < t]:
            del self.stored.inboxes[name]
        for key in [key for key, (_, until) in self.stored.first.items() if until < t]:
            del self.stored.first[key]
        for name in [name for name, (_, until) in self.stored.leases.items() if until < t]:
            del self.stored.leases[name]

    def add(self, scope: str, field_: str) -> None:
        self.stored.presence.setdefault(scope, set()).add(field_)

    def remove(self, scope: str, field_: str) -> None:
        self.stored.presence.get(scope, set()).discard(field_)

    def inboxes_of(self, scope: str) -> list[str]:
        return sorted({name.rpartition("@")[2] for name in self.stored.presence.get(scope, ())})

    def forget(self, inbox: str) -> None:
        """Remove the registrations of an inbox that is gone."""
        for fields in self.stored.presence.values():
            fields -= {name for name in fields if name.rpartition("@")[2] == inbox}
