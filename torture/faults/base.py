"""What each fault is built on: applied, seen to be there, and over again.

`run` does all three and fills in the times. What a fault needs before the load starts is in `prepare`, what it leaves
behind is put right in `clean`.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from torture.history import FaultTimes, History
from torture.load import Load
from torture.system import System

__all__ = ["Context", "Fault", "SkippedError"]


class SkippedError(Exception):
    """This fault cannot be had on this machine; the message says why."""


@dataclass
class Context:
    """What a fault works on."""

    system: System
    load: Load
    history: History
    rng: Random
    short: bool = False
    """In a mixture faults last a third of their time."""

    def begin(self, fault: "Fault", detail: str, *, nodes: frozenset[str] = frozenset()) -> FaultTimes:
        """A fault is being applied now."""
        times = FaultTimes(
            fault.name,
            time.monotonic(),
            nodes=nodes,
            outage=fault.outage,
            tells_away=fault.tells_away,
            detail=detail,
        )
        self.history.fault(times)
        return times

    def seconds(self, whole: float) -> float:
        """How long a fault lasts."""
        return whole / 3 if self.short else whole


class Fault(ABC):
    """A kind of fault."""

    name: ClassVar[str]
    aim_s: ClassVar[float]
    """The delivery gap to aim for."""
    outage: ClassVar[bool] = False
    """Deliveries cannot go on before its end."""
    tells_away: ClassVar[bool] = False
    brokers: ClassVar[int] = 1
    """It needs at least so many."""
    mixes: ClassVar[bool] = True
    """Whether it is part of mixtures."""

    async def prepare(self, system: System, rng: Random) -> None:  # noqa: B027 - most need nothing
        """What has to be there before the load. Raises: SkippedError."""

    @abstractmethod
    async def run(self, context: Context) -> None:
        """Apply it, see it, end it. Raises: BadSystemError: the system does not come back."""

    async def clean(self, system: System) -> None:  # noqa: B027 - most leave nothing
        """Put right what it leaves behind."""
