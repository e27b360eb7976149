"""Directed schedules: for wrong rules that chance hardly finds. The seed decides traffic and everybody's pace."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fanfare.constants import S_SHIFT
from gateway.delivery.ring import Ring
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.node import INBOX_TTL, RESUME_WINDOW, Node
from tests.model.simulation import Simulation
from tests.model.world import CHANNELS, SOURCES, Stored

if TYPE_CHECKING:
    from tests.model.clients import Client
    from tests.model.faults import Faults

__all__ = ["SCHEDULES", "Stage"]

_LONG: Final = 10_000
_PATIENCE: Final = 1500


class Stage:
    """A simulation in which one client does what it is told; nothing fails by itself."""

    def __init__(self, seed: int, *bugs: Bug, user: int = 11) -> None:
        """Args: user: whose client it is."""
        self.sim = Simulation(seed, bugs, clients_each=1)
        self.faults: Faults = self.sim.faults
        for client in self.sim.clients:
            client.held = True
        self.client: Client = next(client for client in self.sim.clients if client.user == user)
        self.a, self.b, self.c = self.sim.nodes.values()
        self.reading = False
        """The client takes what comes at once."""
        self.until(lambda: all(node.ready for node in self.sim.nodes.values()))

    def ticks(self, count: int, rate: float = 0.3) -> None:
        """Let time pass, with traffic."""
        for _ in range(count):
            self.sim.tick()
            while self.reading and self.client.link is not None and self.client.link.frames:
                self.client.receive(self.sim)
            if self.sim.random.random() < rate:
                self.sim.publish(self.sim.random.choice(list(CHANNELS)))

    def until(self, done: Callable[[], bool], rate: float = 0.3) -> None:
        """Let time pass until something is so."""
        for _ in range(_PATIENCE):
            if done():
                return
            self.ticks(1, rate)
        raise AssertionError("the schedule does not get on")

    def at(self, label: str, what: Callable[[Node], None]) -> Callable[[], bool]:
        """When a node is about to do something next, something else happens; answers whether it has."""
        fired: list[bool] = []

        def fault(who: object) -> None:
            assert isinstance(who, Node)
            fired.append(True)
            what(who)

        self.faults.ambushes[label] = fault
        return lambda: bool(fired)

    @property
    def closed(self) -> bool:
        """The client's connection was closed by its node."""
        return self.client.link is None or not self.client.link.open

    def connect(self, node: Node) -> None:
        self.client.connect(self.sim, node)

    def read(self, least: int = 1, rate: float = 0.3) -> None:
        """Read what comes, at least so many frames."""
        reading, self.reading = self.reading, False
        self._read(least, rate)
        self.reading = reading

    def _read(self, least: int, rate: float) -> None:
        for _ in range(_PATIENCE):
            if self.client.link is None or not self.client.link.open:
                return
            while self.client.link is not None and self.client.link.frames:
                self.client.receive(self.sim)
                least -= 1
            if least <= 0:
                return
            self.ticks(1, rate)
        raise AssertionError("nothing comes")

    def begin(self, node: Node) -> None:
        """A session on a node, with some events."""
        self.connect(node)
        self.read(5)

    def cut(self, *, half_open: bool = False) -> None:
        """The client has no connection any more; half-open: its node believes that it has."""
        assert self.client.link is not None
        if half_open:
            self.client.link.dead_at = self.sim.t + _LONG
        else:
            self.client.link.open = False
        self.client.link = None

    def nudge(self, node: Node) -> None:
        """Somebody else's resume raises a node's inbox."""
        inbox = self.sim.redis.stored.inboxes[node.inbox]
        script.raise_above(inbox, inbox.s, 100 << S_SHIFT, self.sim.redis.now_ms)

    def stall_notifiers(self, ticks: int, partitions: int | None = None) -> None:
        names = sorted({worker.partition for worker in self.sim.workers} - set(SOURCES))[:partitions]
        for worker in self.sim.workers:
            if worker.partition in names:
                worker.stalled = ticks

    def end(self) -> None:
        """The client goes on by itself, and everything is checked."""
        self.client.held = False
        self.sim.settle()


def freeze(node: Node) -> None:
    """It does nothing until it is woken."""
    node.paused = _LONG


def late_hop(stage: Stage) -> None:
    """A node dies after frames of another inbox went out; the client returns with an `s` between two histories."""
    stage.begin(stage.a)
    stage.sim.clock_rate = 0  # `s` goes on by ones: T stays above the old inbox
    stage.cut()
    stage.ticks(4)
    stage.connect(stage.b)
    stage.until(stage.at("adopt: sent", freeze))
    stage.reading = True
    for _ in range(40):
        stage.b.settle()  # sockets drain, nothing else
        stage.ticks(1)
    stage.ticks(30, 0)
    stage.sim.kill(stage.b)
    stage.sim.clock_rate = 0.6
    stage.connect(stage.c)
    stage.read(1, 0)


def compare_and_set(stage: Stage) -> None:
    """Two nodes adopt one session; the slower one was left by the client and does not know."""
    stage.begin(stage.a)
    stage.cut()
    stage.ticks(20)
    stage.connect(stage.b)
    stage.until(stage.at("adopt: write hop", freeze))
    stage.cut(half_open=True)
    stage.connect(stage.c)
    stage.read(5)
    stage.reading = True
    stage.ticks(30)
    stage.nudge(stage.b)
    stage.b.paused = 0
    stage.ticks(30)
    stage.sim.kill(stage.c)
    stage.connect(stage.b)
    stage.read(5)


def unclaimed(stage: Stage) -> None:
    """The client goes back to its own node while another one is still adopting it."""
    stage.begin(stage.a)
    stage.cut()
    stage.connect(stage.b)
    stage.until(stage.at("adopt: write hop", freeze))
    stage.cut(half_open=True)
    stage.connect(stage.a)
    stage.reading = True
    stage.ticks(40, 0.05)
    stage.nudge(stage.b)
    stage.ticks(30)
    stage.b.paused = 0
    stage.ticks(20)
    stage.cut()
    stage.connect(stage.b)
    stage.read(5)


def hops_after_loss(stage: Stage) -> None:
    """An inbox is trimmed under its reader; the repaired session then moves on."""
    stage.reading = True
    stage.begin(stage.a)
    stage.sim.cap = 3
    freeze(stage.a)
    stage.ticks(40)
    stage.a.paused = 0
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready)
    stage.sim.cap = 400
    stage.ticks(40)
    stage.cut()
    stage.ticks(30)
    stage.connect(stage.b)
    stage.read(5)


def safe_offset(stage: Stage) -> None:
    """Notifiers lag, longer than any guess of how long they may, and Redis is emptied."""
    stage.reading = True
    stage.begin(stage.a)
    stage.ticks(40)
    stage.read()
    stage.stall_notifiers(200)
    stage.ticks(60)
    stage.sim.redis.lose(Stored())
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready)
    stage.read()


def ordered_presence(stage: Stage) -> None:
    """A removal is under way when somebody registers the same again."""
    for _ in range(5):
        stage.begin(stage.a)
        stage.cut()
        stage.client.key, stage.client.got, stage.client.s = "", [], 0  # it begins anew
        fired = stage.at("presence: remove", lambda _: stage.connect(stage.a))
        for _ in range(RESUME_WINDOW + 60):
            stage.ticks(1)
            if fired():
                break
        if stage.client.link is None:
            stage.connect(stage.a)
        stage.read(1)
        stage.reading = True
        stage.ticks(80, 0.2)
        stage.reading = False
        stage.cut()
        stage.sim.check.ended(stage.client, settled=False)
    stage.connect(stage.a)


def marker(stage: Stage) -> None:
    """A session comes back after its window, to an inbox that has stopped receiving its guilds."""
    stage.begin(stage.a)
    stage.cut()
    stage.ticks(RESUME_WINDOW + 80)
    stage.connect(stage.a)
    stage.read(5)


def one_field_per_inbox(stage: Stage) -> None:
    """An adoption fails, and the session goes on where it was."""
    stage.begin(stage.a)
    stage.cut()
    stage.connect(stage.b)
    stage.until(stage.at("adopt: registrations", stage.sim.kill))
    stage.ticks(40, 0.6)
    stage.connect(stage.a)
    stage.read(5)


def half_open(stage: Stage) -> None:
    """A node repairs a session that it believes in, but whose client has moved; the other node dies first."""
    stage.sim.clock_rate = 0  # `s` goes on by ones: the second inbox stays above the first
    stage.begin(stage.a)
    stage.cut(half_open=True)
    stage.connect(stage.b)
    stage.reading = True
    stage.until(lambda: stage.client.s > stage.a.s + 1000 or stage.closed)  # at T
    freeze(stage.b)
    stage.ticks(30)
    stage.ticks(80, 0)
    stage.sim.redis.lose(Stored())
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready, 0)
    stage.sim.kill(stage.b)
    stage.connect(stage.c)
    stage.sim.clock_rate = 0.6
    stage.read(1, 0)


def late_start(stage: Stage) -> None:
    """A node begins late with a resume that its client has given up; the client is at home and gets more."""
    stage.begin(stage.a)
    stage.cut()
    stage.b.ring = Ring(1 << 20, stage.b.s)  # much comes while it waits for the fence
    freeze(stage.b)
    stage.connect(stage.b)
    stage.cut(half_open=True)
    stage.connect(stage.a)
    stage.reading = True
    stage.ticks(20)
    stage.stall_notifiers(20, 1)
    stage.b.paused = 0
    stage.until(stage.at("adopt: sent", lambda _: None), 0.6)
    stage.ticks(20)
    if not stage.closed:
        stage.cut()
    stage.connect(stage.c)
    stage.read(5)


def rolled_back(stage: Stage) -> None:
    """Redis comes back as it was a while ago, and a node goes on reading in it."""
    stage.reading = True
    stage.begin(stage.a)
    stage.ticks(20)
    before = stage.sim.redis.stored.copy()
    freeze(stage.a)
    stage.ticks(60)
    stage.sim.redis.lose(before)
    stage.a.paused = 0
    stage.ticks(60)


def newest_after_replay(stage: Stage) -> None:
    """A client does not get the end of a replay and goes to another node."""
    stage.begin(stage.a)
    stage.reading = True
    stage.ticks(20)
    freeze(stage.a)
    stage.reading = False
    stage.ticks(15)
    stage.ticks(40, 0)
    stage.sim.redis.lose(Stored())
    stage.a.paused = 0
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready, 0)
    stage.cut()
    stage.connect(stage.b)
    stage.read(1, 0)


def hops_before(stage: Stage) -> None:
    """A client leaves before it has the old inbox's part."""
    stage.begin(stage.a)
    stage.cut()
    stage.ticks(30)
    stage.connect(stage.b)
    stage.until(stage.at("adopt: sent", lambda _: None))
    stage.cut()
    stage.connect(stage.c)
    stage.read(5)


def not_raised(stage: Stage) -> None:
    """The other inbox is far ahead."""
    stage.sim.clock_rate = 0
    stage.begin(stage.a)
    stage.ticks(50, 0.8)
    stage.read()
    stage.cut()
    stage.connect(stage.b)
    stage.read(5)


def early(stage: Stage) -> None:
    """Much comes between the marker and the raising; the client leaves within that, and comes back to the node."""
    stage.sim.clock_rate = 0  # `s` goes on by ones: the old inbox stays above the new one
    stage.begin(stage.a)
    stage.ticks(50, 0.8)
    stage.read()
    stage.cut()
    stage.connect(stage.b)
    stage.b.ring = Ring(1 << 20, stage.b.s)
    stage.until(stage.at("adopt: raise", freeze))
    stage.ticks(30, 0.5)
    stage.b.paused = 0
    stage.until(stage.at("adopt: sent", lambda _: None), 0)
    base = stage.b.sessions[stage.client.key].hops[-1].base
    for _ in range(_PATIENCE):
        if stage.closed or stage.client.s > base:
            break
        if stage.client.link is not None and stage.client.link.frames:
            stage.client.receive(stage.sim)
        else:
            stage.ticks(1, 0)
    if not stage.closed:
        stage.cut()
    stage.connect(stage.b)
    stage.sim.clock_rate = 0.6
    stage.read(5)


def expired(stage: Stage) -> None:
    """A node sleeps for longer than its inbox lives."""
    stage.reading = True
    stage.begin(stage.a)
    freeze(stage.a)
    stage.ticks(INBOX_TTL - 10, 0.03)
    stage.ticks(50, 0.25)
    stage.a.paused = 0
    stage.ticks(30)
    stage.read(5)


def trimmed(stage: Stage) -> None:
    """An inbox is trimmed under its reader."""
    stage.reading = True
    stage.begin(stage.a)
    stage.sim.cap = 3
    freeze(stage.a)
    stage.ticks(40)
    stage.a.paused = 0
    stage.ticks(30)
    stage.read(5)


def late_retry(stage: Stage) -> None:
    """A send is repeated when nobody knows its nonce any more."""
    stage.begin(stage.a)
    for channel in (101, 102, 201, 202):
        stage.sim.publish(channel)
    sent = [(source, one.record) for source in SOURCES[:2] for one in stage.sim.kafka.events[source][-2:]]
    stage.ticks(160)
    for source, record in sent:
        stage.sim.accept(source, record)
    stage.ticks(20)
    stage.read(5)


def refilled(stage: Stage) -> None:
    """Redis forgets which position of a nonce was the first."""
    stage.begin(stage.a)
    stage.reading = True
    for channel in (101, 102, 201, 202):
        stage.sim.publish(channel)
    sent = [(source, one.record) for source in SOURCES[:2] for one in stage.sim.kafka.events[source][-2:]]
    stage.ticks(20)
    stage.sim.redis.lose(Stored())
    stage.ticks(5, 0)
    for source, record in sent:
        if record.nonce:
            stage.sim.accept(source, record)
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready)
    stage.read(5)


SCHEDULES: Final[dict[Bug, Callable[[Stage], None]]] = {
    Bug.LATE_HOP: late_hop,
    Bug.NO_CAS: compare_and_set,
    Bug.UNCLAIMED: unclaimed,
    Bug.HOPS_NOT_REWRITTEN: hops_after_loss,
    Bug.SAFE_BY_TIME: safe_offset,
    Bug.RACY_PRESENCE: ordered_presence,
    Bug.NO_UNREG: marker,
    Bug.USER_OVERWRITTEN: one_field_per_inbox,
    Bug.NO_TOKEN: rolled_back,
    Bug.NOT_TOLD: half_open,
    Bug.CUT_AT_FENCE: late_start,
    Bug.NEWEST_NOT_RAISED: newest_after_replay,
    Bug.ONE_HOP: hops_before,
    Bug.NO_RAISE: not_raised,
    Bug.EARLY_LOST: early,
    Bug.EARLY_NUMBERS: early,
    Bug.EARLY_FROM_RING: early,
    Bug.PLAIN_LEASE: expired,
    Bug.TRIM_UNSEEN: trimmed,
    Bug.NO_LATE_RULE: late_retry,
    Bug.FIRST_NOT_REFILLED: refilled,
}
"""The schedule that finds each."""
