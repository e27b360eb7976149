"""What happened in a run, as it was seen from outside.

That is what was sent and answered, what each session got, and which faults there were. It is kept in memory for the
check, and written as JSON lines for people. No I/O but that file.

Times are seconds of the monotonic clock, which all processes of a machine share.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Literal

import msgspec

__all__ = ["Attempt", "FaultTimes", "History", "Link", "Outcome", "SessionLog"]

_encode = msgspec.json.Encoder().encode


class Outcome(StrEnum):
    """What a sender was told."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """503: this try never reaches the log."""
    UNKNOWN = "unknown"
    """504, or no answer at all: once or never."""
    REJECTED = "rejected"
    """Anything else: the torture program sent what it must not."""


class Attempt(msgspec.Struct, frozen=True):
    """One try of a send; retries have the same nonce."""

    nonce: str
    user: int
    channel: int
    via: str
    began: float
    ended: float
    outcome: Outcome
    id: int = 0
    said: str = ""


class Link(msgspec.Struct):
    """One connection of a session."""

    opened: float
    node: str = ""
    """Which one, where it was chosen by its own address."""
    closed: float | None = None
    live: float | None = None
    """When READY with all guilds, or RESUMED, was there."""


End = Literal["", "told", "left"]


@dataclass
class SessionLog:
    """What one session saw, in its order."""

    name: str
    user: int
    content: bool = True
    direct: bool = True
    """Whether its intents cover direct messages."""
    slow: bool = False
    """Held up on purpose: its delays say nothing."""
    ready: float | None = None
    links: list[Link] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    s: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    end: End = ""
    ended: float = 0.0
    said: str = ""
    broken: str = ""
    """What the server did against the protocol."""

    @property
    def lived(self) -> list[tuple[Link, float]]:
        """The connections on which it was whole, and from when on."""
        return [(link, link.live) for link in self.links if link.live is not None]


@dataclass
class FaultTimes:
    """When a fault was there."""

    name: str
    applied: float
    observed: float | None = None
    healed: float | None = None
    nodes: frozenset[str] = frozenset()
    """Nodes whose own sessions had to wait for its end."""
    outage: bool = False
    """Deliveries can only go on after its end."""
    tells_away: bool = False
    """Sessions that were away meanwhile may be told that they are not whole."""
    settled: float | None = None
    """Until then they may; None: until `healed`."""
    detail: str = ""


class History:
    """Append-only."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        """Args: file: where each line goes, too."""
        self.attempts: dict[str, list[Attempt]] = {}
        self.sessions: dict[str, SessionLog] = {}
        self.faults: list[FaultTimes] = []
        self._file = file

    def attempt(self, attempt: Attempt) -> None:
        """A try was answered, or given up."""
        self.attempts.setdefault(attempt.nonce, []).append(attempt)
        self._write("send", attempt)

    def began(self, session: SessionLog) -> None:
        """A session identifies."""
        self.sessions[session.name] = session
        self.event(session, "identifies", session.links[-1].opened if session.links else 0.0)

    def got(self, session: SessionLog, message: int, s: int, at: float) -> None:
        """A session got a message."""
        session.ids.append(message)
        session.s.append(s)
        session.at.append(at)
        if self._file is not None:
            self._file.write(b'["got","%b",%d,%d,%.4f]\n' % (session.name.encode(), message, s, at))

    def event(self, session: SessionLog, kind: str, at: float, **facts: object) -> None:
        """Anything else in the life of a session."""
        self._write(
            "session", {"session": session.name, "user": session.user, "kind": kind, "at": at} | facts
        )

    def fault(self, times: FaultTimes) -> None:
        """A fault is applied; its times are filled in as they come."""
        self.faults.append(times)
        self.note("fault", times.name, times.applied)

    def note(self, kind: str, what: str, at: float) -> None:
        """Anything that helps to understand a violation."""
        self._write(kind, {"what": what, "at": at})

    def _write(self, kind: str, value: object) -> None:
        if self._file is not None:
            self._file.write(_encode([kind, value]) + b"\n")
