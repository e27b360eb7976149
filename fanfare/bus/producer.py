"""The producer: hands records over without waiting, in order, or says at once that Kafka is away.

Built on aiokafka's idempotent producer, which keeps a record until the broker takes it. Its `send()` is a
coroutine that may wait for metadata or room; here each partition has a lane, a queue that a task drains into
it in order.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed
from aiokafka.partitioner import murmur2

from fanfare.bus import topics as bus_topics
from fanfare.bus.aiokafka_internals import fail_producer
from fanfare.bus.client import admin, bootstrap, connection
from fanfare.bus.names import Names
from fanfare.bus.outage import Backoff, is_outage
from fanfare.bus.stuck import PROBE_S, Stuck
from fanfare.clock import now_s
from fanfare.constants import BREAKER_S, UNACKNOWLEDGED_BYTES
from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.tasks import end, retrieve
from fanfare.telemetry import logs, metrics
from fanfare.telemetry.logs import Action
from fanfare.trouble import Trouble

__all__ = ["Producer", "Raw", "RefusedError", "StoppedError", "UnknownTopicError", "partition_of"]

# A record costs about this much besides its value.
_OVERHEAD_BYTES: Final = 256
# Records of one partition that wait while its last request is under way go out together, up to this.
_BATCH_BYTES: Final = 512 * 1024
# Just below what aiokafka, and a broker, take.
_REQUEST_BYTES: Final = 1_000_000
_STOP_S: Final = 5.0
_LOG_APPEND_TIME: Final = 1
# A connection that hangs is given up after this, and the records go out over another one.
_REQUEST_MS: Final = 10_000
# What Kafka has not acknowledged after this may never be.
_OVERDUE_S: Final = 10.0

Headers = Iterable[tuple[str, bytes]]


class RefusedError(Exception):
    """The record was not handed over and will never appear: Kafka is away, or too much waits already."""

    trouble: Final = Trouble.AWAY

    def __init__(self, why: str, retry_after_s: float = BREAKER_S) -> None:
        """Args: retry_after_s: when to try again."""
        super().__init__(why)
        self.retry_after_s = retry_after_s


class UnknownTopicError(Exception):
    """The topic was not there when the producer started: `fanfare topics create` makes it."""

    trouble: Final = Trouble.MISSING


@lru_cache(maxsize=65_536)
def partition_of(key: int, count: int) -> int:
    """The partition of a key, as every Kafka client computes it."""
    hashed: int = murmur2(str(key).encode())
    return (hashed & 0x7FFFFFFF) % count


class StoppedError(KafkaError):  # type: ignore[misc] # aiokafka is untyped
    """The record was handed over, and its acknowledgement will not come: it may stand in the log or not."""

    retriable = True


class _Lane:
    """One partition: what is queued, and since when nothing moved."""

    __slots__ = ("ahead_s", "name", "partition", "progress", "queue", "task", "topic", "waiting")

    def __init__(self, topic: str, name: str, partition: int) -> None:
        self.topic = topic
        self.name = name
        """Of the topic, in Kafka."""
        self.partition = partition
        self.queue: deque[_Item] = deque()
        self.waiting = 0
        self.progress = 0.0
        self.ahead_s = 0.0
        """How far the leader's clock was ahead of ours at the last acknowledgement, where it stamps the records."""
        self.task: asyncio.Task[None] | None = None


class Raw(NamedTuple):
    """A record in Kafka's form."""

    headers: Headers
    value: bytes
    key: bytes

    @property
    def size(self) -> int:
        """About what it takes."""
        return len(self.value) + _OVERHEAD_BYTES


class _Item:
    """Records under way together."""

    __slots__ = ("done", "posted", "records", "size")

    def __init__(self, records: Sequence[Raw], done: asyncio.Future[Position]) -> None:
        self.records = records
        self.done = done
        self.size = sum(record.size for record in records)
        self.posted = time.monotonic()


class Producer:
    """Produces records: acks=all, idempotent, no lingering; order is kept within a partition."""

    def __init__(
        self,
        settings: Settings,
        *,
        topics: Iterable[str] | None = None,
        limit_bytes: int = UNACKNOWLEDGED_BYTES,
    ) -> None:
        """Make a producer.

        Args:
            settings: where Kafka is.
            topics: what will be produced to; default, all.
            limit_bytes: bound on what is unacknowledged.

        """
        self._settings = settings
        self._topics = list(topics) if topics is not None else list(bus_topics.specs(settings))
        self._names = Names(settings)
        self._limit_bytes = limit_bytes
        self._log = logs.get("producer")
        self._client: Any = None
        self._renewing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._counts: dict[str, int] = {}
        self._waiting = 0
        self._bytes = 0
        self._progress = 0.0
        self.problem = ""
        """What keeps it from producing, and does not pass by itself; or ''."""
        self._acknowledged = {name: metrics.PRODUCED.labels(name) for name in self._topics}
        self._failed = {name: metrics.PRODUCE_FAILED.labels(name) for name in self._topics}

    @property
    def available(self) -> bool:
        """Whether Kafka takes records, as far as is known."""
        return self._client is not None and not _stalled(self._waiting, self._progress)

    @property
    def unacknowledged_bytes(self) -> int:
        """What was handed over and is not acknowledged."""
        return self._bytes

    def ahead_s(self, at: Position) -> float:
        """How far the clock of a partition's leader is ahead of ours, in seconds, by its last acknowledgement."""
        lane = self._lanes.get((at.topic, at.partition))
        return lane.ahead_s if lane is not None else 0.0

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises UnknownTopicError."""
        return self._count(topic)

    async def start(self) -> None:
        """Connect; waits as long as Kafka is away or the topics are not there, and says so once.

        Raises:
            SettingsError: there is no address, or a certificate cannot be read.
            KafkaError: Kafka refuses us for good, such as for a wrong password.

        """
        backoff = Backoff()
        while True:
            try:
                await self._find_topics()
                self._client = await self._connect()
            except UnknownTopicError as error:
                why = str(error)
            except (KafkaError, OSError) as error:
                if not is_outage(error):
                    raise
                why = f"no broker answers at {bootstrap(self._settings)}"
            else:
                break
            if backoff.first():
                self._log.warning("waiting for Kafka", action=Action.KAFKA_AWAY, why=why)
            await backoff.wait()
        if not backoff.first():
            self._log.info("Kafka is there", action=Action.KAFKA_BACK)
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="producer watch")

    async def _watch(self) -> None:
        """Replace a client that does not get on though it could."""
        stuck = Stuck(self._settings)
        while True:
            await asyncio.sleep(PROBE_S)
            client, now = self._client, time.monotonic()
            if client is None:
                stuck.replaced()
                continue
            lanes = [
                lane for lane in self._lanes.values() if lane.waiting and now - lane.progress > _OVERDUE_S
            ]
            try:
                why = await stuck.look(client, {(lane.name, lane.partition) for lane in lanes})
            except Exception as error:  # noqa: BLE001 - a watchman who dies watches nothing
                self._log.error("the producer cannot be watched", action=Action.KAFKA_AWAY, error=repr(error))
                continue
            if why and client is self._client:
                self._log.error("the producer is stuck", action=Action.KAFKA_AWAY, why=why)
                self._replace()

    async def _find_topics(self) -> None:
        async with admin(self._settings) as client:
            found = {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}
        if missing := [name for name in map(self._names.kafka, self._topics) if not found.get(name)]:
            raise UnknownTopicError(f"no topic {', '.join(missing)}: `fanfare topics create` makes them")
        self._counts = {name: found[self._names.kafka(name)] for name in self._topics}

    async def _connect(self) -> Any:
        client = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            retry_backoff_ms=50,
            request_timeout_ms=_REQUEST_MS,
            client_id=f"fanfare-{self._settings.process or 'producer'}",
        )
        try:
            await client.start()
            for name in self._topics:  # known from now on, so that send() need not wait
                await client.partitions_for(self._names.kafka(name))
        except BaseException:
            await _close(client)
            raise
        return client

    async def stop(self) -> None:
        """Wait for what was handed over, for 5 s at the most, and disconnect."""
        if self._watching is not None:
            await end((self._watching,))
        if self._renewing is not None:
            await end((self._renewing,))
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
        client, self._client = self._client, None
        if client is not None:
            await _close(client)
        await end(tasks)

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
            Its position in `topic`, once all in-sync replicas have it. Whoever stops waiting for it
            (cancelling is fine) must take the outcome as unknown. Fails with a KafkaError when Kafka refused
            it for good, or the producer was stopped before it was acknowledged.

        Raises:
            RefusedError: it was not handed over.
            UnknownTopicError: the topic was not there when the producer started.

        """
        if partition is None:
            partition = partition_of(key, self._count(topic))
        return self.post_raw(
            topic, record.headers(), record.payload, key=str(key).encode(), partition=partition
        )

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
        lane = self._lanes.get((topic, partition)) or self._lane(topic, partition)
        if self._client is None:
            self._refuse("Kafka is away")
        if _stalled(lane.waiting, lane.progress) or _stalled(self._waiting, self._progress):
            self._refuse(f"nothing was acknowledged for {BREAKER_S:.0f} s")
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        item = _Item(records, done)
        # More than the bound at once is taken when nothing else waits: it would never be otherwise.
        if self._bytes and self._bytes + item.size > self._limit_bytes:
            self._refuse(f"{self._bytes} bytes wait for their acknowledgement")
        if len(records) > 1 and any(record.size > _REQUEST_BYTES for record in records):
            raise MessageSizeTooLargeError(f"a record of more than {_REQUEST_BYTES} bytes")
        done.add_done_callback(retrieve)
        if not lane.waiting:
            lane.progress = item.posted
        if not self._waiting:
            self._progress = item.posted
        lane.waiting += 1
        self._waiting += 1
        self._bytes += item.size
        lane.queue.append(item)
        if lane.task is None:
            lane.task = asyncio.get_running_loop().create_task(self._drain(lane), name="producer lane")
        return done

    async def send(self, topic: str, record: Record, *, key: int, partition: int | None = None) -> Position:
        """`post`, and wait for the acknowledgement."""
        return await self.post(topic, record, key=key, partition=partition)

    def _refuse(self, why: str) -> None:
        metrics.PRODUCE_REFUSED.inc()
        raise RefusedError(why)

    def _count(self, topic: str) -> int:
        try:
            return self._counts[topic]
        except KeyError:
            raise UnknownTopicError(f"{topic}: `fanfare topics create` makes it") from None

    def _lane(self, topic: str, partition: int) -> _Lane:
        if not 0 <= partition < self._count(topic):
            raise UnknownTopicError(f"{topic} has no partition {partition}")
        lane = self._lanes[(topic, partition)] = _Lane(topic, self._names.kafka(topic), partition)
        return lane

    async def _drain(self, lane: _Lane) -> None:
        """Hand what is queued to aiokafka, in order; waits where its buffer for the partition is full."""
        queue = lane.queue
        try:
            while queue:
                item = queue.popleft()
                try:
                    acknowledgement = await self._hand_over(lane, item.records)
                except ProducerClosed:  # the client was replaced while this waited for room
                    self._settle(lane, item, None, StoppedError("the producer was stopped"))
                except BaseException as error:
                    self._settle(lane, item, None, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    acknowledgement.add_done_callback(partial(self._answered, lane, item))
        finally:
            lane.task = None
            while queue:  # only when cancelled: the producer stops
                self._settle(lane, queue.popleft(), None, StoppedError("the producer was stopped"))

    async def _hand_over(self, lane: _Lane, records: Sequence[Raw]) -> asyncio.Future[Any]:
        """Give records to aiokafka; the future of what it says of the first of them, when it has said it of all."""
        if len(records) == 1:
            # Alone: aiokafka puts it into the batch that waits, where there is one.
            (one,) = records
            sent: asyncio.Future[Any] = await self._client.send(
                lane.name, value=one.value, key=one.key, partition=lane.partition, headers=list(one.headers)
            )
            return sent
        parts = []
        builder = self._client.create_batch()
        for record in records:
            fields = {"timestamp": None, "key": record.key, "value": record.value}
            headers = list(record.headers)
            if builder.append(headers=headers, **fields) is None:  # it is full
                parts.append(await self._client.send_batch(builder, lane.name, partition=lane.partition))
                builder = self._client.create_batch()
                builder.append(headers=headers, **fields)
        builder.close()  # the sender may take it at any time
        parts.append(await self._client.send_batch(builder, lane.name, partition=lane.partition))
        return asyncio.ensure_future(_first(parts))

    def _answered(self, lane: _Lane, item: _Item, answer: asyncio.Future[Any]) -> None:
        error = StoppedError("the producer was stopped") if answer.cancelled() else answer.exception()
        if error is None and answer.result().timestamp_type == _LOG_APPEND_TIME:
            lane.ahead_s = answer.result().timestamp / 1000 - now_s()
            metrics.BROKER_CLOCK.set(lane.ahead_s)
        self._settle(lane, item, None if error else answer.result().offset, error)
        if error is not None and self._client is not None and self._renewing is None:
            # The broker now misses one of aiokafka's sequence numbers and would refuse all that follow.
            self._log.error(
                "Kafka refused a record", action=Action.KAFKA_AWAY, topic=lane.topic, error=repr(error)
            )
            self._replace()

    def _replace(self) -> None:
        """Put another client in the place of the present one."""
        client, self._client = self._client, None
        self._renewing = asyncio.get_running_loop().create_task(self._renew(client), name="producer renewal")

    def _settle(self, lane: _Lane, item: _Item, offset: int | None, error: BaseException | None) -> None:
        now = time.monotonic()
        lane.waiting -= 1
        self._waiting -= 1
        self._bytes -= item.size
        lane.progress = self._progress = now
        metrics.UNACKNOWLEDGED.set(self._bytes)
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

    async def _renew(self, old: Any) -> None:
        """Start with a new producer id; posts are refused meanwhile, so that order is kept.

        `start` waits while Kafka is away. Whatever else keeps it is said, and tried again: nobody else would notice.
        """
        backoff = Backoff()
        try:
            await _close(old)
            while True:
                try:
                    await self.start()
                except Exception as error:  # noqa: BLE001 - see above
                    self.problem = f"the producer cannot connect again: {error!r}"
                    if backoff.first():
                        self._log.error("not connected again", action=Action.KAFKA_AWAY, error=repr(error))
                    await backoff.wait()
                else:
                    self.problem = ""
                    return
        finally:
            self._renewing = None


async def _first(parts: Sequence[asyncio.Future[Any]]) -> Any:
    """What was said of the first, when something was said of all."""
    return (await asyncio.gather(*parts))[0]


def _stalled(waiting: int, progress: float) -> bool:
    return waiting > 0 and time.monotonic() - progress > BREAKER_S


async def _close(client: Any) -> None:
    """Stop an aiokafka producer; what Kafka has not taken after 5 s is given up."""
    try:
        await asyncio.wait_for(client.stop(), _STOP_S)
    except TimeoutError:
        await fail_producer(client, StoppedError("the producer was stopped"))
