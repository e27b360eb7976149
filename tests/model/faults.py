"""What goes wrong: at any time, or just when somebody is about to do something (an ambush)."""

from typing import TYPE_CHECKING, Final

from tests.model.node import Node
from tests.model.workers import Worker
from tests.model.world import SOURCES, Stored, deliveries_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.simulation import Simulation

__all__ = ["Faults"]

_PARTITIONS: Final = [*SOURCES, *map(deliveries_of, SOURCES)]
_DELIVERIES: Final = [deliveries_of(source) for source in SOURCES]


class Faults:
    """Everything is a choice of the simulation's random numbers."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.losses = True
        """Whether Redis may lose what it acknowledged."""
        self.ambushes: dict[str, Callable[[Node | Worker], None]] = {}
        self.kinds: list[tuple[int, Callable[[], None]]] = [
            (16, self.rebalance),
            (8, self.stall_notifier),
            (4, self.kill_node),
            (6, self.pause_node),
            (4, self.snapshot),
            (3, self.lose_redis),
            (2, self.clock_back),
            (3, self.redis_away),
            (2, self.kafka_away),
            (40, self.ambush),
        ]

    def any(self) -> None:
        """Some fault."""
        kinds = [kind for _, kind in self.kinds]
        self.sim.random.choices(kinds, [weight for weight, _ in self.kinds])[0]()

    def spring(self, label: str, who: Node | Worker) -> None:
        """Somebody is about to do something."""
        fault = self.ambushes.pop(label, None)
        if fault is not None:
            fault(who)

    def stop(self) -> None:
        """Everything works from now on."""
        self.ambushes.clear()
        self.sim.redis.down = self.sim.kafka.down = 0
        for node in self.sim.nodes.values():
            node.paused = 0
        for worker in self.sim.workers:
            worker.stalled = 0

    # At any time

    def rebalance(self) -> None:
        self.sim.rebalance(self.sim.random.choice(_PARTITIONS), self.sim.random.choice([0, 0, 10, 40, 150]))

    def stall_notifier(self) -> None:
        """A notifier that is late: what it has to append waits."""
        partition = self.sim.random.choice(_DELIVERIES)
        for worker in self.sim.workers:
            if worker.partition == partition:
                worker.stalled = self.sim.random.choice([10, 40])

    def kill_node(self) -> None:
        self.sim.kill(self.sim.random.choice(list(self.sim.nodes.values())))

    def pause_node(self) -> None:
        """It does nothing for a while, maybe for longer than its inbox lives."""
        node = self.sim.random.choice(list(self.sim.nodes.values()))
        node.paused = self.sim.random.choice([30, 30, 100, 500])

    def snapshot(self) -> None:
        self.sim.redis.saved = self.sim.redis.stored.copy()

    def lose_redis(self) -> None:
        """It comes back empty, from the newest snapshot, or as a replica that lags."""
        redis = self.sim.redis
        redis.down = self.sim.random.choice([0, 5, 30])
        if not self.losses:
            return
        redis.lose(self.sim.random.choice([Stored(), redis.saved, redis.tail, redis.tail]))

    def clock_back(self) -> None:
        self.sim.redis.clock -= self.sim.random.choice([5, 200])

    def redis_away(self) -> None:
        self.sim.redis.down = self.sim.random.choice([3, 20])

    def kafka_away(self) -> None:
        self.sim.kafka.down = self.sim.random.choice([5, 30])

    # Ambushes

    def ambush(self) -> None:
        """At the next of these moments, that happens."""
        label, fault = self.sim.random.choice(
            [
                ("adopt: sent", self._die_after_frames),
                ("adopt: sent", self._die_after_frames),
                ("adopt: write hop", self._cut_and_freeze),
                ("adopt: walked", lambda _: self.lose_redis()),
                ("repair: replay", lambda _: self.lose_redis()),
                ("repair: replay", self._die_after_frames),
                ("repair: write move", self._cut_and_freeze),
                ("notifier: next inbox", self._replaced),
                ("notifier: append", self._replaced),
                ("fan-out: produce", self._replaced),
                ("start: registered", self._freeze),
                ("node: read", lambda _: self._lag_and_lose()),
                ("node: read", lambda _: self._lag_and_lose()),
            ]
        )
        self.ambushes[label] = fault

    def _replaced(self, who: Node | Worker) -> None:
        assert isinstance(who, Worker)
        if who.owner:
            self.sim.rebalance(who.partition, self.sim.random.choice([0, 0, 5, 20]))

    def _freeze(self, who: Node | Worker) -> None:
        assert isinstance(who, Node)
        who.paused = self.sim.random.choice([5, 30])

    def _cut_and_freeze(self, who: Node | Worker) -> None:
        """The clients of a node go elsewhere while it believes in them."""
        self._freeze(who)
        assert isinstance(who, Node)
        for client in self.sim.clients:
            if client.node == who.name and client.link is not None:
                client.link.dead_at = self.sim.t + 60
                client.link = None
                client.node = ""

    def _die_after_frames(self, who: Node | Worker) -> None:
        """The clients of a node read some of what it has written, and then it dies."""
        assert isinstance(who, Node)
        for _ in range(self.sim.random.randint(1, 3)):
            who.settle()
            for client in self.sim.clients:
                if client.node == who.name and client.link is not None and client.link.open:
                    for _ in range(self.sim.random.randint(0, 6)):
                        if client.link is not None and client.link.frames:
                            client.receive(self.sim)
        self.sim.kill(who)

    def _lag_and_lose(self) -> None:
        """Notifiers lag, and then Redis loses what it has."""
        for worker in self.sim.workers:
            if worker.partition in _DELIVERIES:
                worker.stalled = 30
        self.ambushes["notifier: fetch"] = lambda _: self.lose_redis()
