"""What was handed to the producer and is not acknowledged, by partition: order, the bound, the breaker. No I/O."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fanfare.constants import BREAKER_S
from fanfare.record import Position

__all__ = ["Headers", "Item", "Lane", "Lanes", "Raw"]

# A record costs about this much besides its value.
_OVERHEAD_BYTES: Final = 256
# A record that Kafka has not acknowledged after this may never be acknowledged.
_OVERDUE_S: Final = 10.0

Headers = Iterable[tuple[str, bytes]]


class Raw(NamedTuple):
    """A record in Kafka's form."""

    headers: Headers
    value: bytes
    key: bytes

    @property
    def size(self) -> int:
        """About what it takes, in bytes."""
        return len(self.value) + _OVERHEAD_BYTES


class Item:
    """Records of one partition that are under way together."""

    __slots__ = ("by_key", "done", "posted", "records", "size")

    def __init__(
        self, records: Sequence[Raw], done: asyncio.Future[Position], now: float, by_key: int = 0
    ) -> None:
        """Args: done: told of the outcome; now: seconds, of a monotonic clock; by_key: what decided the partition."""
        self.by_key = by_key
        self.records = records
        self.done = done
        self.size = sum(record.size for record in records)
        self.posted = now


class Lane:
    """One partition: what is queued, and since when nothing moved."""

    __slots__ = ("ahead_s", "name", "partition", "progress", "queue", "task", "topic", "waiting")

    def __init__(self, topic: str, name: str, partition: int) -> None:
        """Args: name: of the topic, in Kafka."""
        self.topic = topic
        self.name = name
        self.partition = partition
        self.queue: deque[Item] = deque()
        """What the client has not taken yet, in order."""
        self.waiting = 0
        """Items that are not acknowledged, those in the queue included."""
        self.progress = 0.0
        """When an item was acknowledged last, or the first one came after none had waited."""
        self.ahead_s = 0.0
        """How far the leader's clock was ahead of ours at the last acknowledgement, where it stamps the records."""
        self.task: asyncio.Task[None] | None = None
        """Drains the queue."""


class Lanes:
    """The lanes of all partitions. `now` is everywhere in seconds, of a monotonic clock."""

    def __init__(self, limit_bytes: int) -> None:
        """Args: limit_bytes: bound on what is not acknowledged."""
        self._limit_bytes = limit_bytes
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._waiting = 0
        self._progress = 0.0
        self.bytes = 0
        """What is not acknowledged."""

    def __iter__(self) -> Iterator[Lane]:
        """All lanes that were opened."""
        return iter(self._lanes.values())

    def get(self, topic: str, partition: int) -> Lane | None:
        """The lane of a partition; None: nothing was ever posted to it."""
        return self._lanes.get((topic, partition))

    def open(self, topic: str, name: str, partition: int) -> Lane:
        """The lane of a partition that had none. Args: name: of the topic, in Kafka."""
        lane = self._lanes[(topic, partition)] = Lane(topic, name, partition)
        return lane

    def stalled(self, now: float) -> bool:
        """Whether something waits, and nothing was acknowledged for too long."""
        return self._waiting > 0 and now - self._progress > BREAKER_S

    def refusal(self, lane: Lane, size: int, now: float) -> str:
        """Why nothing of this size may be put into the lane now; '' where it may."""
        if self.stalled(now) or (lane.waiting and now - lane.progress > BREAKER_S):
            return f"nothing was acknowledged for {BREAKER_S:.0f} s"
        # If nothing else waits, an item larger than the bound is taken, too: otherwise it could never be sent.
        if self.bytes and self.bytes + size > self._limit_bytes:
            return f"{self.bytes} bytes wait for their acknowledgement"
        return ""

    def put(self, lane: Lane, item: Item) -> None:
        """Queue an item that is not refused."""
        if not lane.waiting:
            lane.progress = item.posted
        if not self._waiting:
            self._progress = item.posted
        lane.waiting += 1
        self._waiting += 1
        self.bytes += item.size
        lane.queue.append(item)

    def settled(self, lane: Lane, item: Item, now: float) -> None:
        """The outcome of an item is known, whichever it is."""
        lane.waiting -= 1
        self._waiting -= 1
        self.bytes -= item.size
        lane.progress = self._progress = now

    def overdue(self, now: float) -> set[tuple[str, int]]:
        """The partitions, with the topic's name in Kafka, that have waited longer than they ever should."""
        return {
            (lane.name, lane.partition)
            for lane in self._lanes.values()
            if lane.waiting and now - lane.progress > _OVERDUE_S
        }
