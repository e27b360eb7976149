"""Clients: they connect, read, are cut off, and come again, to the same node or another."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fanfare.record import Record
from tests.model.node import RESUMED, Link
from tests.model.starts import Ready, identify, resume

if TYPE_CHECKING:
    from tests.model.node import Node
    from tests.model.simulation import Simulation

__all__ = ["Client"]


@dataclass(eq=False)
class Client:
    """One client, and what it has received in its present session."""

    user: int
    key: str = ""
    """Its session, '' for none."""
    inbox: str = ""
    s: int = 0
    got: list[Record] = field(default_factory=list)
    ready_at: int = 0
    link: Link | None = None
    node: str = ""
    trail: list[str] = field(default_factory=list)
    held: bool = False
    """A directed schedule moves it."""

    @property
    def at_rest(self) -> bool:
        """Connected, and everything is read."""
        return bool(self.key) and self.link is not None and self.link.open and not self.link.frames

    def act(self, sim: "Simulation") -> None:
        """One move."""
        chance = sim.random.random()
        if self.link is None or not self.link.open:
            self.link = None
            if chance < 0.5:
                self._connect(sim)
        elif self.link.frames and chance < 0.75:
            self.receive(sim)
        elif sim.faulty and chance > 0.992:
            self.cut(sim)

    def receive(self, sim: "Simulation") -> None:
        """Take the next frame."""
        assert self.link is not None
        s, what = self.link.frames.popleft()
        if isinstance(what, Ready):
            self.key, self.inbox, self.ready_at = what
            self.s, self.got = s, []
            self.trail.append(f"ready {self.key} at {what.at}")
            return
        if s < self.s:
            sim.check.fell(self, s)
        self.s = s
        if what != RESUMED:
            assert isinstance(what, Record)
            self.got.append(what)

    def cut(self, sim: "Simulation") -> None:
        """The connection is gone; the server may learn it later."""
        assert self.link is not None
        if sim.random.random() < 0.4:
            self.link.dead_at = sim.t + sim.random.choice([5, 40, 80])
        else:
            self.link.open = False
        self.link = None

    def _connect(self, sim: "Simulation") -> None:
        nodes = [node for node in sim.nodes.values() if node.ready and not node.dead]
        if not nodes:
            return
        same = [node for node in nodes if node.name == self.node]
        self.connect(sim, same[0] if same and sim.random.random() < 0.3 else sim.random.choice(nodes))

    def connect(self, sim: "Simulation", node: "Node") -> None:
        """Connect to a node and go on, or begin."""
        self.link, self.node = Link(), node.name
        self.trail.append(f"to {node.inbox} at s={self.s} t={sim.t}")
        if self.key:
            node.steps.append(resume(node, self, self.link, self.key, self.inbox, self.s))
        else:
            node.steps.append(identify(node, self, self.link))
