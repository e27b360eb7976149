"""What happened in a run of `fanfare demo scale`: values only, which all pages are made of."""

from typing import Any

import msgspec

__all__ = ["Moment", "Reader", "Step", "Story", "Worker", "result"]


class Worker(msgspec.Struct, frozen=True):
    """A fan-out at one moment."""

    name: str
    has: tuple[int, ...]
    """Partitions of chat.events; none: it is idle."""
    rate: float
    """Events a second."""


class Moment(msgspec.Struct, frozen=True):
    """How things stood."""

    at_s: float
    """Since the load began."""
    owners: tuple[str, ...]
    """Who has each partition of chat.events; '' where nobody has."""
    lags: tuple[int, ...]
    """Records of each partition that the fan-outs have not finished."""
    workers: tuple[Worker, ...]
    rate: float
    """Messages a second that were delivered, to everybody."""
    accepted: int
    delivered: int

    @property
    def lag(self) -> int:
        """Of all partitions together."""
        return sum(self.lags)


class Step(msgspec.Struct):
    """One step, filled in while it is done."""

    name: str
    command: str
    why: str
    """What it shows, in a sentence."""
    members: int
    began_s: float
    ended_s: float = 0.0
    said: str = ""
    """What the command answered."""
    lag_before: int = 0
    lag_after: int = 0
    rate: float = 0.0
    gap_s: float = 0.0
    """The longest time in which nothing of a partition was delivered, though something waited."""


class Reader(msgspec.Struct, frozen=True):
    """A group that reads chat.events."""

    group: str
    read: int
    of: int
    """Records that stand in the topic."""
    note: str = ""


class Story(msgspec.Struct):
    """The whole run."""

    partitions: int
    budget: float
    """Events a second that each fan-out may take on; 0: as many as it can."""
    load: float
    """Messages a second."""
    sessions: int
    where: str
    """The machine, in a line."""
    steps: list[Step] = []
    moments: list[Moment] = []
    readers: list[Reader] = []
    accepted: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    broken: list[str] = []
    """Promises that were not kept, a sentence each."""

    @property
    def ended_s(self) -> float:
        """When the last step was over."""
        return max((step.ended_s or step.began_s for step in self.steps), default=0.0)


def result(story: Story) -> dict[str, Any]:
    """What `--json` prints."""
    counts = ("accepted", "delivered", "lost", "doubled", "reordered")
    fields = ("name", "members", "lag_before", "lag_after", "rate", "gap_s")
    return {
        **{name: getattr(story, name) for name in counts},
        "steps": [
            {"step" if name == "name" else name: getattr(step, name) for name in fields}
            for step in story.steps
        ],
        "groups": {reader.group: {"read": reader.read, "of": reader.of} for reader in story.readers},
        "budget": story.budget or None,
        "broken": story.broken,
    }
