"""A session in the memory of its node, its connection, and the kinds of records that many modules tell apart."""

import time
from typing import TYPE_CHECKING, Final, Protocol

from fanfare.constants import LARGE_GUILD
from fanfare.model import User
from fanfare.record import USERS, Record
from gateway.protocol.codes import CloseCode
from gateway.protocol.frames import Transport
from gateway.recovery.path import Fence, Hop

if TYPE_CHECKING:
    from gateway.guilds.audience import AudienceClass
    from gateway.statuses.status import Status

__all__ = [
    "JOINS",
    "LEAVES",
    "Link",
    "Session",
    "is_about_member",
    "is_membership",
    "is_message",
    "is_personal",
]

JOINS: Final = frozenset({"GUILD_CREATE", "GUILD_MEMBER_ADD"})
"""Events that say that a user has joined a guild."""
LEAVES: Final = frozenset({"GUILD_MEMBER_REMOVE", "GUILD_DELETE"})
"""Events that say that a user has left a guild."""
_MEMBERSHIP: Final = JOINS | LEAVES
_ABOUT_MEMBERS: Final = frozenset({"GUILD_MEMBER_UPDATE", "THREAD_MEMBERS_UPDATE"})
_PERSONAL: Final = _MEMBERSHIP | _ABOUT_MEMBERS


class Link(Protocol):
    """A session's socket."""

    transport_kind: Transport
    open: bool
    """False once the connection is closed or closing."""
    blocked: bool
    """The socket takes no more bytes; the hub is told when it does again."""
    fd: int
    """Descriptor to write to while the link is not blocked; -1 where that is not possible (TLS)."""

    def send(self, data: bytes) -> None:
        """Write frames; takes all of them, but the link may be blocked afterwards."""

    def rest(self, data: bytes, written: int) -> None:
        """Take over a frame of which so much was written to `fd`; blocks the link."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; the hub is told nothing more of it."""


class Session:
    """One session: with a link it is connected, without one it is away."""

    __slots__ = (
        "announce",
        "away_at",
        "classes",
        "coming",
        "cursor",
        "fd",
        "generation",
        "guilds",
        "hops",
        "id",
        "intents",
        "key",
        "large_at",
        "link",
        "replay",
        "shard",
        "shown",
        "skip",
        "status",
        "status_kept",
        "transport",
        "user",
        "version",
    )

    def __init__(
        self, key: str, session_id: str, user: User, intents: int, hops: list[Hop], version: int
    ) -> None:
        """Args: key: names the session in Redis; version: of its moves, 0 if it has none."""
        self.key = key
        self.id = session_id
        self.user = user
        self.intents = intents
        self.shard: tuple[int, int] = (0, 1)
        self.large_at = LARGE_GUILD
        """A guild of more members is sent without them."""
        self.generation = 0
        """Of the tokens of its user that it began with."""
        self.hops = hops
        self.version = version
        self.guilds: set[int] = set()
        self.classes: dict[int, AudienceClass] = {}
        self.coming: frozenset[int] = frozenset()
        """Guilds that the client may be shown as soon as their event comes by."""
        self.shown: dict[int, int] = {}
        """Version of each guild that a GUILD_CREATE has shown here: changes up to it are not told again."""
        self.link: Link | None = None
        self.fd = -1
        """Descriptor under which it stands in its rooms; -1 unless it is live and its link has one."""
        self.transport = Transport.JSON
        self.cursor: int | None = None
        """Index of the next event it wants; None while it is live."""
        self.skip: Fence | None = None
        """What is not above this fence was sent from another inbox."""
        self.replay: list[bytes] = []
        """Frames from other inboxes that go out before anything of the ring."""
        self.announce: tuple[int, int] | None = None
        """(index, s): say RESUMED with this `s` when the cursor is here."""
        self.away_at = 0.0
        self.status: Status | None = None
        """What it says of its user's status; None: it said so elsewhere, and that is not known here yet."""
        self.status_kept = True
        """Redis has its status, for the node that goes on with it; or it is an ordinary one."""

    def leave(self) -> None:
        """Note that the session has no connection any more; drop what was under way on the last one."""
        self.link = None
        self.cursor = None
        self.replay.clear()
        self.announce = None
        self.away_at = time.monotonic()

    def covers(self, guild: int) -> bool:
        """Whether the session's shard has the guild; direct conversations (0) belong to the first shard."""
        return (guild >> 22) % self.shard[1] == self.shard[0]


def is_membership(record: Record, user: int) -> bool:
    """Whether a record tells that a user joined or left a guild."""
    return record.type in _MEMBERSHIP and user in record.users


def is_about_member(record: Record, user: int) -> bool:
    """Whether a record changes what a user is in a guild, or in a thread of it."""
    return record.type in _ABOUT_MEMBERS and user in record.users


def is_personal(record: Record) -> bool:
    """Whether a record is about users that get it whatever their intents."""
    return record.type in _PERSONAL and bool(record.users)


def is_message(record: Record) -> bool:
    """Whether a record is for those in a guild alone, and changes nothing about it."""
    return not (record.version or record.fence or record.users or record.audience == USERS)
