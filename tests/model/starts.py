"""How sessions begin and go on: what the product's steps wish for, done over the model's stores."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fanfare.model import User
from fanfare.presence.inboxes import InboxGoneError, InboxState
from fanfare.record import FENCE, INBOXES, Record
from gateway.delivery.session import Session
from gateway.recovery import crossing, tail
from gateway.recovery.path import Fence, Hop, Moved
from gateway.recovery.registered import Missing
from gateway.recovery.wishes import Within
from gateway.sessions import identify_steps
from gateway.sessions import resume_steps as steps
from gateway.sessions import session_wishes as wishes
from gateway.sessions.outcomes import EndError, InvalidSessionError
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.drive import drive
from tests.model.node import Link, Node, sees
from tests.model.world import MEMBERS, SOURCES, Step

if TYPE_CHECKING:
    from tests.model.clients import Client
    from tests.model.simulation import Simulation

__all__ = ["Ready", "identify", "resume", "send_fence"]

_TRIES: Final = 200
"""So often somebody looks before the time is over."""


class AwayError(Exception):
    """Redis is away."""


class Ready(NamedTuple):
    """READY: what the client keeps of it, and the tick when it was sent."""

    key: str
    inbox: str
    at: int


def identify(node: Node, client: "Client", link: Link) -> Step:
    """Begin a session."""
    key = f"{node.name}-{node.sim.number()}"
    start = _Start(node, link)
    try:
        yield from drive(
            identify_steps.identify(node, link, lambda inbox: _session(client, key, [Hop(inbox)], 0)),
            start.do,
            start.ask,
        )
    except (EndError, AwayError):
        link.open = False


def resume(node: Node, client: "Client", link: Link, key: str, inbox: str, seq: int) -> Step:
    """Go on with a session after `seq`."""
    start = _Start(node, link)
    plan = _Resume(
        node,
        link,
        key=key,
        inbox=inbox,
        seq=seq,
        make=lambda hops, version: _session(client, key, hops, version),
    )
    try:
        way, session = yield from drive(plan.steps(), start.do, start.ask)
    except InvalidSessionError as why:
        node.sim.invalidate(link, str(why))
        link.open = False
    except (EndError, AwayError, TimeoutError):
        link.open = False
    else:
        node.sim.count(way if way == "ring" else f"{way} over {start.walked}")
        if start.early:
            node.sim.count("early")
        if way == "adopted":
            yield "adopt: sent"
            yield from start.write_late(session)


def _session(client: "Client", key: str, hops: list[Hop], version: int) -> Session:
    return Session(key, key, User(id=client.user, username=""), 0, hops, version)


class _Resume(steps.Resume):
    """The product's, with wrong rules where they are planted."""

    def ring_begins(self, hop: Hop) -> int:
        if Bug.EARLY_FROM_RING in self._node.sim.bugs:
            return hop.base
        return super().ring_begins(hop)

    def leaves_at(self, f: Fence, entries: Any, session: Session, marker: int) -> Fence:
        if Bug.CUT_AT_FENCE in self._node.sim.bugs:
            return f
        return super().leaves_at(f, entries, session, marker)

    def early(self, hop: Hop) -> list[tuple[int, int]]:
        found = super().early(hop)
        if Bug.EARLY_LOST in self._node.sim.bugs:
            return []
        if Bug.EARLY_NUMBERS in self._node.sim.bugs:
            return [(self._node.ring[at].dispatch.s, at) for _, at in found]
        return found


class _Start:
    """Fulfils the wishes of one start. Before whatever takes time it yields what is about to be done."""

    def __init__(self, node: Node, link: Link) -> None:
        self.node = node
        self.link = link
        self.sim = node.sim
        self.redis = node.sim.redis
        self.adopting = False
        self.tries = _TRIES
        self.walked = 0
        """Inboxes on its path."""
        self.early = False
        """Whether there was an early part."""
        self.seen: tail.Seen | None = None
        self.late: tuple[int, Moved] | None = None
        """A planted bug: moves that are written after the frames."""

    # At once

    def do(self, wish: Any) -> Any:
        node = self.node
        match wish:
            case wishes.Leave(session):
                node.left(session)
            case wishes.Close(session, _):
                node.close(session)
            case wishes.Forget(session):
                node.forget(session)
            case steps.Keep(session):
                node.keep(session)
            case steps.Rewind():
                pass
            case steps.Replay(session, _, owed, early):
                shown = [(entry.s, entry.record) for entry in owed]
                shown += [(s, node.ring[at].dispatch.record) for s, at in early]
                session.replay += [(s, record) for s, record in shown if sees(session.user.id, record)]
                self.early = bool(early)
                return True
            case steps.Attach(session, link, cursor):
                if Bug.NO_FENCE in self.sim.bugs and session.skip:
                    # There is nothing that it could wait for.
                    high = node.progress.high
                    session.skip = {name: min(at, high.get(name, -1)) for name, at in session.skip.items()}
                node.attach(session, link, cursor)
            case identify_steps.Begin(session, link):
                link.frames.append((node.s, Ready(session.key, node.inbox, self.sim.t)))
                node.attach(session, link, None)
            case _:
                raise NotImplementedError(wish)
        return None

    # What takes time

    def ask(self, wish: Any) -> Generator[str, None, Any]:
        node, redis = self.node, self.redis
        match wish:
            case Within(_, limited):
                self.tries = _TRIES
                return (yield from drive(limited, self.do, self.ask))
            case wishes.UntilWhole():
                yield from self._until("start: wait", lambda: node.ready)
            case wishes.Enter(session):
                session.guilds = set(MEMBERS[session.user.id])
                yield from self._until("start: register", node.enter(session))
                yield "start: registered"
                return wishes.Entered(asked=True, ahead=False)
            case wishes.CheckWhole():
                yield "adopt: walked" if self.adopting else "resume: check"
                self._reach()
                if node.token != redis.token and Bug.NO_TOKEN not in self.sim.bugs:
                    raise InboxGoneError(node.inbox)
            case steps.ReadMoves(key, _):
                yield "resume: begin"
                self._reach()
                return redis.stored.moved.get(key)
            case steps.Turn(inbox, first):
                self.seen = tail.Seen(inbox, first)
            case tail.ReadBetween(inbox, first, last):
                yield "stream: read"
                return [one for one in self._inbox(inbox).entries if first <= one.s <= (last or one.s)]
            case steps.State(inbox):
                yield "adopt: walk" if self.adopting else "stream: walk"
                self.walked += 1
                return self._state(inbox)
            case steps.Lease(name):
                yield "resume: lease"
                self._reach()
                return redis.stored.leases.get(name, ("", 0))[0]
            case steps.Taken(s):
                yield from self._until("adopt: read own inbox", lambda: node.s >= s)
            case steps.WriteMoves(key, expected, moved):
                yield "adopt: write hop" if self.adopting else "resume: claim"
                self._reach()
                return self._write(key, expected, moved)
            case _:
                return (yield from self._cross(wish))
        return None

    def _cross(self, wish: Any) -> Generator[str, None, Any]:
        bugs, stored = self.sim.bugs, self.redis.stored
        match wish:
            case crossing.LastS(inbox):
                yield "adopt: begin"
                return self._inbox(inbox).s
            case steps.Cross(own, other, _):
                self.adopting = True
                if Bug.NO_FENCE in bugs:
                    yield "adopt: read"
                    page = [one for one in self._inbox(other).entries if one.s > self.seen.last]
                    if page:
                        self.seen.add(page)
                    f = {source: self.seen.high.get(source, -1) for source in SOURCES}
                    return _Crossed(self._inbox(own).s, f)
                return _Crossed(*(yield from drive(crossing.cross(own, [other]), self.do, self.ask)))
            case crossing.SendFence(inboxes):
                return (yield from send_fence(self.sim, inboxes))
            case steps.ReadUntil(_, first, f):
                yield from drive(tail.read_until(self.seen, first, f), self.do, self.ask)
            case tail.ReadOn(inbox, after):
                yield from self._until("adopt: read", self._more(inbox, after))
                return [entry for entry in self._inbox(inbox).entries if entry.s > after]
            case tail.OldestS(inbox):
                entries = self._inbox(inbox).entries
                return 0 if Bug.NO_REACH in bugs else entries[0].s
            case steps.Registrations(inbox, session):
                yield "adopt: registrations"
                self._reach()
                there = stored.presence
                return Missing(
                    f"{session.key}@{inbox}" not in there.get(f"u:{session.user.id}", ()),
                    frozenset(guild for guild in session.guilds if inbox not in there.get(f"g:{guild}", ())),
                )
            case steps.NotedGuilds(_, session):
                return list(MEMBERS[session.user.id])
            case steps.Depart(own, other, session, _):
                moving = {session.key: session.version}
                return (yield from drive(crossing.depart(own, other, moving), self.do, self.ask))
            case crossing.MarkMoved(inbox, sessions):
                yield "adopt: tell"
                theirs = self._inbox(inbox)
                if Bug.NOT_TOLD in bugs:
                    return theirs.s
                marker = " ".join(["MOVED", *(f"{key}:{version}" for key, version in sessions.items())])
                return script.mark(theirs, marker, self.redis.now_ms)
            case crossing.RaiseAbove(inbox, s, gap):
                yield "adopt: raise"
                mine = self._inbox(inbox)
                return mine.s if Bug.NO_RAISE in bugs else script.raise_above(mine, s, gap, self.redis.now_ms)
            case steps.ReadMarked(_, first, marker):
                yield "adopt: read to the marker"
                yield from drive(tail.read_to(self.seen, marker), self.do, self.ask)
                return self.seen.between(first, marker)
            case _:
                raise NotImplementedError(wish)
        return None

    def _until(self, label: str, done: Any) -> Step:
        """Look again and again, for as long as the time limit allows."""
        while not done():
            self.tries -= 1
            if not self.tries:
                raise TimeoutError
            yield label

    def _more(self, inbox: str, after: int) -> Any:
        """Whether an inbox has entries after `s`; looked for at least once."""
        looks = iter([False])
        return lambda: next(looks, True) and any(one.s > after for one in self._inbox(inbox).entries)

    def _reach(self) -> None:
        if self.redis.down:
            raise AwayError

    def _inbox(self, inbox: str) -> script.Inbox:
        self._reach()
        found = self.redis.stored.inboxes.get(inbox)
        if found is None:
            raise InboxGoneError(inbox)
        return found

    def _state(self, inbox: str) -> InboxState:
        found = self._inbox(inbox).copy()
        blind = Bug.NO_TOKEN in self.sim.bugs
        return InboxState(
            s=found.s,
            token=self.node.token if blind else found.token,
            open=found.open or blind,
            newest={} if Bug.NO_REACH in self.sim.bugs else found.newest,
            high=found.high,
            cut=found.cut,
        )

    def _write(self, key: str, expected: int, moved: Moved) -> bool:
        bugs, moves = self.sim.bugs, self.redis.stored.moved
        if self.adopting:
            if Bug.LATE_HOP in bugs:
                self.late = expected, moved
                return True
            if Bug.ONE_HOP in bugs:
                hop = moved.hops[-1]
                moved = Moved(moved.version, [Hop(hop.inbox, 0, hop.f)])
        elif Bug.UNCLAIMED in bugs:
            return True
        return script.move(moves, key, expected, moved, check=Bug.NO_CAS not in bugs)

    def write_late(self, session: Session) -> Step:
        """The planted bug: the hop is written when all frames are out."""
        if self.late is None:
            return
        while session.replay:
            yield "adopt: sent"
        if not self.redis.down:
            script.move(self.redis.stored.moved, session.key, *self.late)


class _Crossed(NamedTuple):
    since: int
    f: Fence


def send_fence(sim: "Simulation", inboxes: Any) -> Generator[str, None, tuple[str, Fence]]:
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
