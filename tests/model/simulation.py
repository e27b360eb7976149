"""The whole: everything that happens, one step of somebody at a time, by a seed."""

from collections import Counter
from collections.abc import Collection
from random import Random
from typing import TYPE_CHECKING, Final

from fanfare.record import Record
from fanfare.retries import is_late
from tests.model.bugs import Bug
from tests.model.check import Check
from tests.model.clients import Client
from tests.model.faults import Faults
from tests.model.node import Link, Node
from tests.model.workers import Worker, fan_out, notify
from tests.model.world import CHANNELS, MEMBERS, SOURCES, Appended, Kafka, Redis, Step, deliveries_of, event

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Simulation"]

_RETRIES: Final = (3, 20, 70, 85, 120, 160)
"""Ticks after which a send is repeated; the nonce window is 75."""
_CAPS: Final = (400, 40, 400, 80)
"""Entries that inboxes keep, in each quarter of a run."""
_SETTLE_TICKS: Final = 3000


class Simulation:
    """One run."""

    def __init__(
        self, seed: int, bugs: Collection[Bug] = (), *, clients_each: int = 2, nodes: int = 3
    ) -> None:
        """Args: bugs: wrong rules to plant."""
        self.random = Random(seed)
        self.bugs = frozenset(bugs)
        self.t = 0
        self.kafka = Kafka()
        self.redis = Redis()
        self.check = Check()
        self.faulty = False
        self.cap = 400
        self.clock_rate = 0.6
        self.cache: dict[str, list[str]] = {}
        self.nodes: dict[str, Node] = {}
        self.workers: list[Worker] = []
        self.told: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.retries: list[tuple[int, str, Record]] = []
        self.faults = Faults(self)
        self._numbers: Iterator[int] = iter(range(1, 1 << 20))
        for _ in range(nodes):
            self.start_node()
        for source in SOURCES:
            self.rebalance(source, 0)
            self.rebalance(deliveries_of(source), 0)
        self.clients = [Client(user) for user in MEMBERS for _ in range(clients_each)]

    # What the parts call

    def number(self) -> int:
        """A number that was not used yet."""
        return next(self._numbers)

    def count(self, way: str) -> None:
        """Count a way of resuming."""
        self.ways[way] += 1

    def invalidate(self, link: Link | None, why: str) -> None:
        """INVALID_SESSION to whoever is at the other end."""
        if link is None:
            return
        link.open = False
        for client in self.clients:
            if client.link is link:
                self.told[why] += 1
                client.trail.append(f"told: {why}")
                self.check.ended(client, settled=False)
                client.key, client.s, client.got = "", 0, []

    def accept(self, source: str, record: Record) -> None:
        """Kafka has acknowledged an event."""
        position = self.kafka.accept(source, record, self.t)
        one = self.kafka.events[source][position.offset]
        if not is_late(one.record, one.at_ms):
            self.check.accepted.setdefault(record.id, Appended(one.record, self.t))

    def publish(self, channel: int, *, retry: bool = False) -> None:
        """Somebody sends; maybe it is sent once more, much later."""
        record = event(self.number(), channel, self.t)
        source = CHANNELS[channel].source
        self.accept(source, record)
        if retry and record.nonce:
            self.retries.append((self.t + self.random.choice(_RETRIES), source, record))

    def start_node(self) -> Node:
        node = Node(self, f"n{self.number()}")
        node.begin()
        self.nodes[node.name] = node
        return node

    def kill(self, node: Node) -> None:
        """A node dies, and another one is started."""
        node.dead = True
        node.steps.clear()
        for client in self.clients:
            if client.node == node.name and client.link is not None:
                client.link.open = False
        for session in node.sessions.values():
            if session.link is not None:
                session.link.open = False
        del self.nodes[node.name]
        self.start_node()

    def rebalance(self, partition: str, zombie_life: int) -> Worker:
        """Another member owns a partition; the one before goes on for a while."""
        for worker in self.workers:
            if worker.partition == partition and worker.owner:
                worker.owner, worker.life = False, zombie_life
        work = fan_out if partition in SOURCES else notify
        worker = Worker(partition, self.kafka.committed.get(partition, 0))
        worker.steps = work(self, worker)
        self.workers.append(worker)
        return worker

    # Time

    def run(self, ticks: int = 4200) -> None:
        """A run with faults, those that lose writes of Redis in its second half, and the check of everything.

        Raises:
            ViolationError: an invariant is broken.

        """
        self.faulty = True
        rate = self.random.choice([0.2, 0.4, 0.7])
        faults = self.random.choice([0.05, 0.1])
        for tick in range(ticks):
            self.faults.losses = tick > ticks // 2
            self.cap = _CAPS[4 * tick // ticks]
            self.tick()
            if not self.kafka.down and self.random.random() < rate:
                self.publish(self.random.choice(list(CHANNELS)), retry=self.random.random() < 0.15)
            if self.random.random() < faults:
                self.faults.any()
        self.settle()

    def tick(self) -> None:
        """Everybody who is awake does something."""
        self.t += 1
        random = self.random
        self.redis.expire(self.t)
        self.redis.clock += random.random() < self.clock_rate
        self.redis.down = max(0, self.redis.down - 1)
        self.kafka.down = max(0, self.kafka.down - 1)
        if self.t % 17 == 0:
            self.redis.tail = self.redis.stored.copy()
        for retry in [retry for retry in self.retries if retry[0] <= self.t and not self.kafka.down]:
            self.retries.remove(retry)
            self.accept(retry[1], retry[2])
        for node in list(self.nodes.values()):
            self._turn(node)
        for worker in list(self.workers):
            self._work(worker)
        for client in self.clients:
            for _ in range(0 if client.held else 2):
                client.act(self)

    def _turn(self, node: Node) -> None:
        if node.paused:
            node.paused -= 1
            return
        for _ in range(self.random.randint(0, 14)):
            if node.dead or node.paused or not node.steps:
                return
            first = self.random.random() < 0.5
            self.step(node, node.steps[0] if first else self.random.choice(node.steps))
        node.sweep()
        node.settle()

    def _work(self, worker: Worker) -> None:
        if worker.life == 0:
            self.workers.remove(worker)
            return
        worker.life -= 1
        if worker.stalled:
            worker.stalled -= 1
            return
        for _ in range(self.random.randint(0, 6 if worker.owner else 3)):
            assert worker.steps is not None
            self.faults.spring(next(worker.steps), worker)

    def step(self, node: Node, steps: Step) -> str:
        """One step of a node; answers what it does next, '' if it has ended."""
        try:
            label = next(steps)
        except StopIteration:
            if steps in node.steps:
                node.steps.remove(steps)
            return ""
        self.faults.spring(label, node)
        return label

    # The end

    def settle(self) -> None:
        """No more faults: everything comes to rest, and every session has what it is owed."""
        self.faulty = False
        self.faults.stop()
        for tick in range(_SETTLE_TICKS):
            self.tick()
            if tick % 20 == 19 and self.quiet():
                break
        else:
            raise AssertionError("it does not come to rest")
        for client in self.clients:
            self.check.ended(client, settled=bool(client.key))
            assert not self.check.unwanted(client)

    def quiet(self) -> bool:
        """Whether nothing is under way."""
        owners = [worker for worker in self.workers if worker.owner]
        return (
            not self.retries
            and all(worker.position == len(self.kafka.log(worker.partition)) for worker in owners)
            and all(client.at_rest for client in self.clients if not client.held)
            and all(self._idle(node) for node in self.nodes.values())
        )

    def _idle(self, node: Node) -> bool:
        inbox = self.redis.stored.inboxes.get(node.inbox)
        links = [(one, one.link) for one in node.sessions.values() if one.link is not None]
        return (
            node.ready
            and len(node.steps) == 3
            and inbox is not None
            and node.s >= inbox.s
            and all(session.cursor is None for session, link in links if link.dead_at is None)
        )
