"""The steps of a RESUME (docs/design.md, section 5): from the ring, from the own inbox, or from another node's. Pure.

`gateway.sessions.start` does what is wished for here, and so does tests/model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fanfare.constants import EARLY_NUMBERS, FENCE_TIMEOUT_S
from fanfare.presence.inboxes import InboxEntry, InboxGoneError, InboxState
from fanfare.record import Record
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Ring
from gateway.delivery.session import Link, Session, is_membership
from gateway.protocol.codes import CloseCode
from gateway.recovery.crossing import LastS
from gateway.recovery.path import (
    Fence,
    Hop,
    Moved,
    above,
    path,
    reaches,
    segment,
    split_at,
    unregistered,
)
from gateway.recovery.path_store import MovesGoneError
from gateway.recovery.registered import Missing
from gateway.recovery.tail import ReadBetween
from gateway.recovery.wishes import Now, Steps, Wish, Within
from gateway.sessions.outcomes import EndError, InvalidSessionError, come_again
from gateway.sessions.session_wishes import (
    CheckWhole,
    Close,
    Enter,
    Entered,
    Forget,
    Leave,
    UntilWhole,
)

__all__ = [
    "Attach",
    "Cross",
    "Crossed",
    "Depart",
    "Lease",
    "Node",
    "NotedGuilds",
    "ReadMarked",
    "ReadMoves",
    "ReadUntil",
    "Registrations",
    "Replay",
    "Resume",
    "Resumed",
    "Rewind",
    "State",
    "Taken",
    "Turn",
    "WriteMoves",
    "check_still_here",
    "membership_changed",
]

WAIT_S = 10.0
"""How long a start waits for the database or Redis before the client is told to reconnect."""


class Node(Protocol):
    """What starts look at in the node's memory."""

    resuming: set[str]
    """Keys of the sessions that are being resumed."""

    @property
    def progress(self) -> Progress:
        """How far the node has taken its inbox."""

    @property
    def ring(self) -> Ring:
        """The newest events."""

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The node's sessions by key."""

    @property
    def token(self) -> str:
        """The loss token that the node's inbox was made under."""

    @property
    def ready(self) -> bool:
        """Whether the inbox is whole: not being repaired."""

    def stands(self, session: Session) -> bool:
        """Whether the token that the session began with was not revoked."""


# What takes time


@dataclass(slots=True)
class ReadMoves(Wish[Moved | None]):
    """A session's moves, None if there are none; MovesGoneError is thrown if they are gone."""

    key: str
    known: int
    """The version that this node knows, 0 for none."""


@dataclass(slots=True)
class Turn(Wish[None]):
    """Wait for a place among those that start; it is kept to the end. What is read of the inbox is shared till then."""

    inbox: str
    first: int
    """The lowest `s` that is of interest."""


@dataclass(slots=True)
class State(Wish[InboxState]):
    """What is known of an inbox; InboxGoneError is thrown if there is no such inbox."""

    inbox: str


@dataclass(slots=True)
class Lease(Wish[str]):
    """The inbox that a node has now, as it says itself; '' if it is dead."""

    node: str


class Crossed(Protocol):
    """A fence that stands in the own inbox and in another one."""

    since: int
    """The own inbox's last `s` before the fence was sent."""
    f: Fence


@dataclass(slots=True)
class Cross(Wish[Crossed]):
    """Cross (`gateway.recovery.crossing.cross`) from an inbox to the own one, together with others that come now."""

    own: str
    other: str
    session: Session


@dataclass(slots=True)
class Depart(Wish[tuple[int, int]]):
    """Depart (`gateway.recovery.crossing.depart`) from an inbox, once for all that crossed together."""

    own: str
    other: str
    session: Session
    crossed: Crossed


@dataclass(slots=True)
class ReadUntil(Wish[None]):
    """Read another node's inbox from `s` = first until the fence `f` has shown up in every partition."""

    inbox: str
    first: int
    f: Fence


@dataclass(slots=True)
class ReadMarked(Wish[list[InboxEntry]]):
    """Read another node's inbox on to its marker; answers the entries from `s` = first to there.

    Fences may be left out, but for one that is the first of all.
    """

    inbox: str
    first: int
    marker: int


@dataclass(slots=True)
class Registrations(Wish[Missing]):
    """Which registrations of a session for another node's inbox are not there."""

    inbox: str
    session: Session


@dataclass(slots=True)
class NotedGuilds(Wish[list[int] | None]):
    """The guilds that a session's client has been shown where it was in an inbox; None if they are not known."""

    inbox: str
    session: Session


@dataclass(slots=True)
class Taken(Wish[None]):
    """Wait until the own inbox has been taken up to `s`."""

    s: int


@dataclass(slots=True)
class WriteMoves(Wish[bool]):
    """Write a session's moves over a version (0: none) by compare-and-set; False if somebody else was faster."""

    key: str
    expected: int
    moved: Moved


# What is done at once


@dataclass(slots=True)
class Keep(Now[None]):
    """Hold a session in memory, in the place of what was known of it."""

    session: Session


@dataclass(slots=True)
class Rewind(Now[None]):
    """Put a session into the guilds that its client was in at an index of the ring."""

    session: Session
    cursor: int


@dataclass(slots=True)
class Replay(Now[bool]):
    """Give a session what it missed, to be sent before anything of the ring.

    Answers False if it is not known what of it the session may see.
    """

    session: Session
    link: Link
    owed: Sequence[InboxEntry]
    """From inboxes, under the numbers that its client sees."""
    early: Sequence[tuple[int, int]]
    """From the ring, after that: the number that its client sees, and the index."""
    since: int
    """Index in the ring where what follows `owed` begins."""
    f: Fence
    """But for what is not above this."""
    unread: Sequence[Record]
    """What follows `owed` and is not in the ring yet."""


@dataclass(slots=True)
class Attach(Now[None]):
    """Connect a session, as a cursor at an index of the ring."""

    session: Session
    link: Link
    cursor: int


class Resumed(NamedTuple):
    """What has become of it."""

    way: str
    """`ring`, `stream` or `adopted`."""
    session: Session


class Resume:
    """One RESUME."""

    def __init__(
        self,
        node: Node,
        link: Link,
        *,
        key: str,
        inbox: str,
        seq: int,
        make: Callable[[list[Hop], int], Session],
    ) -> None:
        """Prepare.

        Args:
            node: where the client comes.
            link: its socket.
            key: of the session.
            inbox: where the session began.
            seq: `s` of the last that its client has.
            make: makes the session, with its hops and the version of its moves.

        """
        self._node = node
        self._link = link
        self._key = key
        self._inbox = inbox
        self._seq = seq
        self._make = make
        self._own = ""

    def steps(self) -> Steps[Resumed]:
        """The steps; they raise InvalidSessionError and EndError, and what was thrown into them."""
        try:
            yield from UntilWhole()
        except TimeoutError:
            raise come_again("Redis is away") from None
        if self._key in self._node.resuming:
            raise come_again("the session is being resumed already")
        self._node.resuming.add(self._key)
        try:
            return (yield from self._resume())
        except InboxGoneError:
            raise InvalidSessionError("inbox gone") from None
        finally:
            self._node.resuming.discard(self._key)

    # Rules that the model puts to wrong versions of themselves

    def ring_begins(self, hop: Hop) -> int:
        """From which `s` on the ring has what a client of the present hop wants."""
        return hop.t

    def leaves_at(self, f: Fence, entries: Sequence[InboxEntry], session: Session, marker: int) -> Fence:
        """Where the session's history leaves the other inbox, per partition."""
        return split_at(f, entries, _scopes(session), marker)

    def early(self, hop: Hop) -> list[tuple[int, int]]:
        """What the node got above the hop's `f` before it was raised: the number for clients, index in the ring."""
        ring = self._node.ring
        indices = range(ring.after(hop.since), ring.after(hop.t))
        found = [at for at in indices if above(ring[at].dispatch.record.position, hop.f)]
        return list(enumerate(found, start=hop.base + 1))

    # The ways

    def _resume(self) -> Steps[Resumed]:
        node, seq = self._node, self._seq
        self._own = node.progress.inbox
        moved = yield from self._moves()
        hops = path(moved.hops, seq)
        if hops is None:
            raise InvalidSessionError("before its path")
        present = hops[-1]
        home = present.inbox == self._own
        if home and seq > node.progress.s:
            raise InvalidSessionError("seq too high")
        known = node.sessions.get(self._key)
        remembered = known is not None and known.version == moved.version and home
        if known is not None and remembered and max(self.ring_begins(present), node.ring.floor) <= seq:
            yield from self._from_ring(known)
            return Resumed("ring", known)
        session = self._make(list(moved.hops), moved.version)
        yield from Turn(present.inbox, present.after(seq))
        self._check_here(session)
        try:
            entered = yield from Within(WAIT_S, iter(Enter(session)))
            _check_caught_up(entered)
            way = self._from_stream if home else self._adopt
            yield from way(session, hops, entered)
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # nobody answers any more
                yield from Leave(session)
            raise
        return Resumed("stream" if home else "adopted", session)

    def _moves(self) -> Steps[Moved]:
        """Where the session has moved to, as Redis or this node knows it."""
        known = self._node.sessions.get(self._key)
        try:
            found = yield from ReadMoves(self._key, known.version if known is not None else 0)
        except MovesGoneError:
            # Whoever has the session writes them again within seconds; it may also be nobody.
            raise InvalidSessionError("its moves are gone") from None
        # A Redis that was emptied or rolled back looks as if the session had never moved.
        yield from self._check_whole()
        moved = found or Moved(0, [Hop(self._inbox)])
        known = self._node.sessions.get(self._key)
        if known is not None and known.version > moved.version:
            moved = Moved(known.version, known.hops)
        return moved

    def _from_ring(self, session: Session) -> Steps[None]:
        """Resume a session that memory has, from the ring."""
        node, ring = self._node, self._node.ring
        yield from self._take_over(session, session.hops)
        self._check_here(session)
        if node.sessions.get(self._key) is not session or ring.floor > self._seq:
            raise come_again("too slow")
        if session.link is not None:
            yield from Close(session, "resumed on another connection")
        session.skip = session.hops[-1].f or None
        session.announce = (ring.end, node.progress.s)
        cursor = ring.after(self._seq)
        yield from Rewind(session, cursor)
        yield from Attach(session, self._link, cursor)

    def _from_stream(self, session: Session, hops: list[Hop], entered: Entered) -> Steps[None]:
        """Resume in the own inbox from before the ring, or a session that memory does not have."""
        node, ring, last = self._node, self._node.ring, hops[-1]
        first = last.after(self._seq)
        entries = yield from ReadBetween(self._own, first, None)
        upto = min(node.progress.s, max((entry.s for entry in entries), default=first))
        owed = yield from self._walk(session, hops, Hop("", upto), entries)
        _check_known(session, owed, entered)
        self._check_here(session)
        yield from self._take_over(session, hops)
        self._check_here(session)
        if upto < max(ring.floor, last.t):
            raise come_again("too slow")
        yield from Keep(session)
        cursor, read = ring.after(upto), node.progress.s
        unread = [one.record for one in entries if one.s > read and one.record is not None]
        yield from self._replay(Replay(session, self._link, owed, (), cursor, {}, unread))
        session.skip = last.f or None
        session.announce = (ring.end, read)
        yield from Attach(session, self._link, cursor)

    def _adopt(self, session: Session, hops: list[Hop], entered: Entered) -> Steps[None]:
        """Resume a session whose present inbox is another node's."""
        ring, other, seen = self._node.ring, hops[-1].inbox, self._node.ring.end
        if self._seq > (yield from LastS(other)):
            # It would raise our own inbox as high as the client likes.
            raise InvalidSessionError("seq too high")
        hop, owed = yield from Within(FENCE_TIMEOUT_S, self._cross(session, hops, entered))
        self._check_here(session)
        if membership_changed(ring, session.user.id, seen):
            raise come_again("a guild was joined or left meanwhile")
        # Before any frame goes out: else its client comes back with numbers that are on nobody's path.
        yield from self._take_over(session, [*hops, hop])
        # From here on the session is this node's, whether or not its client is still there to hear of it.
        yield from Keep(session)
        self._check_here(session)
        if ring.floor > hop.since:
            raise come_again("too slow")
        early = self.early(hop)
        if len(early) >= EARLY_NUMBERS:
            raise come_again("too much came meanwhile")
        since, cursor = ring.after(hop.since), ring.after(hop.t)
        yield from self._replay(Replay(session, self._link, owed, early, since, hop.f, ()))
        session.skip = hop.f
        session.announce = (cursor, hop.t)
        yield from Attach(session, self._link, cursor)

    def _cross(
        self, session: Session, hops: list[Hop], entered: Entered
    ) -> Steps[tuple[Hop, list[InboxEntry]]]:
        """Cross from another node's inbox into the own one: the hop, and what the session is owed from before it."""
        own, other, first = self._own, hops[-1].inbox, hops[-1].after(self._seq)
        crossed = yield from Cross(own, other, session)
        yield from ReadUntil(other, first, crossed.f)
        # After the fence: what comes later than that is in the own inbox.
        yield from self._check_registered(session, other)
        marker, t = yield from Depart(own, other, session, crossed)
        entries = yield from ReadMarked(other, first, marker)
        hop = Hop(own, t, self.leaves_at(crossed.f, entries, session, marker), crossed.since)
        owed = yield from self._walk(session, hops, hop, entries)
        _check_known(session, owed, entered)
        yield from Taken(t)
        return hop, owed

    # Their parts

    def _replay(self, replay: Replay) -> Steps[None]:
        """What was missed; a session that cannot be given all of it is forgotten."""
        if not (yield from replay):
            yield from Forget(replay.session)
            raise InvalidSessionError("rights not known")

    def _take_over(self, session: Session, hops: list[Hop]) -> Steps[None]:
        """Write where the session is from now on, at home too.

        So an attempt on another node that its client has given up cannot write its move any more.
        """
        moved = Moved(session.version + 1, hops)
        if not (yield from WriteMoves(self._key, session.version, moved)):
            raise come_again("another node was faster")
        session.version, session.hops = moved.version, moved.hops

    def _walk(
        self, session: Session, hops: list[Hop], end: Hop, last: list[InboxEntry]
    ) -> Steps[list[InboxEntry]]:
        """What the session is owed from the inboxes on its path, checked to be whole.

        Args:
            session: whose.
            hops: the path from where the client is.
            end: up to its base and, if it has one, its fence.
            last: the entries of the last hop's inbox.

        """
        owed: list[InboxEntry] = []
        tokens = set()
        for hop, following in zip(hops, [*hops[1:], end], strict=True):
            after, upto = max(self._seq, hop.base), following.base
            first = hop.after(after)
            state = yield from State(hop.inbox)
            tokens.add(state.token)
            if not state.open:
                yield from _check_alive(hop.inbox)
            entries = last if following is end else (yield from ReadBetween(hop.inbox, first, upto))
            _check_reach(session, entries, state.newest, first)
            owed += segment(entries, hop, after=after, upto=upto, next_f=following.f or None, cut=state.cut)
        # After all was read: whatever was lost before shows now.
        yield from self._check_whole()
        if tokens != {self._node.token}:
            raise InvalidSessionError("inbox not whole")
        return owed

    def _check_whole(self) -> Steps[None]:
        """Raises EndError if Redis may have lost writes, those to our own inbox among them."""
        try:
            yield from CheckWhole()
        except InboxGoneError:
            raise come_again("the inbox was lost") from None

    def _check_registered(self, session: Session, other: str) -> Steps[None]:
        """Raises InvalidSessionError if what was for a session may have passed by the inbox that it comes from."""
        gone = yield from Registrations(other, session)
        if gone.session:
            raise InvalidSessionError("its registration is gone")
        if gone.guilds:
            # A guild that it joined while nobody was there to register it is no loss.
            noted = yield from NotedGuilds(other, session)
            if noted is None or not gone.guilds.isdisjoint(noted):
                raise InvalidSessionError("its guild's registration is gone")

    def _check_here(self, session: Session) -> None:
        check_still_here(self._node, session, self._link, self._own)


def check_still_here(node: Node, session: Session, link: Link, inbox: str) -> None:
    """Raises EndError if the connection or the inbox is gone, or the token was revoked, since a start began."""
    if not node.stands(session):
        raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token was revoked")
    if not (link.open and node.progress.inbox == inbox and node.ready):
        raise come_again("the node's inbox was lost")


def membership_changed(ring: Ring, user: int, seen: int) -> bool:
    """Whether the user joined or left a guild since the ring ended at `seen`."""
    if seen < ring.start:
        return True
    return any(is_membership(ring[at].dispatch.record, user) for at in range(seen, ring.end))


def _check_alive(inbox: str) -> Steps[None]:
    """Raises what an inbox that is not open means to those who come from it."""
    present = yield from Lease(inbox.rpartition(".")[0])
    if present == inbox:
        raise come_again("the inbox is being repaired")
    # Its node died at it, or began again with the next generation.
    raise InvalidSessionError("inbox never repaired")


def _check_caught_up(entered: Entered) -> None:
    """Raises EndError if it cannot be told yet how a guild was where the session's client is."""
    if entered.ahead:
        raise come_again("a guild is changing")


def _check_known(session: Session, owed: list[InboxEntry], entered: Entered) -> None:
    """Raises EndError if the database has to be asked for a guild that was joined on the way, and is away."""
    user = session.user.id
    if not entered.asked and any(is_membership(one.record, user) for one in owed if one.record is not None):
        raise come_again("the database is away")


def _check_reach(session: Session, entries: list[InboxEntry], newest: Mapping[str, int], after: int) -> None:
    """Raises InvalidSessionError if entries after `s` that are for the session may be missing."""
    scopes = _scopes(session)
    if not reaches(entries, newest, scopes, after):
        raise InvalidSessionError("out of reach")
    if unregistered(entries, scopes, after):
        raise InvalidSessionError("unregistered")


def _scopes(session: Session) -> list[str]:
    return [f"u:{session.user.id}", *(f"g:{guild}" for guild in session.guilds)]
