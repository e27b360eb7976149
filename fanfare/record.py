"""Record format 1: one event as it travels through Kafka and through the inboxes of gateway nodes.

In Kafka the routing facts are headers (UTF-8 text) and the value is the client-visible JSON payload, made
once where the event enters. In an inbox the same record is one msgpack array. Nobody in between parses the
payload.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Self, TypeVar

import msgspec
from typing_extensions import override

__all__ = ["CHANNEL", "FENCE", "GUILD", "INBOXES", "USERS", "BadRecordError", "Position", "Record"]

VERSION: Final = "1"

# Audiences: who an event is for.
CHANNEL: Final = "channel"  # everybody in the guild who may see the channel
GUILD: Final = "guild"  # everybody in the guild, and the users named besides
USERS: Final = "users"  # the users named: direct messages
INBOXES: Final = "inboxes"  # the inboxes named: fences

FENCE: Final = "FENCE"


class BadRecordError(Exception):
    """A record that does not follow the format: it belongs in the dead letters, with this message."""


class Position(NamedTuple):
    """Source position: names an event for ever, and orders the events of one partition."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position in `topic/partition/offset`."""
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic, int(partition), int(offset))

    @override
    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Record(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One event. Fields that do not apply keep their defaults and are left out of the headers."""

    type: str
    """Name of the dispatch, such as MESSAGE_CREATE; FENCE for a fence."""
    id: int = 0
    """Snowflake of the event; of a new message, the message's id."""
    at: int = 0
    """When it entered, ms since 1970 by the gateway's clock."""
    audience: str = CHANNEL
    guild: int = 0
    channel: int = 0
    author: int = 0
    nonce: str = ""
    permission: int = 0
    """Permission bits that a session needs in the channel, besides VIEW_CHANNEL."""
    users: tuple[int, ...] = ()
    """Recipients, for the audience `users`; additional ones for `guild`."""
    mentions: tuple[int, ...] = ()
    """Users mentioned: they get the content without the MESSAGE_CONTENT intent."""
    gated: tuple[int, int] | None = None
    """Byte range [start, end) of the payload that MESSAGE_CONTENT gates."""
    version: int = 0
    """Of a change to a guild: the guild's version after it."""
    fence: str = ""
    inboxes: tuple[str, ...] = ()
    traceparent: str = ""
    source: tuple[str, int, int] | None = None
    """Source position; absent in the source topics, where it is the record's own."""
    payload: bytes = b""
    before: bytes = b""
    """Of a change to a guild: JSON of what it replaced, so that a node that loads the guild later knows that, too."""

    @property
    def position(self) -> Position:
        """The source position. Only for records that have one."""
        source = self.source
        assert source is not None
        return source if isinstance(source, Position) else Position(*source)

    @property
    def ephemeral(self) -> bool:
        """Whether only some of those in the channel ever see it: then it is nobody's history.

        A direct message names both sides, and what is for one user alone names one.
        """
        return self.audience == USERS and (self.guild != 0 or len(self.users) == 1)

    def scopes(self) -> list[str]:
        """The names under which an inbox notes its newest entry: g:GUILD and u:USER, as the audience says."""
        if self.audience == INBOXES:
            return []
        named = [f"u:{user}" for user in self.users]
        return named if self.audience == USERS else [f"g:{self.guild}", *named]

    def headers(self) -> list[tuple[str, bytes]]:
        """The Kafka headers; the payload is the value."""
        text: list[tuple[str, str]] = [("v", VERSION), ("type", self.type)]
        text += [(name, str(number)) for name in _NUMBERS if (number := getattr(self, name))]
        text += [(name, value) for name in _TEXTS if (value := getattr(self, name))]
        text += [(name, ",".join(map(str, items))) for name in _LISTS if (items := getattr(self, name))]
        if self.gated is not None:
            text.append(("gated", f"{self.gated[0]}-{self.gated[1]}"))
        if self.source is not None:
            text.append(("source", str(self.position)))
        found = [(name, value.encode()) for name, value in text]
        if self.before:
            found.append(("before", self.before))
        return found

    @classmethod
    def from_kafka(
        cls, headers: Iterable[tuple[str, bytes]], value: bytes | None, source: Position | None = None
    ) -> Self:
        """The record of a Kafka message.

        Args:
            headers: its headers; unknown ones are ignored.
            value: its value.
            source: its own position, for a message of a source topic; it wins over a `source` header.

        Raises:
            BadRecordError: the version is unknown, a required header is missing or one cannot be read.

        """
        try:
            found: dict[str, Any] = {}
            for name, raw in headers:
                read = _READ.get(name)
                if read is not None:
                    found[name] = read(raw)
            if (version := found.pop("v", None)) != VERSION:
                raise BadRecordError(f"record format {version!r} is not known here, only {VERSION!r}")
            payload = value or b""
            if source is not None:
                found["source"] = source
            gated = found.get("gated")
            if gated is not None and not 0 <= gated[0] <= gated[1] <= len(payload):
                raise BadRecordError(f"gated range {gated} is not inside the payload")
            return _checked(cls(payload=payload, **found))
        except (TypeError, ValueError) as error:  # ValueError: also one of the decoding of text
            raise BadRecordError(f"unreadable headers: {type(error).__name__}: {error}") from error

    def pack(self) -> bytes:
        """The record as an inbox entry."""
        return _encoder.encode(self)

    @classmethod
    def unpack(cls, entry: bytes) -> "Record":
        """The record of an inbox entry.

        Raises:
            msgspec.DecodeError: these are not the bytes of one.

        """
        return _decoder.decode(entry)


_R = TypeVar("_R", bound=Record)
_NUMBERS: Final = ("id", "at", "guild", "channel", "author", "permission", "version")
_TEXTS: Final = ("audience", "nonce", "fence", "traceparent")
_LISTS: Final = ("users", "mentions", "inboxes")


def _checked(record: _R) -> _R:
    """The record. Raises ValueError if a number is negative or has more than 63 bits: databases take no other."""
    bits = record.id | record.at | record.guild | record.channel | record.author | record.permission
    bits |= record.version
    for user in record.users:
        bits |= user
    for user in record.mentions:
        bits |= user
    if bits >> 63:
        raise ValueError("a number is negative or has more than 63 bits")
    return record


def _ints(raw: bytes) -> tuple[int, ...]:
    return tuple(map(int, raw.split(b","))) if raw else ()


def _names(raw: bytes) -> tuple[str, ...]:
    return tuple(raw.decode().split(",")) if raw else ()


def _range(raw: bytes) -> tuple[int, int]:
    start, end = map(int, raw.split(b"-"))
    return start, end


def _position(raw: bytes) -> Position:
    return Position.parse(raw.decode())


# How each header is read; `int` takes the bytes of a number.
_READ: Final[dict[str, Callable[[bytes], Any]]] = {
    "v": bytes.decode,
    "type": bytes.decode,
    "gated": _range,
    "source": _position,
    **dict.fromkeys(_NUMBERS, int),
    **dict.fromkeys(_TEXTS, bytes.decode),
    "users": _ints,
    "mentions": _ints,
    "inboxes": _names,
    "before": bytes,
}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)
