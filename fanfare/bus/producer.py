"""The producer: hands records over without waiting, in order, or says at once that Kafka is away.

Built on aiokafka's idempotent producer, which keeps a record until the broker takes it (`kafka_client`). Its `send()`
is a coroutine that may wait for metadata or room; here each partition has a lane, a queue that a task drains into it
in order (`lanes`).
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from fanfare.bus import topics as bus_topics
from fanfare.bus.growth import GrowthLog
from fanfare.bus.kafka_client import KafkaClient, StoppedError, UnknownTopicError
from fanfare.bus.lanes import Headers, Item, Lane, Lanes, Raw
from fanfare.bus.names import Names
from fanfare.bus.partitions import partition_of
from fanfare.clock import now_s
from fanfare.constants import BREAKER_S, UNACKNOWLEDGED_BYTES
from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.tasks import end, retrieve
from fanfare.telemetry import metrics
from fanfare.trouble import Trouble

__all__ = ["NotHandedOverError", "Producer", "Raw", "StoppedError", "UnknownTopicError", "partition_of"]

# The most bytes of a request: just below what aiokafka and a broker take.
_REQUEST_BYTES: Final = 1_000_000
_STOP_S: Final = 5.0
_LOG_APPEND_TIME: Final = 1
_WIDEN_S: Final = 0.05


class NotHandedOverError(Exception):
    """The record was not handed over and will never appear: Kafka is away, or too much waits already."""

    trouble: Final = Trouble.AWAY

    def __init__(self, why: str, retry_after_s: float = BREAKER_S) -> None:
        """Args: retry_after_s: when to try again."""
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Producer:
    """Produces records: acks=all, idempotent, no lingering; order is kept within a partition."""

    def __init__(
        self,
        settings: Settings,
        *,
        topics: Iterable[str] | None = None,
        limit_bytes: int = UNACKNOWLEDGED_BYTES,
        growth: GrowthLog | None = None,
    ) -> None:
        """Make a producer.

        Args:
            settings: where Kafka is.
            topics: what will be produced to; default, all.
            limit_bytes: bound on what is unacknowledged.
            growth: what is known of topics that grow; without it nothing may be posted by key while one does.

        """
        known = list(topics) if topics is not None else list(bus_topics.specs(settings))
        self._names = Names(settings)
        self._growth = growth
        self._judging: set[asyncio.Task[None]] = set()
        self._lanes = lanes = Lanes(limit_bytes)
        metrics.UNACKNOWLEDGED.set_function(lambda: lanes.bytes)
        self._kafka = KafkaClient(settings, known, lambda: self._lanes.overdue(time.monotonic()))
        self._acknowledged = {name: metrics.PRODUCED.labels(name) for name in known}
        self._failed = {name: metrics.PRODUCE_FAILED.labels(name) for name in known}

    @property
    def available(self) -> bool:
        """Whether Kafka takes records, as far as is known."""
        return self._kafka.connected and not self._lanes.stalled(time.monotonic())

    @property
    def problem(self) -> str:
        """What keeps the producer from working, and does not pass by itself; '' if there is no such thing."""
        return self._kafka.problem

    @property
    def unacknowledged_bytes(self) -> int:
        """What was handed over and is not acknowledged."""
        return self._lanes.bytes

    def ahead_s(self, at: Position) -> float:
        """How far the clock of a partition's leader is ahead of ours, in seconds, by its last acknowledgement."""
        lane = self._lanes.get(at.topic, at.partition)
        return lane.ahead_s if lane is not None else 0.0

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises UnknownTopicError."""
        try:
            return self._kafka.counts[topic]
        except KeyError:
            raise UnknownTopicError(f"{topic}: `fanfare topics create` makes it") from None

    async def start(self) -> None:
        """Connect; waits as long as Kafka is away or the topics are not there, and says so once.

        Raises:
            SettingsError: there is no address, or a certificate cannot be read.
            KafkaError: Kafka refuses us for good, such as for a wrong password.

        """
        await self._kafka.start()
        await self.widen()

    async def widen(self) -> None:
        """Know all growths that were finished when this was called, and the partitions of each topic."""
        if self._growth is None:
            return
        await self._growth.confirm()
        await self._widen(self._growth)

    async def follow(self) -> None:
        """Learn of growths for ever; a supervised task."""
        assert self._growth is not None
        while True:
            with suppress(KafkaError, OSError):
                await self._widen(self._growth)
            await self._growth.news(1.0)

    async def _widen(self, growth: GrowthLog) -> None:
        while self._narrow(growth):
            await self._kafka.count()
            if self._narrow(growth):
                await asyncio.sleep(_WIDEN_S)

    def _narrow(self, growth: GrowthLog) -> bool:
        return any(
            self._kafka.counts.get(name, 1 << 30) < growth.state.count(name)
            for name in bus_topics.DELIVERIES_OF
        )

    async def has(self, topic: str, partition: int) -> None:
        """Know of a partition that a record came from, or goes to; it may be younger than this producer."""
        while partition >= self.partitions(topic):
            await self._kafka.count()
            if partition >= self.partitions(topic):
                await asyncio.sleep(_WIDEN_S)

    def base_now(self, topic: str) -> int:
        """What to add to the offsets of records that are posted now: see `State.base_now`."""
        return 0 if self._growth is None else self._growth.state.base_now(topic)

    async def stop(self) -> None:
        """Wait for what was handed over, for 5 s at the most, and disconnect."""
        await self._kafka.leave_be()
        tasks = [lane.task for lane in self._lanes if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
        await self._kafka.close()
        await end((*tasks, *self._judging))

    def post(
        self, topic: str, record: Record, *, key: int, partition: int | None = None
    ) -> asyncio.Future[Position]:
        """Hand a record over, without waiting.

        Args:
            topic: where to.
            record: the record.
            key: decides the partition, and with it what is in order with what.
            partition: instead of the key's.

        Returns:
            Its position in `topic`, once all in-sync replicas have it. A caller that stops waiting for it (cancelling
            is fine) must take the outcome as unknown. Fails with a KafkaError when Kafka refused it for good, or the
            producer was stopped before it was acknowledged.

        Raises:
            NotHandedOverError: it was not handed over.
            UnknownTopicError: the topic was not there when the producer started.

        """
        if partition is not None:
            return self.post_raw(
                topic, record.headers(), record.payload, key=str(key).encode(), partition=partition
            )
        count, growth = self.partitions(topic), self._growth
        if growth is not None and (growth.state.closed(topic) or count < growth.state.count(topic)):
            self._refuse(f"{topic} is getting more partitions")
        raw = Raw(record.headers(), record.payload, str(key).encode())
        return self._post_item(topic, [raw], partition_of(key, count), by_key=key)

    def post_raw(
        self, topic: str, headers: Headers, value: bytes, *, key: bytes, partition: int
    ) -> asyncio.Future[Position]:
        """Like `post`, for a record that is in Kafka's form already."""
        return self.post_batch(topic, [Raw(headers, value, key)], partition=partition)

    def post_batch(self, topic: str, records: Sequence[Raw], *, partition: int) -> asyncio.Future[Position]:
        """Like `post_raw`, for several records of one partition, at least one; cheaper than one after the other.

        Returns:
            The position of the first one, once all in-sync replicas have all of them.

        Raises:
            MessageSizeTooLargeError: one of them is larger than a request may be; none was handed over.

        """
        return self._post_item(topic, records, partition)

    def _post_item(
        self, topic: str, records: Sequence[Raw], partition: int, by_key: int = 0
    ) -> asyncio.Future[Position]:
        lane = self._lanes.get(topic, partition) or self._lane(topic, partition)
        if not self._kafka.connected:
            self._refuse("Kafka is away")
        loop, now = asyncio.get_running_loop(), time.monotonic()
        done: asyncio.Future[Position] = loop.create_future()
        item = Item(records, done, now, by_key)
        if why := self._lanes.refusal(lane, item.size, now):
            self._refuse(why)
        if len(records) > 1 and any(record.size > _REQUEST_BYTES for record in records):
            raise MessageSizeTooLargeError(f"a record of more than {_REQUEST_BYTES} bytes")
        done.add_done_callback(retrieve)
        self._lanes.put(lane, item)
        if lane.task is None:
            lane.task = loop.create_task(self._drain(lane), name="producer lane")
        return done

    async def send(self, topic: str, record: Record, *, key: int, partition: int | None = None) -> Position:
        """`post`, and wait for the acknowledgement."""
        return await self.post(topic, record, key=key, partition=partition)

    def _refuse(self, why: str) -> None:
        metrics.PRODUCE_REFUSED.inc()
        raise NotHandedOverError(why)

    def _lane(self, topic: str, partition: int) -> Lane:
        if not 0 <= partition < self.partitions(topic):
            raise UnknownTopicError(f"{topic} has no partition {partition}")
        return self._lanes.open(topic, self._names.kafka(topic), partition)

    async def _drain(self, lane: Lane) -> None:
        """Hand what is queued to aiokafka, in order."""
        queue = lane.queue
        try:
            while queue:
                item = queue.popleft()
                try:
                    acknowledgement = await self._kafka.hand_over(lane.name, lane.partition, item.records)
                except BaseException as error:
                    self._settle(lane, item, None, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    acknowledgement.add_done_callback(partial(self._answered, lane, item))
        finally:
            lane.task = None
            while queue:  # only when cancelled: the producer stops
                self._settle(lane, queue.popleft(), None, StoppedError())

    def _answered(self, lane: Lane, item: Item, answer: asyncio.Future[Any]) -> None:
        error = StoppedError() if answer.cancelled() else answer.exception()
        if error is not None:
            self._settle(lane, item, None, error)
            self._kafka.failed(lane.topic, error)
            return
        first = answer.result()
        if first.timestamp_type == _LOG_APPEND_TIME:
            lane.ahead_s = first.timestamp / 1000 - now_s()
            metrics.BROKER_CLOCK.set(lane.ahead_s)
        growth = self._growth
        if not item.by_key or growth is None:
            self._settle(lane, item, first.offset, None)
        elif growth.fresh():
            self._judge(growth, lane, item, first)
        else:
            # This process, or Kafka, was away for so long that the topic may have grown meanwhile.
            task = asyncio.get_running_loop().create_task(
                self._judge_later(growth, lane, item, first), name="growth asked"
            )
            self._judging.add(task)
            task.add_done_callback(self._judging.discard)

    async def _judge_later(self, growth: GrowthLog, lane: Lane, item: Item, first: Any) -> None:
        try:
            await growth.confirm()
        except asyncio.CancelledError:
            self._settle(lane, item, None, StoppedError())
            raise
        self._judge(growth, lane, item, first)

    def _judge(self, growth: GrowthLog, lane: Lane, item: Item, first: Any) -> None:
        """Settle an item that was posted by key; it came too late if the topic was cut before."""
        if growth.void(lane.topic, lane.partition, item.records[0].key, first.timestamp):
            too_late = NotHandedOverError(f"{lane.topic} got more partitions meanwhile")
            self._settle(lane, item, None, too_late)
        else:
            self._settle(lane, item, first.offset, None)

    def _settle(self, lane: Lane, item: Item, offset: int | None, error: BaseException | None) -> None:
        now = time.monotonic()
        self._lanes.settled(lane, item, now)
        if error is None and offset is not None:
            self._acknowledged[lane.topic].inc(len(item.records))
            metrics.PRODUCE_SECONDS.observe(now - item.posted)
        else:
            self._failed[lane.topic].inc(len(item.records))
        if item.done.done():
            return
        if error is None and offset is not None:
            item.done.set_result(Position(lane.topic, lane.partition, offset))
        elif isinstance(error, asyncio.CancelledError):
            item.done.cancel()
        else:
            item.done.set_exception(error or KafkaError("no offset came back"))
