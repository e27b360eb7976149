"""Fences: events without a payload that show how far every partition has come (docs/design.md, section 5)."""

import asyncio
import secrets
from dataclasses import dataclass, field

from redis.asyncio import Redis

from fanfare.bus.producer import Producer
from fanfare.constants import FENCE_GATHER_S, S_SHIFT
from fanfare.presence import inboxes
from fanfare.record import FENCE, INBOXES, Record
from gateway import counts
from gateway.resume import Fence

__all__ = ["Fences"]

# While the fence travels, an inbox whose `s` runs ahead of the clock goes on by ones; this many it may.
_AHEAD = 10 << S_SHIFT


@dataclass(slots=True)
class _Gathering:
    inboxes: set[str] = field(default_factory=set)
    floor: int = 0
    margin_ms: int = 0
    done: "asyncio.Task[tuple[int, Fence]] | None" = None


class Fences:
    """Makes one fence for all sessions that ask within some 20 ms."""

    def __init__(self, redis: Redis, producer: Producer, topics: list[str]) -> None:
        """Args: topics: all source topics."""
        self._redis = redis
        self._producer = producer
        self._topics = topics
        self._gathering: dict[str, _Gathering] = {}

    async def join(self, own: str, other: str, floor: int, margin_ms: int) -> tuple[int, Fence]:
        """Raise the own inbox above another one and put a fence into both.

        Args:
            own: the node's inbox.
            other: the inbox to be above.
            floor: a further `s` to be above.
            margin_ms: how long the fence may travel.

        Returns:
            T, the filler's `s`, and f, the fence's offset per source partition.

        Raises:
            InboxGoneError: one of the inboxes is gone.
            RefusedError: Kafka is away.

        """
        gathering = self._gathering.get(own)
        if gathering is None:
            gathering = self._gathering[own] = _Gathering()
            gathering.done = asyncio.create_task(self._send(own, gathering))
            gathering.done.add_done_callback(lambda task: task.cancelled() or task.exception())
        gathering.inboxes.add(other)
        gathering.floor = max(gathering.floor, floor)
        gathering.margin_ms = max(gathering.margin_ms, margin_ms)
        assert gathering.done is not None
        return await asyncio.shield(gathering.done)

    async def _send(self, own: str, gathering: _Gathering) -> tuple[int, Fence]:
        await asyncio.sleep(FENCE_GATHER_S)
        del self._gathering[own]
        lasts = [(await inboxes.last_s(self._redis, other)) for other in gathering.inboxes - {own}]
        floor = max([gathering.floor, *(last + _AHEAD for last in lasts)])
        t = await inboxes.raise_above(self._redis, own, floor, gathering.margin_ms)
        return t, await self.send(secrets.token_hex(8), {own, *gathering.inboxes})

    async def send(self, name: str, targets: set[str]) -> Fence:
        """Put a fence for these inboxes into every partition of the source topics; returns its offsets.

        Raises:
            RefusedError: Kafka is away.

        """
        record = Record(type=FENCE, audience=INBOXES, fence=name, inboxes=tuple(sorted(targets)))
        posted = [
            self._producer.post(topic, record, key=0, partition=partition)
            for topic in self._topics
            for partition in range(self._producer.partitions(topic))
        ]
        counts.FENCE_RECORDS.inc(len(posted))
        return {f"{at.topic}/{at.partition}": at.offset for at in await asyncio.gather(*posted)}
