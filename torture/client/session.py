"""What a client keeps across connections, and what it can be told."""

from enum import IntEnum
from typing import Any, Final, NamedTuple

__all__ = [
    "CALM_INTENTS",
    "PRESENCES",
    "ClosedError",
    "Event",
    "InvalidSessionError",
    "Op",
    "ReconnectError",
    "SendError",
    "Session",
]

PRESENCES: Final = 1 << 8
# Every intent, the privileged ones too (bits 0 to 25, where Discord uses them), but not that of statuses: these come
# whenever some other client comes or goes.
CALM_INTENTS: Final = 0b11_0011_0001_1111_1111_1111_1111 & ~PRESENCES


class Op(IntEnum):
    """The opcodes that the client knows."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE_UPDATE = 3
    VOICE_STATE_UPDATE = 4
    RESUME = 6
    RECONNECT = 7
    REQUEST_GUILD_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11
    SEND = 128
    SENT = 129


class Event(NamedTuple):
    """A dispatch."""

    t: str
    s: int
    d: dict[str, Any]


class ClosedError(Exception):
    """The connection is closed, and everything that came before was taken."""

    def __init__(self, code: int, reason: str) -> None:
        """Args: code: of the close frame, 1006 if there was none."""
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class InvalidSessionError(Exception):
    """The server sent INVALID_SESSION; the connection is still there."""

    def __init__(self, *, resumable: bool) -> None:
        """Args: resumable: its `d`."""
        super().__init__(f"invalid session, d={resumable}")
        self.resumable = resumable


class ReconnectError(Exception):
    """The server sent RECONNECT: it asks the client to connect again and to resume."""


class SendError(Exception):
    """A SEND was answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        """Args: error: the `error` of SENT."""
        super().__init__(str(error))
        self.code = int(error["code"])
        self.error = error


class Session:
    """What a client keeps across its connections."""

    def __init__(self, token: str, *, intents: int = CALM_INTENTS) -> None:
        self.token = token
        self.intents = intents
        self.id: str | None = None
        self.resume_url: str | None = None
        self.seq: int | None = None
        """`s` of the last dispatch that was taken."""
        self.ready: dict[str, Any] = {}
        self.messages: list[str] = []
        """Id of every message that was taken, in order, over all connections."""

    def take(self, event: Event) -> None:
        """Note an event that the program has got."""
        self.seq = event.s
        if event.t == "READY":
            self.ready = event.d
            self.id = event.d["session_id"]
            self.resume_url = event.d["resume_gateway_url"]
        elif event.t == "MESSAGE_CREATE":
            self.messages.append(event.d["id"])
