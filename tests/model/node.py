"""A gateway node: its inbox, its ring and its sessions, and how it registers them."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fanfare.presence.inboxes import InboxEntry, moved_of
from fanfare.record import Record
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Event, Ring
from gateway.delivery.session import Session
from gateway.protocol.frames import Dispatch
from gateway.recovery.path import Fence, above
from gateway.recovery.repair_rules import SafeOffsets
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.world import SCOPES, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.model.simulation import Simulation

__all__ = ["RESUMED", "Link", "Node", "sees"]

# An event's size in the ring, without any payload.
_EVENT_BYTES: Final = 1_200
_RING_EVENTS: Final = 14
_SOCKET_FRAMES: Final = 6
RESUME_WINDOW: Final = 160
INBOX_TTL: Final = 400
LEASE_TTL: Final = 40
RESUMED: Final = "RESUMED"


def sees(user: int, record: Record) -> bool:
    """Whether a record is for a user."""
    return not record.fence and not SCOPES[user].isdisjoint(record.scopes())


@dataclass
class Link:
    """A socket: what the server has written and the client has not read."""

    open: bool = True
    frames: deque[tuple[int, Record | str]] = field(default_factory=deque)
    dead_at: int | None = None
    """The client is gone; the server notices at this tick."""

    @property
    def full(self) -> bool:
        return len(self.frames) >= _SOCKET_FRAMES


@dataclass
class Wanted:
    """A registration or a removal in the presence writer's queue."""

    scope: str
    field: str
    add: bool
    done: bool = False


class _Uncut(Progress):
    """The planted bug: what stood in the lost inbox is taken once more."""

    def replaced(self, s: int, *, cut: Fence, high: "Mapping[str, int]") -> None:
        super().replaced(s, cut={}, high=high)


class Node:
    """One process."""

    def __init__(self, sim: "Simulation", name: str) -> None:
        self.sim = sim
        self.name = name
        self.generation = 0
        self.progress = Progress(f"{name}.0", 0)
        self.token = ""
        self.dead = False
        self.paused = 0
        self.ready = False
        """False until the inbox is whole and read."""
        self.ring = Ring(_RING_EVENTS * _EVENT_BYTES, 0)
        self.sessions: dict[str, Session] = {}
        self.joining: dict[str, Session] = {}
        """Sessions that start: registered, but nothing of them is held yet."""
        self.resuming: set[str] = set()
        self.queue: deque[Wanted] = deque()
        self.steps: list[Step] = []
        self.safe = SafeOffsets({})
        self.good_at = 0
        """Tick of the last good read: what a safe offset by time would go by."""

    @property
    def inbox(self) -> str:
        return self.progress.inbox

    @property
    def s(self) -> int:
        return self.progress.s

    def begin(self) -> None:
        self.steps = [self.run(), self.write_presence()]

    # The inbox

    def run(self) -> Step:
        """Read the inbox, keep it alive, repair it when it is lost."""
        from tests.model.repair import repair, safe_offsets, track

        redis = self.sim.redis
        self.safe = safe_offsets(self)
        yield "node: create"
        while redis.down:
            yield "node: Redis is away"
        self.progress = (_Uncut if Bug.NO_CUT in self.sim.bugs else Progress)(
            *self.create(0, {}, is_open=True)
        )
        self.ring = Ring(_RING_EVENTS * _EVENT_BYTES, self.s)
        self.ready = True
        self.steps.append(track(self))
        while True:
            yield "node: read"
            if redis.down:
                continue
            if self.lost():
                yield from repair(self)
                continue
            inbox = redis.stored.inboxes[self.inbox]
            inbox.expires = self.sim.t + INBOX_TTL
            self.renew_lease(self.inbox)
            self.read(inbox)

    def lost(self) -> bool:
        """Whether the inbox is not whole any more."""
        inbox = self.sim.redis.stored.inboxes.get(self.inbox)
        if inbox is None:
            if Bug.PLAIN_LEASE in self.sim.bugs and self.token == self.sim.redis.token:
                made = script.Inbox(
                    self.s, self.token, open=True, entries=[InboxEntry(self.s, None, "START")]
                )
                self.sim.redis.stored.inboxes[self.inbox] = made
                for scope, name in self.registrations():
                    self.sim.redis.add(scope, name)
                return False
            return True
        if self.token != self.sim.redis.token and Bug.NO_TOKEN not in self.sim.bugs:
            return True
        trimmed = bool(inbox.entries) and inbox.entries[0].s > self.s
        return trimmed and Bug.TRIM_UNSEEN not in self.sim.bugs

    def create(self, floor: int, newest: dict[str, int], *, is_open: bool) -> tuple[str, int]:
        """Make the next inbox; its name and its first `s`."""
        redis = self.sim.redis
        self.generation += 1
        name, self.token = f"{self.name}.{self.generation}", redis.token
        made = script.create(redis.now_ms, floor=floor, token=self.token, is_open=is_open, newest=newest)
        made.expires = self.sim.t + INBOX_TTL
        redis.stored.inboxes[name] = made
        self.renew_lease(name)
        return name, made.s

    def renew_lease(self, inbox: str) -> None:
        """Say that the node lives, and which inbox it has."""
        self.sim.redis.stored.leases[self.name] = inbox, self.sim.t + LEASE_TTL

    def read(self, inbox: script.Inbox) -> None:
        """Take some of what is new."""
        new = [entry for entry in inbox.entries if entry.s > self.s][: self.sim.random.randint(1, 5)]
        for entry in new:
            self.take(entry)
        self.good_at = self.sim.t
        self.settle()

    def take(self, entry: InboxEntry) -> None:
        """Take the next entry, of the inbox or of a replay."""
        delivered = self.progress.take(entry)
        for key, version in moved_of(entry).items():
            session = self.sessions.get(key)
            if session is not None and session.link is not None and session.version <= version:
                self.close(session)
        record = entry.record
        if not delivered or record is None:
            return
        self.ring.append(Event(Dispatch(entry.s, record), None))
        for session in self.sessions.values():
            link = session.link
            if link is None or session.cursor is not None or not sees(session.user.id, record):
                continue
            if link.full:
                session.cursor = self.ring.end - 1
            else:
                link.frames.append((entry.s, record))

    # Sessions

    def settle(self) -> None:
        """Let cursors go on."""
        for session in list(self.sessions.values()):
            if session.link is not None and session.cursor is not None:
                self.pump(session)

    def pump(self, session: Session) -> None:
        """Send a session what it wants of the ring; it is live at the end of it, if it waits for no fence."""
        link = session.link
        while link is not None and link.open and not link.full and session.cursor is not None:
            if session.replay:
                link.frames.append(session.replay.pop(0))
            elif session.announce is not None and session.cursor >= session.announce[0]:
                link.frames.append((session.announce[1], RESUMED))
                session.announce = None
            elif session.cursor < self.ring.start:
                self.close(session)
                return
            elif session.cursor < self.ring.end:
                dispatch = self.ring[session.cursor].dispatch
                session.cursor += 1
                skipped = session.skip is not None and not above(dispatch.record.position, session.skip)
                if not skipped and sees(session.user.id, dispatch.record):
                    link.frames.append((dispatch.s, dispatch.record))
            elif session.skip is None:
                session.cursor = None
            elif self.progress.is_past(session.skip):
                session.skip = None
            else:
                return

    def stands(self, session: Session) -> bool:
        """Tokens are not revoked here."""
        return True

    def keep(self, session: Session) -> None:
        """Hold a session in memory, in the place of what was known of it."""
        old = self.sessions.get(session.key)
        if old is not None and old is not session:
            self.close(old)
        self.joining.pop(session.key, None)
        self.sessions[session.key] = session

    def attach(self, session: Session, link: Link, cursor: int | None) -> None:
        """Connect a session."""
        session.link, session.cursor = link, cursor
        self.keep(session)
        self.settle()

    def close(self, session: Session) -> None:
        """Close a session's socket; it can be resumed."""
        if session.link is not None:
            session.link.open = False
        session.leave()
        session.away_at = self.sim.t

    def sweep(self) -> None:
        """Notice sockets that are gone, and resume windows that are over."""
        for session in list(self.sessions.values()):
            link = session.link
            if link is not None and link.dead_at is not None and link.dead_at <= self.sim.t:
                link.open = False
            if link is not None and not link.open:
                self.close(session)
            if session.link is None and self.sim.t - session.away_at > RESUME_WINDOW and self.ready:
                self.forget(session)

    def forget(self, session: Session) -> None:
        """Drop a session from memory, and its registrations."""
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
        self.leave(session)

    # Presence: one ordered writer that knows the wanted state

    def registrations(self) -> set[tuple[str, str]]:
        """What is wanted now."""
        return {
            pair for session in (*self.sessions.values(), *self.joining.values()) for pair in self.of(session)
        }

    def of(self, session: Session) -> set[tuple[str, str]]:
        """The registrations of a session."""
        own = f"{session.key}@{self.inbox}"
        return {(scope, own if scope[0] == "u" else self.inbox) for scope in SCOPES[session.user.id]}

    def enter(self, session: Session) -> "Callable[[], bool]":
        """Register a session; answers how to ask whether Redis has it. A repair registers all that is wanted."""
        inbox = self.inbox
        self.joining[session.key] = session
        waiting = [Wanted(scope, name, add=True) for scope, name in sorted(self.of(session))]
        self.queue.extend(waiting)
        return lambda: self.inbox != inbox or all(one.done for one in waiting)

    def left(self, session: Session) -> None:
        """A start has come to nothing."""
        if self.joining.get(session.key) is session:
            del self.joining[session.key]
        if session.key not in self.sessions:
            self.leave(session)

    def leave(self, session: Session) -> None:
        """Want a session's registrations no longer."""
        self.queue.extend(Wanted(scope, name, add=False) for scope, name in sorted(self.of(session)))

    def write_presence(self) -> Step:
        """Write the queue in order."""
        redis = self.sim.redis
        while True:
            yield "presence: write"
            if redis.down or not self.queue or not self.ready:
                continue
            for _ in range(min(len(self.queue), self.sim.random.randint(1, 6))):
                self._write(self.queue.popleft())

    def _write(self, one: Wanted) -> None:
        redis = self.sim.redis
        if one.field.rpartition("@")[2] != self.inbox:
            return  # of an inbox that was lost
        if one.add:
            if Bug.USER_OVERWRITTEN in self.sim.bugs and "@" in one.field:
                fields = redis.stored.presence.setdefault(one.scope, set())
                key = one.field.partition("@")[0]
                fields -= {name for name in fields if name.partition("@")[0] == key}
            redis.add(one.scope, one.field)
            one.done = True
        elif Bug.RACY_PRESENCE in self.sim.bugs:
            self.steps.append(self._remove_later(one))
        elif (one.scope, one.field) not in self.registrations():
            self._unregister(one)

    def _unregister(self, one: Wanted) -> None:
        redis = self.sim.redis
        inbox = redis.stored.inboxes.get(self.inbox)
        still: Iterable[str] = (scope for scope, _ in self.registrations())
        if inbox is not None and one.scope not in still and Bug.NO_UNREG not in self.sim.bugs:
            script.unregister(inbox, [one.scope], redis.now_ms)
        redis.remove(one.scope, one.field)

    def _remove_later(self, one: Wanted) -> Step:
        """The planted bug: what is wanted is looked up, and then, later, the removal is written."""
        if (one.scope, one.field) in self.registrations():
            return
        for _ in range(self.sim.random.randint(15, 30)):
            yield "presence: remove"
        while self.sim.redis.down:
            yield "presence: Redis is away"
        self._unregister(one)
