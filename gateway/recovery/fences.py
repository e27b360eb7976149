"""Fences: events without a payload that show how far every partition has come (docs/design.md, section 5)."""

import asyncio
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from fanfare.bus.producer import Producer
from fanfare.constants import FENCE_GATHER_S
from fanfare.presence import inboxes
from fanfare.presence.client import Redis
from fanfare.record import FENCE, INBOXES, Record
from fanfare.tasks import retrieve
from gateway import metrics
from gateway.recovery.crossing import LastS, MarkMoved, RaiseAbove, SendFence, cross, depart
from gateway.recovery.path import Fence
from gateway.recovery.wishes import Wish, fulfil, nothing_at_once

__all__ = ["Crossing", "Fences"]


@dataclass(slots=True)
class Crossing:
    """A fence that stands in the own inbox and in others."""

    own: str
    since: int
    """The own inbox's last `s` before the fence was sent."""
    f: Fence
    moving: dict[str, dict[str, int]]
    """The sessions that come from each of the others, with the version of their moves."""
    left: "dict[str, asyncio.Task[tuple[int, int]]]" = field(default_factory=dict)
    """What `leave` answers for each of the others."""


@dataclass(slots=True)
class _Gathering:
    moving: dict[str, dict[str, int]] = field(default_factory=dict)
    done: "asyncio.Task[Crossing] | None" = None


class Fences:
    """Makes one fence for all sessions that ask within some 20 ms."""

    def __init__(self, redis: Redis, producer: Producer, topics: list[str]) -> None:
        """Args: topics: all source topics."""
        self._redis = redis
        self._producer = producer
        self._topics = topics
        self._gathering: dict[str, _Gathering] = {}

    async def join(self, own: str, other: str, session: str, version: int) -> Crossing:
        """Put a fence into the own inbox and another one, whose session comes here.

        Raises:
            InboxGoneError: the own inbox is gone.
            NotHandedOverError: Kafka is away.

        """
        gathering = self._gathering.get(own)
        if gathering is None:
            gathering = self._gathering[own] = _Gathering()
            gathering.done = asyncio.create_task(self._send(own, gathering))
            gathering.done.add_done_callback(retrieve)
        gathering.moving.setdefault(other, {})[session] = version
        assert gathering.done is not None
        return await asyncio.shield(gathering.done)

    async def leave(self, crossing: Crossing, other: str) -> tuple[int, int]:
        """Tell another node that its sessions move, and raise the own inbox above that; once for all who crossed.

        Args:
            crossing: the fence.
            other: the other inbox, which has shown the fence.

        Returns:
            `s` of the marker in the other inbox, below which the part of the sessions ends there; and T, the filler's
            `s` in the own one. The numbers below T, as many as `EARLY_NUMBERS`, are nobody's.

        Raises:
            InboxGoneError: one of the inboxes is gone.

        """
        task = crossing.left.get(other)
        if task is None:
            task = crossing.left[other] = asyncio.create_task(self._leave(crossing, other))
            task.add_done_callback(retrieve)
        return await asyncio.shield(task)

    async def _leave(self, crossing: Crossing, other: str) -> tuple[int, int]:
        steps = depart(crossing.own, other, crossing.moving[other])
        return await fulfil(steps, nothing_at_once, self._answer)

    async def _send(self, own: str, gathering: _Gathering) -> Crossing:
        await asyncio.sleep(FENCE_GATHER_S)
        del self._gathering[own]
        since, f = await fulfil(cross(own, gathering.moving), nothing_at_once, self._answer)
        return Crossing(own, since, f, gathering.moving)

    async def _answer(self, wish: Wish[Any]) -> Any:
        match wish:
            case LastS(inbox):
                return await inboxes.last_s(self._redis, inbox)
            case SendFence(targets):
                return await self.send(targets)
            case MarkMoved(inbox, sessions):
                return await inboxes.mark_moved(self._redis, inbox, sessions)
            case RaiseAbove(inbox, s, gap):
                return await inboxes.raise_above(self._redis, inbox, s, gap)
            case _:
                raise NotImplementedError(wish)

    async def send(self, targets: Collection[str]) -> tuple[str, Fence]:
        """Put a fence for these inboxes into every partition of the source topics; returns its name and its offsets.

        Raises:
            NotHandedOverError: Kafka is away.

        """
        name = secrets.token_hex(8)
        record = Record(type=FENCE, audience=INBOXES, fence=name, inboxes=tuple(sorted(targets)))
        counts = {topic: self._producer.partitions(topic) for topic in self._topics}
        posted = [
            self._producer.post(topic, record, key=0, partition=partition)
            for topic, count in counts.items()
            for partition in range(count)
        ]
        # Meanwhile: a topic may have got more partitions, and this node may not have heard of it. What stands in them
        # was accepted after that was known, so whoever registered before it was looked up is covered.
        await self._producer.widen()
        posted += [
            self._producer.post(topic, record, key=0, partition=partition)
            for topic, count in counts.items()
            for partition in range(count, self._producer.partitions(topic))
        ]
        metrics.FENCE_RECORDS.inc(len(posted))
        return name, {f"{at.topic}/{at.partition}": at.offset for at in await asyncio.gather(*posted)}
