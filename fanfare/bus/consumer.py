"""The consume loop, written once for every worker.

One task fetches and puts what came into a lane per partition; each lane has one batch in flight, so order
within a partition is kept. What a batch's handler has finished is committed about once a second, when
partitions are taken away, and at the end; never for partitions that were lost. A partition without records gets a
committed offset too, so that a tool that watches the group sees a lag of 0, and not an unknown one. What happens to a
batch that fails is in `batches`.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, InvalidSessionTimeoutError, KafkaError

from fanfare.bus.aiokafka_internals import consumer_tasks, is_member, look_for_partitions, replace_send
from fanfare.bus.batches import (
    BROUGHT_BACK,
    BatchRunner,
    Handler,
    Incoming,
    Orders,
    PoisonError,
    TopicPartition,
)
from fanfare.bus.careful import Careful
from fanfare.bus.client import admin, bootstrap, connection
from fanfare.bus.deadletters import DeadLetters
from fanfare.bus.fetch_sessions import FetchSessions
from fanfare.bus.growth import GrowthLog
from fanfare.bus.growth_rules import Phase
from fanfare.bus.names import Names
from fanfare.bus.outage import Backoff, is_outage
from fanfare.bus.stuck import ended
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.constants import COMMIT_INTERVAL_S, HEARTBEAT_MS
from fanfare.diagnosis import trouble_of
from fanfare.errors import FatalError
from fanfare.settings import Settings
from fanfare.tasks import end, together
from fanfare.telemetry import logs, metrics
from fanfare.telemetry.logs import Action
from fanfare.trouble import Trouble

__all__ = ["Consumer", "Handler", "Incoming", "PoisonError", "TopicPartition"]

# A lane that holds this many records is not fetched for until it holds less than a batch.
_LANE_RECORDS: Final = 2000
# The broker answers a fetch after this, even if it has no records. It is also how long a fetch of a partition that was
# just assigned or resumed can wait behind the one before it, because a broker takes one request of a connection at a
# time.
_FETCH_WAIT_MS: Final = 50
# A handler that gathers asks the broker to hold an answer until it has this much, or `gather_ms` is over.
_GATHERED_BYTES: Final = 256 * 1024
# When partitions are taken away the batch in flight gets this long; the whole group waits for it.
_REVOKE_S: Final = 1.0
# How long to wait for a partition's position, which a client knows soon after it was assigned.
_POSITION_S: Final = 0.5
# An error of fetching is over when it has not been seen again for this long.
_FETCHES_S: Final = 3.0
_FETCH_BACKOFF_S: Final = 2.0
# The name of fetching itself, where holds are reported.
_KAFKA: Final = "reading from Kafka"
# Waiting does not mend these kinds of trouble; a new process may.
_HOPELESS: Final = frozenset({Trouble.REFUSED, Trouble.CODE})
_STOP_S: Final = 2.0
_COMMIT_OFTEN_S: Final = 0.05


class _Lane:
    """One partition of this member."""

    __slots__ = (
        "closing",
        "committed",
        "done",
        "expected",
        "partition",
        "paused",
        "queue",
        "runner",
        "task",
        "wake",
    )

    def __init__(self, partition: TopicPartition, runner: BatchRunner) -> None:
        self.partition = partition
        self.runner = runner
        self.queue: deque[Any] = deque()
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.closing = False
        self.paused = False
        self.expected: int | None = None
        self.done: int | None = None
        """The offset to commit: of the first record that is not finished."""
        self.committed: int | None = None


class Consumer:
    """A member of a consumer group."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Iterable[str],
        handler: Handler,
        *,
        batch_records: int | None = None,
        gather_ms: int = 0,
        told_to_bury: Orders | None = None,
        safe: Callable[[TopicPartition], int | None] | None = None,
        before_commit: Callable[[], Awaitable[None]] | None = None,
        growth: GrowthLog | None = None,
    ) -> None:
        """Make a member; `run` joins.

        Args:
            settings: where Kafka is.
            group: the group's name.
            topics: what it reads, all members the same. Records of topics that end in `.events` get their own
                position as source position; others carry it.
            handler: gets the batches of a partition one after the other, those of different partitions at
                once. It returns when downstream holds the batch. A batch can come again, also in part, so
                repeating it must be harmless.
            batch_records: the most records in a batch, instead of what the settings say.
            gather_ms: how long records may wait at the broker for more, for work that is cheaper in large batches.
            told_to_bury: asked while a record holds its partition; by default nobody can order that.
            safe: for a handler that returns before downstream holds a batch: up to which offset of a partition it
                does; None: all that was handled.
            before_commit: called when partitions are given back or this member leaves: the last chance to make what
                was handled safe.
            growth: what is known of topics that grow; without it new partitions are found late.

        """
        self._safe = safe or _all_is
        self._before_commit = before_commit
        self._settings = settings
        self._group = group
        self._topics = list(topics)
        self._names = Names(settings)
        self._batch_records = batch_records or settings.batch_records
        self._gather_ms = gather_ms
        self._growth = growth
        self._pairs = {
            source: [name for name in (source, DELIVERIES_OF[source]) if name in self._topics]
            for source in DELIVERIES_OF
        }
        self._log = logs.get("consumer").bind(group=group)
        self._dead_letters = DeadLetters(settings, group, self._topics)
        self._runner = BatchRunner(group, handler, self._dead_letters, self._log, told_to_bury)
        self._holds = self._runner.holds
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._client: Any = None
        self._counted: dict[str, int] = {}
        self._reader = Careful(None)
        self._joined = False
        self._died: asyncio.Future[None] | None = None
        self._assigned = metrics.ASSIGNED.labels(group)

    @property
    def joined(self) -> bool:
        """Whether this member is in its group and not in the middle of a rebalance."""
        return self._joined

    def facts(self) -> dict[str, object]:
        """What /status shows of it."""
        return {
            "group": self._group,
            "assigned": sorted(f"{topic}/{partition}" for topic, partition in self._lanes),
            "held": len(self._holds),
        }

    def problem(self) -> str:
        """Why work does not get on though this member is in its group; '' if it does."""
        return self._holds.problem()

    async def run(self, stopping: asyncio.Event) -> None:
        """Join the group and work until `stopping` is set; then finish the batches in flight, commit, leave.

        Raises:
            FatalError: this member cannot go on: the settings do not suit the broker, or the coordinator said
                something that waiting does not mend.

        """
        stop = asyncio.create_task(stopping.wait(), name="consumer stop")
        self._died = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(self._work(), name=f"consumer {self._group}")
        try:
            await asyncio.wait((work, stop, self._died), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end((stop, work))
            await self._leave()
        if self._died.done():
            self._died.result()
        elif not work.cancelled():
            self._died.cancel()
            work.result()
        elif not stopping.is_set():
            raise FatalError(f"{work.get_name()} was cancelled, and not by us")

    async def _work(self) -> None:
        await self._join()
        await together(self._fetch(), self._commit_each_second())

    async def _join(self) -> None:
        """Join the group; waits as long as Kafka is away or the topics are not there, and says so once."""
        backoff = Backoff()
        while True:
            try:
                if missing := await self._missing():
                    why = f"no topic {', '.join(missing)}: `fanfare topics create` makes them"
                else:
                    await self._start()
                    break
            except InvalidSessionTimeoutError:
                raise self._session_timeout() from None
            except (KafkaError, OSError) as error:
                if trouble_of(error) in _HOPELESS:
                    raise FatalError(
                        f"Kafka does not let the group {self._group} join: {error!r}{self._twin()}"
                    ) from error
                away = is_outage(error)
                why = f"no broker answers at {bootstrap(self._settings)}" if away else repr(error)
                if not away:
                    self._holds.hold(_KAFKA, error)
            if backoff.first():
                self._log.warning("waiting for Kafka", action=Action.KAFKA_AWAY, why=why)
            await backoff.wait()
        self._holds.release(_KAFKA)
        if not backoff.first():
            self._log.info("Kafka is there", action=Action.KAFKA_BACK)

    async def _start(self) -> None:
        """Join the group with a new client."""
        self._client = self._make()
        self._reader = Careful(self._client, self._unreadable)
        try:
            await self._client.start()
        except Exception:
            client, self._client = self._client, None
            with contextlib.suppress(KafkaError):
                await client.stop()
            raise

    async def _unreadable(self, at: Any, offset: int, error: UnicodeDecodeError) -> None:
        """Set a record aside that the client cannot take apart."""
        partition = self._names.back(at)
        if partition in self._lanes:
            await self._runner.unreadable(partition, offset, error)

    async def _missing(self) -> list[str]:
        """Topics that do not exist; subscribing could make them, with wrong settings."""
        async with admin(self._settings) as client:
            there = set(await client.list_topics())
        return [name for topic in self._topics if (name := self._names.kafka(topic)) not in there]

    def _make(self) -> Any:
        client = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=self._names.kafka(self._group),
            # With one, the group waits for this member instead of giving its partitions to others when it leaves.
            group_instance_id=self._settings.instance or None,
            client_id=self._settings.process or f"fanfare-{self._group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # With more than one, aiokafka goes through a rebalance for each.
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, self._settings.session_timeout_ms // 3),
            # A lane that is held must not cost the membership.
            max_poll_interval_ms=2**31 - 1,
            fetch_max_wait_ms=self._gather_ms or _FETCH_WAIT_MS,
            fetch_min_bytes=_GATHERED_BYTES if self._gather_ms else 1,
            fetch_max_bytes=8 * 1024 * 1024,
            max_partition_fetch_bytes=512 * 1024,
            retry_backoff_ms=50,
        )
        replace_send(client, lambda send: FetchSessions(send).send)
        client.subscribe([self._names.kafka(topic) for topic in self._topics], listener=_Listener(self))
        return client

    def _twin(self) -> str:
        """What may be wrong where this is a static member: aiokafka 0.14 does not know the error that brokers give."""
        name = self._settings.instance
        return f"; is another process FANFARE_INSTANCE={name}, too?" if name else ""

    def _session_timeout(self) -> FatalError:
        return FatalError(
            f"the brokers refuse a session timeout of {self._settings.session_timeout_ms} ms: set "
            "FANFARE_SESSION_TIMEOUT_MS to at least their group.min.session.timeout.ms (6000 by default), "
            "or lower that"
        )

    async def _fetch(self) -> None:
        """Fetch for ever."""
        backoff, failed_s = Backoff(_FETCH_BACKOFF_S), 0.0
        while True:
            try:
                fetched = await self._reader.getmany(timeout_ms=1000)
            except InvalidSessionTimeoutError:
                raise self._session_timeout() from None
            except KafkaError as error:
                if trouble_of(error) in _HOPELESS:
                    # Such as a fenced instance: aiokafka would wait for ever for someone to look at it.
                    raise FatalError(f"consumer group {self._group}: {error!r}{self._twin()}") from error
                failed_s = time.monotonic()
                self._holds.hold(_KAFKA, error)
                await backoff.wait()
                continue
            # One good call does not end it: `getmany` raises one topic's error in turn with the records of others.
            if time.monotonic() - failed_s > _FETCHES_S:
                backoff = Backoff(_FETCH_BACKOFF_S)
                self._holds.release(_KAFKA)
            # No await between taking the records out of the client and this: so they belong to these lanes.
            for partition, messages in fetched.items():
                lane = self._lanes.get(self._names.back(partition))
                if lane is not None and not lane.closing:
                    self._put(lane, messages)

    def _put(self, lane: _Lane, messages: Sequence[Any]) -> None:
        first = messages[0].offset
        if lane.done is None:
            lane.done = first
        if lane.expected is not None and first > lane.expected:
            skipped = first - lane.expected
            metrics.SKIPPED.labels(self._group, lane.partition.topic).inc(skipped)
            self._log.error(
                "the log was deleted before it was read",
                action=Action.SKIP,
                partition=str(lane.partition),
                records=skipped,
            )
        lane.expected = messages[-1].offset + 1
        lane.queue.extend(messages)
        lane.wake.set()
        if len(lane.queue) >= _LANE_RECORDS and not lane.paused:
            lane.paused = True
            self._client.pause(self._names.partition(lane.partition))

    async def _process(self, lane: _Lane) -> None:
        """Run the batches of a lane one after the other, until it is closed."""
        queue = lane.queue
        while not lane.closing:
            if not queue:
                lane.wake.clear()
                await lane.wake.wait()
                continue
            messages = [queue.popleft() for _ in range(min(len(queue), self._batch_records))]
            if lane.paused and len(queue) < self._batch_records:
                lane.paused = False
                self._client.resume(self._names.partition(lane.partition))
            last = messages[-1].offset
            if self._growth is not None and lane.partition.topic in DELIVERIES_OF:
                messages = await self._not_void(self._growth, lane.partition, messages)
            if messages:
                await lane.runner.run(lane.partition, messages)
            lane.done = last + 1

    async def _not_void(self, growth: GrowthLog, partition: TopicPartition, messages: list[Any]) -> list[Any]:
        """Those of the messages that were not written with an old number of partitions after a growth."""
        if not growth.fresh():
            await growth.confirm()
        if not growth.state.cuts(partition.topic):
            return messages
        topic, number = partition
        kept = [
            one
            for one in messages
            # What is brought back comes into its old partition, and is promised no order.
            if not growth.void(topic, number, one.key, one.timestamp) or one.headers[0][0] == BROUGHT_BACK
        ]
        if len(kept) < len(messages):
            self._log.warning(
                "records passed by: they were written with an old number of partitions",
                action=Action.DROP,
                partition=str(partition),
                records=len(messages) - len(kept),
            )
        return kept

    async def _look_for_partitions(self, growth: GrowthLog) -> None:
        """While a pair of ours grows, find its new partitions at once, so that the group shares them out."""
        going = growth.state.under_way
        for source, topics in self._pairs.items():
            wanted = growth.state.count(source)
            if going is not None and going.topic == source and going.phase is Phase.CUT:
                wanted = going.new
            for topic in topics:
                if self._counted.get(topic, 1) < wanted:
                    with contextlib.suppress(KafkaError, OSError):
                        self._counted[topic] = await look_for_partitions(
                            self._client, self._names.kafka(topic)
                        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note that a lane's task ended before its time: then the whole member ends."""
        if self._death.done():
            return
        if task.cancelled():
            if any(lane.task is task and not lane.closing for lane in self._lanes.values()):
                self._death.set_exception(FatalError(f"{task.get_name()} was cancelled, and not by us"))
        elif (error := task.exception()) is not None:
            self._death.set_exception(error)

    @property
    def _death(self) -> asyncio.Future[None]:
        assert self._died is not None
        return self._died

    def assigned(self, partitions: Iterable[Any]) -> None:
        """Take note of the partitions, aiokafka's, that this member has from now on."""
        ours = map(self._names.back, partitions)
        self._lanes = {partition: _Lane(partition, self._runner) for partition in ours}
        for lane in self._lanes.values():
            lane.task = asyncio.create_task(self._process(lane), name=f"lane {lane.partition}")
            lane.task.add_done_callback(self._ended)
        self._reader.begin({})
        self._joined = True
        self._assigned.set(len(self._lanes))
        metrics.REBALANCES.labels(self._group).inc()
        self._log.info(
            "partitions assigned",
            action=Action.ASSIGN,
            partitions=sorted(f"{topic}/{number}" for topic, number in self._lanes),
        )

    async def revoked(self) -> None:
        """Give all partitions back: finish what is in flight and commit, if they are still ours."""
        lanes = await self._close_lanes(_REVOKE_S)
        if not is_member(self._client):
            self._log.warning("partitions lost", action=Action.REVOKE, count=len(lanes))
        else:
            await self._made_safe(_REVOKE_S)
            await self._commit(lanes, _REVOKE_S)

    async def _close_lanes(self, timeout: float) -> list[_Lane]:
        """Let no lane begin another batch, and wait for the batches in flight; held batches are cancelled."""
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.closing = True
            lane.wake.set()
            with contextlib.suppress(KeyError):
                metrics.LAG.remove(self._group, lane.partition.topic, str(lane.partition.partition))
        running = {lane: lane.task for lane in lanes if lane.task is not None}
        tasks = list(running.values())
        if tasks:
            for lane, task in running.items():
                if self._runner.is_held(lane.partition):
                    task.cancel()
            _, late = await asyncio.wait(tasks, timeout=timeout)
            await end(late)
        self._lanes = {}
        self._joined = False
        self._assigned.set(0)
        return lanes

    async def _commit_each_second(self) -> None:
        while True:
            growth = self._growth
            if growth is None:
                await asyncio.sleep(COMMIT_INTERVAL_S)
            elif growth.state.news(source for source, topics in self._pairs.items() if topics):
                # Somebody waits until we are done with what is there.
                await asyncio.sleep(_COMMIT_OFTEN_S)
            else:
                await growth.news(COMMIT_INTERVAL_S)
            if growth is not None:
                await self._look_for_partitions(growth)
            if why := ended(consumer_tasks(self._client)):
                raise FatalError(f"the consumer of {self._group} is stuck: {why}")
            lanes = list(self._lanes.values())
            for lane in lanes:
                high = self._client.highwater(self._names.partition(lane.partition))
                if high is not None and lane.expected is not None:
                    behind = high - (lane.done if lane.done is not None else lane.expected - len(lane.queue))
                    self._lag(lane).set(max(behind, 0))
            await self._begin(lane for lane in lanes if lane.done is None and not lane.closing)
            await self._commit(lanes, None)

    async def _begin(self, lanes: Iterable[_Lane]) -> None:
        """For each lane without records so far, note where it begins, so that this offset is committed."""
        for lane in lanes:
            with contextlib.suppress(KafkaError, TimeoutError):
                begin = await asyncio.wait_for(
                    self._client.position(self._names.partition(lane.partition)), _POSITION_S
                )
                if lane.done is None and not lane.closing:
                    lane.done = begin

    def _done(self, lane: _Lane) -> int | None:
        """The offset to commit."""
        if lane.done is None or (safe := self._safe(lane.partition)) is None:
            return lane.done
        return min(lane.done, safe)

    async def _made_safe(self, timeout: float) -> None:
        if self._before_commit is not None:
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(self._before_commit(), timeout)

    def _lag(self, lane: _Lane) -> Any:
        return metrics.LAG.labels(self._group, lane.partition.topic, str(lane.partition.partition))

    async def _commit(self, lanes: Iterable[_Lane], timeout: float | None) -> None:
        """Commit what is finished. A failure does no harm: the commit is tried again, and repeated work is dropped."""
        due = {
            lane: done for lane in lanes if (done := self._done(lane)) is not None and done != lane.committed
        }
        if not due:
            return
        offsets = {self._names.partition(lane.partition): done for lane, done in due.items()}
        try:
            await asyncio.wait_for(self._client.commit(offsets), timeout)
        except (CommitFailedError, IllegalStateError):
            outcome = "rebalance"  # the partitions go to other members, which do this work again
        except (KafkaError, TimeoutError) as error:
            outcome = "error"
            self._log.warning("commit failed", action=Action.COMMIT_FAILED, error=repr(error))
        else:
            outcome = "ok"
            for lane, done in due.items():
                lane.committed = done
        metrics.COMMITS.labels(self._group, outcome).inc()

    async def _leave(self) -> None:
        """Finish what is in flight, commit, leave the group."""
        if self._client is None:
            return
        lanes = await self._close_lanes(_STOP_S)
        await self._made_safe(_STOP_S)
        await self._commit(lanes, _STOP_S)
        client, self._client = self._client, None
        try:
            await asyncio.wait_for(client.stop(), _STOP_S)
        except (KafkaError, TimeoutError) as error:
            self._log.warning("leaving the group failed", action=Action.STOP, error=repr(error))
        await self._dead_letters.stop()


def _all_is(_: TopicPartition) -> None:
    """Of a handler that returns when downstream holds the batch."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """What aiokafka calls in a rebalance."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        if revoked:
            await self._consumer.revoked()

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._consumer.assigned(assigned)
