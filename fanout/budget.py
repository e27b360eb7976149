"""A fan-out that works slower than it could, so that a demonstration can overrun it: only if a setting says so."""

import asyncio
from typing import Final

from prometheus_client import Counter, Gauge

from fanfare.bus.consumer import Handler, Incoming, TopicPartition
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY

__all__ = ["Budget", "Pace"]

# A batch in flight holds up a rebalance: so none is worth more than this.
_BATCH_S: Final = 0.05
BUDGET: Final = Gauge(
    "fanfare_fanout_budget",
    "Events a second that this fan-out takes on at the most, by FANFARE_FANOUT_BUDGET; 0: any number.",
    registry=REGISTRY,
)
WAITED: Final = Counter(
    "fanfare_fanout_budget_waited_seconds",
    "How long batches waited because of the budget, in sum over partitions.",
    registry=REGISTRY,
)


class Pace:
    """When work may begin that is not to exceed a rate. Pure."""

    def __init__(self, rate: float) -> None:
        """Args: rate: of events, a second."""
        self._rate = rate
        self._free = 0.0

    def wait(self, count: int, now: float) -> float:
        """How many seconds the next `count` events have to wait; from then on they use up their share of time."""
        begin = max(self._free, now)
        self._free = begin + count / self._rate
        return begin - now


class Budget:
    """Hands batches on at a declared rate, that of all partitions of this worker together."""

    def __init__(self, rate: float, handler: Handler) -> None:
        """Args: rate: events a second; handler: does the work."""
        self._pace = Pace(rate)
        self._handler = handler
        self.batch_records = max(1, int(rate * _BATCH_S))
        """The most records that a batch may have."""
        BUDGET.set(rate)
        logs.get("fanout").warning("slower on purpose", action=Action.START, events_a_second=rate)

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Wait until the batch is within the budget, then have it done."""
        wait_s = self._pace.wait(len(batch), asyncio.get_running_loop().time())
        WAITED.inc(wait_s)
        await asyncio.sleep(wait_s)
        await self._handler(partition, batch)
