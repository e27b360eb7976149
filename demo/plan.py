"""The steps of `fanfare demo scale`: what is changed, and what share of the time each one gets. Pure."""

from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["BUDGET", "LOAD", "PARTITIONS", "Kind", "Planned", "plan"]

PARTITIONS: Final = 4
"""Of chat.events: few, so that one page shows them all."""
BUDGET: Final = 30.0
"""Events a second that a fan-out may take on."""
LOAD: Final = 45.0
"""Messages a second: more than one fan-out may do, less than two may. With three, one of them has two partitions."""


class Kind(StrEnum):
    """What a step does."""

    ALONE = "alone"
    ADD = "add"
    SPARE = "spare"
    """One more than there are partitions."""
    REMOVE = "remove"
    KILL = "kill"


class Planned(NamedTuple):
    """A step before it was done."""

    kind: Kind
    name: str
    members: int
    """Fan-outs at its end."""
    share: float
    """Of the whole time."""


def plan(partitions: int) -> list[Planned]:
    """All steps; their shares are 1 together.

    Args:
        partitions: of chat.events, three or more.

    """
    few = partitions - 1
    steps = [Planned(Kind.ALONE, "fanout.1 alone", 1, 26)]
    steps += [Planned(Kind.ADD, f"add fanout.{count}", count, 11) for count in range(2, partitions + 1)]
    steps += [
        Planned(Kind.SPARE, f"add fanout.{partitions + 1}", partitions + 1, 12),
        Planned(Kind.REMOVE, f"remove fanout.{partitions + 1} and .{partitions}", few, 12),
        Planned(Kind.KILL, "kill fanout.2", few, 17),
    ]
    whole = sum(step.share for step in steps)
    return [step._replace(share=step.share / whole) for step in steps]
