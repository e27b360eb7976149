"""The dialogue with one client, as a state machine without I/O and without a clock.

The shell feeds whole messages in with `receive` and carries out the effects it gets back, in order. Starting or
resuming a session takes time: the machine says `Identify` or `Resume`, and the shell says how that went with
`started` or `rejected`.

    NEW --Identify/Resume--> STARTING --started--> OPEN
     ^                          |
     +--------rejected----------+
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Any, Final

import msgspec

from fanfare.constants import (
    CLIENT_FRAME_BYTES,
    CLIENT_FRAMES_PER_MINUTE,
    CONTROL_FRAMES_PER_MINUTE,
    HEARTBEAT_INTERVAL_MS,
    LARGE_GUILD,
    OWN_FRAME_BYTES,
    OWN_UNANSWERED,
    STARTS,
)
from gateway.protocol import member_requests
from gateway.protocol.codes import FIRST_OWN_OP, CloseCode, Op
from gateway.protocol.member_requests import RequestMembers

__all__ = [
    "Asked",
    "Close",
    "Dialogue",
    "Effect",
    "Identify",
    "Locate",
    "Reply",
    "Resume",
    "SendMessage",
    "SetStatus",
    "SetVoice",
    "State",
    "Watch",
]

_LEAST_LARGE: Final = 50
_WINDOW_S: Final = 60.0
# A client that has not sent anything for two heartbeat intervals is gone.
_SILENCE_S: Final = 2 * HEARTBEAT_INTERVAL_MS / 1000
# Larger numbers are never given out: JavaScript cannot hold them, nor can session ids.
_NUMBER_BITS: Final = 53
# The slowest library needs this long for its first IDENTIFY; later the limit for silence holds.
_IDENTIFY_S: Final = 60.0


class State(Enum):
    """Where the dialogue is."""

    NEW = auto()
    STARTING = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """Send a frame that is not a dispatch."""

    op: Op
    d: Any = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Identify:
    """Start a session."""

    token: str
    intents: int
    shard: tuple[int, int] | None
    presence: bytes = b"null"
    """The status to begin with, as the client says it."""
    properties: object = None
    """What the client says of itself."""
    large_threshold: int = LARGE_GUILD
    """A guild of more members is sent without them."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a session after `seq`."""

    token: str
    session_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Publish a message; `body` is JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Show another status of the user; `body` is JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class SetVoice:
    """Be in a voice channel, or in none; `body` is JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Locate:
    """Publish a position; `body` is JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Watch:
    """Watch these entities and no others; `body` is JSON."""

    body: bytes


Asked = RequestMembers | SetStatus | SetVoice | SendMessage | Locate | Watch
"""What a session asks for."""
Effect = Reply | Close | Identify | Resume | Asked

_UNANSWERED: Final[Mapping[int, type[SetStatus | SetVoice]]] = {
    Op.PRESENCE_UPDATE: SetStatus,
    Op.VOICE_STATE_UPDATE: SetVoice,
}
_ANSWERED: Final[Mapping[int, type[SendMessage | Locate | Watch]]] = {
    Op.SEND: SendMessage,
    Op.LOCATE: Locate,
    Op.WATCH: Watch,
}
_IGNORED: Final = frozenset({Op.REQUEST_SOUNDBOARD_SOUNDS, Op.REQUEST_CHANNEL_INFO})


class _Frame(msgspec.Struct):
    op: int
    d: msgspec.Raw = msgspec.Raw(b"null")


class _Identify(msgspec.Struct):
    token: str
    intents: Annotated[int, msgspec.Meta(ge=0)] = 0
    shard: tuple[int, int] | None = None
    presence: msgspec.Raw = msgspec.Raw(b"null")
    properties: Any = None
    large_threshold: Any = None


class _Resume(msgspec.Struct):
    token: str
    session_id: str | None = None
    seq: int | None = None


_frame = msgspec.json.Decoder(_Frame)
_identify = msgspec.json.Decoder(_Identify)
_resume = msgspec.json.Decoder(_Resume)


class Dialogue:
    """One client's dialogue.

    Times are seconds of any one steady clock.
    """

    __slots__ = (
        "_control",
        "_frames",
        "_heard_at",
        "_new_at",
        "_starts",
        "_unanswered",
        "_window_at",
        "state",
    )

    def __init__(self, now: float) -> None:
        """Begin; the shell sends `hello()` first."""
        self.state = State.NEW
        self._new_at = self._heard_at = self._window_at = now
        self._frames = self._control = self._starts = 0
        self._unanswered = 0

    @staticmethod
    def hello() -> Reply:
        """The first frame of every connection."""
        return Reply(Op.HELLO, {"heartbeat_interval": HEARTBEAT_INTERVAL_MS})

    def receive(self, message: bytes, now: float) -> list[Effect]:
        """Take one message, TEXT or BINARY, and say what to do."""
        if self.state is State.CLOSED:
            return []
        self._heard_at = now
        try:
            frame = _frame.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._close(CloseCode.DECODE_ERROR, 'send JSON like {"op": 1, "d": null}')
        if frame.op < FIRST_OWN_OP:
            if len(message) > CLIENT_FRAME_BYTES:
                return self._close(CloseCode.DECODE_ERROR, f"frames are {CLIENT_FRAME_BYTES} bytes at most")
            if self._limited(now):
                return self._close(
                    CloseCode.RATE_LIMITED, f"{CLIENT_FRAMES_PER_MINUTE} frames in 60 s at most"
                )
        elif len(message) > OWN_FRAME_BYTES:
            return self._close(CloseCode.DECODE_ERROR, f"frames are {OWN_FRAME_BYTES} bytes at most")
        try:
            return self._handle(frame.op, bytes(frame.d))
        except (msgspec.DecodeError, ValueError) as error:
            return self._close(CloseCode.DECODE_ERROR, f"op {frame.op}: {error}"[:120])

    def control(self, now: float) -> bool:
        """Count a frame that says nothing: a PING, a PONG, an empty one. False: there were too many."""
        self._turn(now)
        self._control += 1
        return self._control <= CONTROL_FRAMES_PER_MINUTE

    def _handle(self, op: int, d: bytes) -> list[Effect]:
        match op:
            case Op.HEARTBEAT:
                return [Reply(Op.HEARTBEAT_ACK)]
            case Op.IDENTIFY:
                return self._identify(d)
            case Op.RESUME:
                return self._resume(d)
            case Op.REQUEST_GUILD_MEMBERS:
                return self._request_members(d)
            case _ if op in _UNANSWERED:
                return self._open(_UNANSWERED[op](d))
            case _ if op in _ANSWERED:
                return self._answered(_ANSWERED[op](d))
            case _ if op in _IGNORED:
                return [] if self.state is State.OPEN else self._unauthenticated()
            case _:
                return self._close(CloseCode.UNKNOWN_OPCODE, f"opcode {op} is not known")

    def started(self) -> None:
        """The session has begun or was resumed."""
        if self.state is State.STARTING:
            self.state = State.OPEN
            self._starts = 0

    def rejected(self) -> None:
        """The session cannot be had: the client may identify on this connection."""
        if self.state is not State.CLOSED:
            self.state = State.NEW
            self._new_at = self._heard_at

    def answered(self) -> None:
        """A SEND, LOCATE or WATCH was answered."""
        self._unanswered -= 1

    def closed(self) -> None:
        """The connection is no more."""
        self.state = State.CLOSED

    def check(self, now: float) -> list[Effect]:
        """What the passing of time demands."""
        if self.state is State.CLOSED:
            return []
        if now - self._heard_at > _SILENCE_S:
            return self._close(CloseCode.SESSION_TIMED_OUT, "no heartbeat came")
        if self.state is State.NEW and now - self._new_at > _IDENTIFY_S:
            return self._close(CloseCode.SESSION_TIMED_OUT, "no IDENTIFY or RESUME came")
        return []

    def next_check(self) -> float:
        """When `check` has to be called next."""
        silent_at = self._heard_at + _SILENCE_S
        return min(silent_at, self._new_at + _IDENTIFY_S) if self.state is State.NEW else silent_at

    def _close(self, code: CloseCode, reason: str) -> list[Effect]:
        self.state = State.CLOSED
        return [Close(code, reason)]

    def _turn(self, now: float) -> None:
        if now - self._window_at >= _WINDOW_S:
            self._window_at, self._frames, self._control = now, 0, 0

    def _limited(self, now: float) -> bool:
        self._turn(now)
        self._frames += 1
        return self._frames > CLIENT_FRAMES_PER_MINUTE

    def _begin(self) -> list[Effect] | None:
        if self.state is not State.NEW:
            return self._close(CloseCode.ALREADY_AUTHENTICATED, "this connection has a session already")
        self._starts += 1
        if self._starts > STARTS:
            return self._close(
                CloseCode.RATE_LIMITED, f"{STARTS} tries to begin a session at most: reconnect"
            )
        return None

    def _identify(self, d: bytes) -> list[Effect]:
        if (refused := self._begin()) is not None:
            return refused
        try:
            asked = _identify.decode(d)
        except msgspec.ValidationError as error:
            if "$.intents" in str(error):
                return self._close(CloseCode.INVALID_INTENTS, "intents is a number of bits")
            if "$.shard" in str(error):
                return self._close(CloseCode.INVALID_SHARD, "shard is [i, n]")
            raise
        if asked.intents >> _NUMBER_BITS:
            return self._close(CloseCode.INVALID_INTENTS, "intents is a number of bits")
        if asked.shard is not None and not 0 <= asked.shard[0] < asked.shard[1] < 1 << _NUMBER_BITS:
            return self._close(CloseCode.INVALID_SHARD, "shard is [i, n] with 0 <= i < n")
        self.state = State.STARTING
        presence = bytes(asked.presence)
        large_at = asked.large_threshold
        if not isinstance(large_at, int) or not _LEAST_LARGE <= large_at <= LARGE_GUILD:
            large_at = LARGE_GUILD
        return [Identify(asked.token, asked.intents, asked.shard, presence, asked.properties, large_at)]

    def _resume(self, d: bytes) -> list[Effect]:
        if (refused := self._begin()) is not None:
            return refused
        asked = _resume.decode(d)
        if not asked.session_id or asked.seq is None or not 0 < asked.seq < 1 << _NUMBER_BITS:
            return [Reply(Op.INVALID_SESSION, d=False)]
        self.state = State.STARTING
        return [Resume(asked.token, asked.session_id, asked.seq)]

    def _request_members(self, d: bytes) -> list[Effect]:
        if self.state is not State.OPEN:
            return self._unauthenticated()
        asked = member_requests.read(d)
        if asked is None:
            return self._close(CloseCode.DECODE_ERROR, "op 8: guild_id is missing, or no id")
        return [asked]

    def _open(self, effect: Effect) -> list[Effect]:
        """What is done of a frame that only a session may send."""
        return [effect] if self.state is State.OPEN else self._unauthenticated()

    def _answered(self, effect: Effect) -> list[Effect]:
        """What is done of a frame that gets an answer."""
        if self.state is not State.OPEN:
            return self._unauthenticated()
        if self._unanswered >= OWN_UNANSWERED:
            return self._close(CloseCode.RATE_LIMITED, f"{OWN_UNANSWERED} unanswered frames at most")
        self._unanswered += 1
        return [effect]

    def _unauthenticated(self) -> list[Effect]:
        return self._close(CloseCode.NOT_AUTHENTICATED, "identify first")
