"""Notices an aiokafka client that will not get on by itself.

Its background tasks may die, or wait for something that never comes, when brokers come and go. Then only another client
helps. It was seen once in some hundred outages of all brokers: one client sent nothing any more while others went on.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from fanfare.bus.aiokafka_internals import producer_tasks
from fanfare.bus.client import admin
from fanfare.settings import Settings

__all__ = ["PROBES", "PROBE_S", "Stuck", "ended"]

PROBE_S: Final = 2.0
# A client is stuck if, for so many probes, Kafka could take records and one of ours waited all the time.
PROBES: Final = 4


class Stuck:
    """Counts in favour of one client being stuck."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._count = 0

    async def look(self, client: Any, waiting: Collection[tuple[str, int]]) -> str:
        """Look once; answers why the client is to be replaced, or ''.

        Args:
            client: the producer.
            waiting: (topic, partition) of those whose oldest record waits for longer than it ever should.

        """
        if why := ended(producer_tasks(client)):
            return why
        if not waiting or not await self._writable(waiting):
            self._count = 0
            return ""
        self._count += 1
        return "Kafka can take records, but takes none of ours" if self._count >= PROBES else ""

    def replaced(self) -> None:
        """Another client took its place."""
        self._count = 0

    async def _writable(self, partitions: Collection[tuple[str, int]]) -> bool:
        """Whether each of the partitions has a leader, and replicas that keep up."""
        try:
            async with admin(self._settings) as client:
                found = await client.describe_topics(sorted({topic for topic, _ in partitions}))
        except (KafkaError, OSError, TimeoutError):
            return False
        good = {
            (topic["topic"], one["partition"])
            for topic in found
            for one in topic["partitions"]
            if one["leader"] >= 0 and len(one["isr"]) >= min(2, len(one["replicas"]))
        }
        return good.issuperset(partitions)


def ended(tasks: Mapping[str, Any]) -> str:
    """Which of a client's own tasks has ended, and by what; they are to live as long as it does."""
    for name, task in tasks.items():
        if isinstance(task, asyncio.Task) and task.done() and not task.cancelled():
            return f"its {name} task ended: {task.exception()!r}"
    return ""
