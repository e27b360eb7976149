"""How sessions begin on a node: IDENTIFY, and RESUME from the ring, the own inbox, or other nodes' inboxes."""

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from fanfare.constants import EARLY_NUMBERS
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import FENCE, INBOXES, Record
from gateway.recovery.path import Fence, Hop, Moved, above, path, reaches, segment, split_at, unregistered
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.node import RESUMED, Link, Lost, Node, Session, sees
from tests.model.world import SCOPES, SOURCES, Step, high_of

if TYPE_CHECKING:
    from tests.model.clients import Client
    from tests.model.simulation import Simulation

__all__ = ["Invalid", "Ready", "identify", "resume", "send_fence"]

_FENCE_TRIES: Final = 200


class Invalid(Exception):  # noqa: N818 - not a failure, an outcome
    """INVALID_SESSION: the session cannot be had whole, and the client is told."""


class Ready(NamedTuple):
    """READY: what the client keeps of it, and the tick when it was sent."""

    key: str
    inbox: str
    at: int


def send_fence(sim: "Simulation", inboxes: Iterable[str]) -> Generator[str, None, tuple[str, Fence]]:
    """Put a fence into every partition of the source topics; its name and offsets."""
    name = f"fence{sim.number()}"
    record = Record(type=FENCE, audience=INBOXES, fence=name, inboxes=tuple(sorted(inboxes)))
    f: Fence = {}
    for source in SOURCES:
        yield "fence: send"
        while sim.kafka.down:
            yield "fence: Kafka is away"
        f[source] = sim.kafka.accept(source, record, sim.t).offset
    return name, f


def identify(node: Node, client: "Client", link: Link) -> Step:
    """Register, wait, take the snapshot, READY."""
    inbox = node.inbox
    key = f"{node.name}-{node.sim.number()}"
    session = Session(key, client.user, [Hop(inbox)])
    try:
        yield from node.enter(session)
        yield "start: registered"
        _still_here(node, link, inbox)
        link.frames.append((node.s, Ready(key, inbox, node.sim.t)))  # type: ignore[arg-type]
        node.attach(session, link, None)
    except Lost:
        link.open = False
        node.leave(session)
    finally:
        node.joining.pop(key, None)


def resume(node: Node, client: "Client", link: Link, key: str, inbox: str, seq: int) -> Step:
    """Go on with a session after `seq`."""
    session: Session | None = None
    try:
        yield "resume: begin"
        while node.sim.redis.down:
            yield "resume: Redis is away"
        moved, known = _moves(node, link, key, inbox)
        last = moved.hops[-1]
        if _in_ring(node, known, moved, seq):
            assert known is not None
            yield "resume: claim"
            _from_ring(node, known, moved, link, seq)
            return
        session = Session(key, client.user, list(moved.hops), moved.version)
        yield from node.enter(session)
        if last.inbox == node.inbox:
            yield from _from_stream(node, session, link, seq)
        else:
            yield from _adopt(node, session, link, seq)
    except (Lost, Invalid) as why:
        if session is not None:
            node.joining.pop(key, None)
            if key not in node.sessions:
                node.leave(session)
        if isinstance(why, Invalid):
            node.sim.invalidate(link, str(why))
        link.open = False
    finally:
        if session is not None:
            node.joining.pop(key, None)


def _moves(node: Node, link: Link, key: str, inbox: str) -> tuple[Moved, Session | None]:
    """The newest moves of a session, and what memory has of it."""
    moved = node.sim.redis.stored.moved.get(key) or Moved(0, [Hop(inbox)])
    known = node.sessions.get(key)
    if key in node.joining or not node.ready or not link.open:
        raise Lost
    if node.token != node.sim.redis.token and Bug.NO_TOKEN not in node.sim.bugs:
        raise Lost  # what was read of moves may be older than what we have
    if known is not None and known.version > moved.version:
        moved = Moved(known.version, known.hops)
    return moved, known


def _in_ring(node: Node, known: Session | None, moved: Moved, seq: int) -> bool:
    """Whether memory has all that the client has not."""
    last = moved.hops[-1]
    first = last.base if Bug.EARLY_FROM_RING in node.sim.bugs else last.t
    if last.inbox != node.inbox or first > seq or known is None or known.version != moved.version:
        return False
    if seq > node.s:
        raise Invalid("seq too high")
    return node.ring.floor <= seq


def _still_here(node: Node, link: Link, inbox: str) -> None:
    if not link.open or not node.ready or node.inbox != inbox:
        raise Lost


def _from_ring(node: Node, session: Session, moved: Moved, link: Link, seq: int) -> None:
    _still_here(node, link, moved.hops[-1].inbox)
    _claim(node, session, moved)
    if node.ring.floor > seq or node.sessions.get(session.key) is not session:
        raise Lost
    node.sim.count("ring")
    if session.link is not None:
        session.link.open = False
    session.replay.clear()
    session.skip = session.hops[-1].f or None
    node.attach(session, link, node.ring.after(seq))


def _from_stream(node: Node, session: Session, link: Link, seq: int) -> Step:
    """The last hop is here: from inboxes up to what the ring has. No fence, for nothing moves."""
    inbox, last = node.inbox, session.hops[-1]
    hops = path(session.hops, seq)
    if hops is None:
        raise Invalid("before its path")
    yield "stream: read"
    first = last.after(seq)
    own = [entry for entry in _state(node, inbox).entries if entry.s >= first]
    upto = min(node.s, max((entry.s for entry in own), default=first))
    owed = _walk(node, session, hops, seq, Hop("", upto), own)
    yield "stream: send"
    _still_here(node, link, inbox)
    if upto < max(node.ring.floor, last.t):
        raise Lost
    _claim(node, session, Moved(session.version, session.hops))
    node.sim.count(f"stream over {len(hops)}")
    _send(node, session, link, owed, last.f, node.ring.after(upto), announce=upto)


def _adopt(node: Node, session: Session, link: Link, seq: int) -> Step:
    """RESUME on another node: fence, read up to it, raise, write the hop, send."""
    sim, own, redis = node.sim, node.inbox, node.sim.redis
    hops = path(session.hops, seq)
    if hops is None:
        raise Invalid("before its path")
    other, first = hops[-1].inbox, hops[-1].after(seq)
    yield "adopt: begin"
    if seq > _state(node, other).s:
        raise Invalid("seq too high")
    since = _state(node, own).s
    tail = _Tail(node, other, first)
    if Bug.NO_FENCE in sim.bugs:
        tail.read()
        f = {source: tail.high.get(source, -1) for source in SOURCES}
    else:
        _, f = yield from send_fence(sim, {own, other})
        yield from tail.until(f, own)
    yield "adopt: tell"
    marker = _tell(node, session, other)
    yield "adopt: raise"
    t = _raise(node, marker)
    yield "adopt: read to the marker"
    if redis.down:
        raise Lost
    tail.read()
    if Bug.CUT_AT_FENCE not in sim.bugs:
        f = split_at(f, tail.entries, SCOPES[session.user], marker)
    hop = Hop(own, t, f, -1 if Bug.EARLY_LOST in sim.bugs else since)
    yield "adopt: walk"
    owed = _walk(node, session, hops, seq, hop, [entry for entry in tail.entries if entry.s <= marker])
    yield "adopt: walked"
    if redis.down:
        raise Lost
    if redis.token != node.token and Bug.NO_TOKEN not in sim.bugs:
        raise Lost
    while node.s < t and tail.tries:
        tail.tries -= 1
        yield "adopt: read own inbox"
    yield "adopt: write hop"
    _still_here(node, link, own)
    moved = _next(session, hop, bugs=sim.bugs)
    if Bug.LATE_HOP not in sim.bugs:
        _write(node, session, moved)
    session.version, session.hops = moved.version, moved.hops
    # From here on the session's history goes on in this inbox: it stays registered, whatever becomes of its socket.
    if node.ring.floor > since or node.s < t:
        link.open = False
    early = _early(node, hop)
    sim.count(f"adopted over {len(hops)}")
    if early:
        sim.count("early")
    _send(node, session, link, [*owed, *early], f, node.ring.after(t), announce=t)
    yield "adopt: sent"
    if Bug.LATE_HOP in sim.bugs:
        while session.replay:
            yield "adopt: sent"
        _write(node, session, moved, expected=moved.version - 1)


def _claim(node: Node, session: Session, moved: Moved) -> None:
    """Every resume writes a version: one that was begun elsewhere and is late cannot write its hop any more."""
    if Bug.UNCLAIMED in node.sim.bugs:
        return
    session.version = moved.version
    _write(node, session, Moved(moved.version + 1, moved.hops))
    session.version += 1


def _early(node: Node, hop: Hop) -> list[InboxEntry]:
    """As in gateway.sessions.start: what the node had above the fence before it was raised."""
    if hop.since < 0:
        return []
    dispatches = [node.ring[at].dispatch for at in range(node.ring.after(hop.since), node.ring.after(hop.t))]
    early = [one for one in dispatches if above(one.record.position, hop.f)]
    if Bug.EARLY_NUMBERS in node.sim.bugs:
        return [InboxEntry(one.s, one.record) for one in early]
    return [InboxEntry(s, one.record) for s, one in enumerate(early, start=hop.base + 1)]


def _next(session: Session, hop: Hop, *, bugs: frozenset[Bug]) -> Moved:
    """The session's moves with the hop to this node."""
    if Bug.ONE_HOP in bugs:
        return Moved(session.version + 1, [Hop(hop.inbox, 0, hop.f)])
    return Moved(session.version + 1, [*session.hops, hop])


def _write(node: Node, session: Session, moved: Moved, expected: int | None = None) -> None:
    """Write a hop by compare-and-set."""
    stored, redis = node.sim.redis.stored.moved, node.sim.redis
    if redis.down:
        raise Lost
    there = stored.get(session.key)
    wanted = session.version if expected is None else expected
    if (there.version if there is not None else 0) != wanted and Bug.NO_CAS not in node.sim.bugs:
        raise Lost
    stored[session.key] = moved


def _send(
    node: Node,
    session: Session,
    link: Link,
    owed: Iterable[InboxEntry],
    f: Fence,
    cursor: int,
    announce: int | None = None,
) -> None:
    for entry in owed:
        assert entry.record is not None
        if sees(session.user, entry.record):
            session.replay.append((entry.s, entry.record))
    if announce is not None:
        session.replay.append((announce, RESUMED))
    session.skip = f or None
    node.joining.pop(session.key, None)
    node.attach(session, link, cursor)


def _tell(node: Node, session: Session, other: str) -> int:
    """Tell the node of the other inbox that its session moves; the marker's `s`."""
    theirs = _state(node, other)
    if Bug.NOT_TOLD in node.sim.bugs:
        return theirs.s
    return script.mark(theirs, f"MOVED {session.key}:{session.version}", node.sim.redis.now_ms)


def _raise(node: Node, marker: int) -> int:
    """Raise the own inbox above the other."""
    redis = node.sim.redis
    mine = redis.stored.inboxes.get(node.inbox)
    if redis.down or mine is None:
        raise Lost
    if Bug.NO_RAISE in node.sim.bugs:
        return mine.s
    return script.raise_above(mine, marker, EARLY_NUMBERS, redis.now_ms)


def _walk(
    node: Node,
    session: Session,
    hops: list[Hop],
    seq: int,
    end: Hop,
    last: list[InboxEntry],
) -> list[InboxEntry]:
    """What is owed from the inboxes on the path, checked to be whole. `last`: entries of the last one."""
    owed: list[InboxEntry] = []
    for hop, following in zip(hops, [*hops[1:], end], strict=True):
        after, upto = max(seq, hop.base), following.base
        first = hop.after(after)
        state = _state(node, hop.inbox)
        entries = last if following is end else [one for one in state.entries if first <= one.s <= upto]
        _check_whole(node, session, entries, state, first)
        owed += segment(entries, hop, after=after, upto=upto, next_f=following.f or None, cut=state.cut)
    return owed


def _state(node: Node, inbox: str) -> script.Inbox:
    """An inbox that is whole and may be read."""
    redis = node.sim.redis
    if redis.down:
        raise Lost
    state = redis.stored.inboxes.get(inbox)
    if state is None:
        raise Invalid("inbox gone")
    if (state.token != redis.token or not state.open) and Bug.NO_TOKEN not in node.sim.bugs:
        raise Invalid("inbox not whole")
    return state


def _check_whole(
    node: Node, session: Session, entries: list[InboxEntry], state: script.Inbox, after: int
) -> None:
    scopes = SCOPES[session.user]
    if not reaches(entries, state.newest, scopes, after) and Bug.NO_REACH not in node.sim.bugs:
        raise Invalid("out of reach")
    if unregistered(entries, scopes, after):
        raise Invalid("unregistered")


class _Tail:
    """What was read of another inbox so far."""

    def __init__(self, node: Node, inbox: str, first: int) -> None:
        self.node = node
        self.inbox = inbox
        self.entries: list[InboxEntry] = []
        self.last = first - 1
        self.tries = _FENCE_TRIES

    @property
    def high(self) -> Fence:
        return high_of(entry.record for entry in self.entries if entry.record is not None)

    def read(self) -> None:
        """Read what is new."""
        state = _state(self.node, self.inbox)
        trimmed = self.entries and state.entries and state.entries[0].s > self.last
        if trimmed and Bug.NO_REACH not in self.node.sim.bugs:
            raise Invalid("trimmed while it was read")
        self.entries += [entry for entry in state.entries if entry.s > self.last]
        self.last = max(self.last, self.entries[-1].s if self.entries else 0)

    def until(self, f: Fence, own: str) -> Step:
        """Read until the fence has shown up in every partition."""
        while self.tries:
            self.tries -= 1
            yield "adopt: read"
            if self.node.inbox != own or not self.node.ready:
                raise Lost
            if self.node.sim.redis.down:
                continue
            self.read()
            high = self.high
            if all(high.get(name, -1) >= offset for name, offset in f.items()):
                return
        raise Lost
