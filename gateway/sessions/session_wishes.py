"""What several steps wish for: of identifying, resuming and repairing."""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.delivery.session import Session
from gateway.recovery.wishes import Now, Wish

__all__ = [
    "CheckWhole",
    "Close",
    "Enter",
    "Entered",
    "Forget",
    "Leave",
    "UntilWhole",
]


class Entered(NamedTuple):
    """A session is registered and its guilds are loaded."""

    asked: bool
    """Whether the database could be asked for the guilds of its user."""
    ahead: bool
    """Whether a guild was loaded with changes that the inbox has still to bring."""


@dataclass(slots=True)
class UntilWhole(Wish[None]):
    """Wait while the node's inbox is being repaired; TimeoutError is thrown if that takes too long."""


@dataclass(slots=True)
class CheckWhole(Wish[None]):
    """Compare the loss token of the node's inbox with the present one; InboxGoneError is thrown if it is another."""


@dataclass(slots=True)
class Enter(Wish[Entered]):
    """Register a session's user and guilds, wait until Redis has that, and load the guilds."""

    session: Session


@dataclass(slots=True)
class Leave(Now[None]):
    """Take back the registration of a session that did not come about; not of one that memory holds."""

    session: Session


@dataclass(slots=True)
class Close(Now[None]):
    """Close a session's socket; its client can resume."""

    session: Session
    reason: str


@dataclass(slots=True)
class Forget(Now[None]):
    """Drop a session from memory, and its registration."""

    session: Session
