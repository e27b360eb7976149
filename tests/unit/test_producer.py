"""The producer's lanes, its breaker and its bound, over a client that acknowledges when it is told to."""

import asyncio
import gc
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from fanfare.bus import kafka_client
from fanfare.bus import producer as module
from fanfare.bus.growth import GrowthLog
from fanfare.bus.growth_rules import CUT_LEAD_S, Cut, Grown, Pause, Prepare
from fanfare.bus.kafka_client import StoppedError
from fanfare.bus.producer import NotHandedOverError, Producer, Raw, UnknownTopicError, partition_of
from fanfare.clock import now_s
from fanfare.constants import BREAKER_S
from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.tasks import end

TOPIC = "chat.events"


class Acknowledged(NamedTuple):
    offset: int
    timestamp: int = 0
    timestamp_type: int = 0


class Builder:
    """Stands for aiokafka's: takes three records."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.closed = False

    def append(
        self, *, timestamp: None, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
    ) -> object | None:
        if self.closed or len(self.values) == 3:
            return None
        self.values.append(value)
        return object()

    def close(self) -> None:
        self.closed = True


class Client:
    """Stands for aiokafka's producer."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.open: list[asyncio.Future[Acknowledged]] = []
        self.room = asyncio.Event()
        self.room.set()
        self.refuse: Exception | None = None
        self.stopped = False

    async def send(
        self, topic: str, *, value: bytes, key: bytes, partition: int, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Acknowledged]:
        await self.room.wait()
        if self.refuse is not None:
            raise self.refuse
        self.sent.append((partition, value))
        done: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.open.append(done)
        return done

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> asyncio.Future[Acknowledged]:
        await self.room.wait()
        self.sent += [(partition, value) for value in batch.values]
        done: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.open.append(done)
        return done

    def acknowledge(self) -> None:
        for offset, done in enumerate(self.open):
            if not done.done():
                done.set_result(Acknowledged(offset))

    async def stop(self) -> None:
        self.stopped = True
        self.acknowledge()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
async def producer(clock: Clock, client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    producer = Producer(Settings(), topics=[TOPIC], limit_bytes=10_000)

    async def find_topics() -> None:
        producer._kafka.counts = {TOPIC: 4}

    async def connect() -> Client:
        return client

    monkeypatch.setattr(producer._kafka, "_find_topics", find_topics)
    monkeypatch.setattr(producer._kafka, "_connect", connect)
    await producer.start()
    yield producer
    client.room.set()
    await producer.stop()


def record(number: int = 0, size: int = 0) -> Record:
    return Record(type="X", id=number, payload=b"%d" % number + bytes(size))


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_order_is_kept_within_a_partition(producer: Producer, client: Client) -> None:
    client.room.clear()
    waiting = [producer.post(TOPIC, record(number), key=0, partition=number % 2) for number in range(20)]
    await turn()
    assert client.sent == []
    client.room.set()
    await turn()
    for partition in (0, 1):
        assert [value for at, value in client.sent if at == partition] == [
            b"%d" % number for number in range(20) if number % 2 == partition
        ]
    client.acknowledge()
    positions = await asyncio.gather(*waiting)
    assert {position.partition for position in positions} == {0, 1}
    assert producer.unacknowledged_bytes == 0


async def test_the_answer_is_the_position(producer: Producer, client: Client) -> None:
    done = producer.post(TOPIC, record(), key=0, partition=3)
    await turn()
    client.acknowledge()
    assert await done == Position(TOPIC, 3, 0)


async def test_a_batch_is_done_when_all_of_it_is(producer: Producer, client: Client) -> None:
    client.room.clear()
    before = producer.post(TOPIC, record(100), key=0, partition=1)
    raws = [Raw([], b"%d" % number, b"key") for number in range(7)]
    done = producer.post_batch(TOPIC, raws, partition=1)
    after = producer.post(TOPIC, record(200), key=0, partition=1)
    client.room.set()
    await turn()
    assert [value for _, value in client.sent] == [b"100", *(raw.value for raw in raws), b"200"]
    assert len(client.open) == 5  # seven records are three batches of aiokafka's
    for offset in (0, 1, 2, 4):
        client.open[offset].set_result(Acknowledged(10 + offset))
    await turn()
    assert before.done()
    assert after.done()
    assert not done.done()
    client.open[3].set_result(Acknowledged(13))
    assert await done == Position(TOPIC, 1, 11)
    assert producer.unacknowledged_bytes == 0


async def test_a_batch_above_the_bound_is_taken_when_nothing_else_waits(
    producer: Producer, client: Client
) -> None:
    """A fan-out whose batch is larger than the bound would try it for ever."""
    raws = [Raw([], bytes(6_000), b"key") for _ in range(2)]
    small = producer.post(TOPIC, record(1), key=0, partition=0)
    with pytest.raises(NotHandedOverError):
        producer.post_batch(TOPIC, raws, partition=0)
    await turn()
    client.acknowledge()
    await small
    large = producer.post_batch(TOPIC, raws, partition=0)
    await turn()
    client.acknowledge()
    await large


async def test_a_batch_with_a_record_that_is_too_large_is_not_handed_over(
    producer: Producer, client: Client
) -> None:
    """The broker would refuse all of it, and nobody would know which record it was."""
    with pytest.raises(MessageSizeTooLargeError):
        producer.post_batch(TOPIC, [Raw([], b"", b""), Raw([], bytes(1 << 20), b"")], partition=0)
    await turn()
    assert client.sent == []
    assert producer.unacknowledged_bytes == 0


async def test_refuses_when_nothing_is_acknowledged(producer: Producer, client: Client, clock: Clock) -> None:
    done = producer.post(TOPIC, record(1), key=0, partition=0)
    clock.now += BREAKER_S + 0.01
    assert not producer.available
    with pytest.raises(NotHandedOverError) as refused:
        producer.post(TOPIC, record(2), key=0, partition=0)
    assert refused.value.retry_after_s > 0
    with pytest.raises(NotHandedOverError):
        producer.post(TOPIC, record(2), key=0, partition=1)
    await turn()
    client.acknowledge()
    await done
    assert producer.available
    producer.post(TOPIC, record(3), key=0, partition=0)
    await turn()
    assert [value for _, value in client.sent] == [b"1", b"3"]


async def test_one_leader_away_does_not_stop_the_others(
    producer: Producer, client: Client, clock: Clock
) -> None:
    producer.post(TOPIC, record(1), key=0, partition=0)
    clock.now += BREAKER_S / 2 + 0.1
    other = producer.post(TOPIC, record(2), key=0, partition=1)
    await turn()
    client.open[1].set_result(Acknowledged(0))
    await other
    clock.now += BREAKER_S / 2
    with pytest.raises(NotHandedOverError):
        producer.post(TOPIC, record(3), key=0, partition=0)
    producer.post(TOPIC, record(4), key=0, partition=1)


async def test_a_long_pause_is_no_outage(producer: Producer, client: Client, clock: Clock) -> None:
    clock.now += 100
    assert producer.available
    producer.post(TOPIC, record(), key=0)


async def test_the_bound_on_bytes(producer: Producer, client: Client) -> None:
    producer.post(TOPIC, record(size=9_000), key=0)
    with pytest.raises(NotHandedOverError):
        producer.post(TOPIC, record(size=1_000), key=0)
    await turn()
    client.acknowledge()
    await turn()
    producer.post(TOPIC, record(size=1_000), key=0)


async def test_unknown_topics_are_named(producer: Producer) -> None:
    with pytest.raises(UnknownTopicError, match=r"nowhere\.events"):
        producer.post("nowhere.events", record(), key=0)
    with pytest.raises(UnknownTopicError, match="partition 4"):
        producer.post(TOPIC, record(), key=0, partition=4)


async def test_one_record_that_is_too_large_fails_alone(producer: Producer, client: Client) -> None:
    client.refuse = MessageSizeTooLargeError()
    large = producer.post(TOPIC, record(1), key=0, partition=0)
    with pytest.raises(MessageSizeTooLargeError):
        await large
    client.refuse = None
    small = producer.post(TOPIC, record(2), key=0, partition=0)
    await turn()
    client.acknowledge()
    await small
    assert not client.stopped


async def test_a_refusal_for_good_starts_with_a_new_client(producer: Producer, client: Client) -> None:
    first = producer.post(TOPIC, record(1), key=0, partition=0)
    await turn()
    client.open[0].set_exception(KafkaError("out of order"))
    with pytest.raises(KafkaError):
        await first
    with pytest.raises(NotHandedOverError):  # until the new one is there, so that nothing overtakes
        producer.post(TOPIC, record(2), key=0, partition=0)
    await turn()
    assert client.stopped
    assert producer.available
    producer.post(TOPIC, record(3), key=0, partition=0)


async def test_what_is_queued_when_the_client_is_replaced_is_unknown(
    producer: Producer, client: Client
) -> None:
    """It had failed with an AttributeError, which holds a worker's partition as a fault of our own code."""
    first, second = (producer.post(TOPIC, record(number), key=0, partition=0) for number in range(2))
    producer._kafka._replace()
    for done in (first, second):
        with pytest.raises(StoppedError):
            await done
    assert client.sent == []


async def test_an_outcome_that_nobody_looks_at_is_no_noise(producer: Producer, client: Client) -> None:
    noise: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    client.refuse = KafkaError("no")
    producer.post(TOPIC, record(), key=0)
    await turn()
    client.refuse = None  # its traceback would keep the outcome alive
    gc.collect()
    assert noise == []


async def test_whoever_stops_waiting_harms_nobody(producer: Producer, client: Client) -> None:
    impatient = producer.post(TOPIC, record(1), key=0, partition=0)
    patient = producer.post(TOPIC, record(2), key=0, partition=0)
    impatient.cancel()
    await turn()
    client.acknowledge()
    await patient
    assert [value for _, value in client.sent] == [b"1", b"2"]
    assert producer.unacknowledged_bytes == 0


@given(st.integers(0, 2**63), st.integers(1, 64))
def test_keys_go_where_every_kafka_client_puts_them(key: int, count: int) -> None:
    everything = list(range(count))
    assert partition_of(key, count) == DefaultPartitioner()(str(key).encode(), everything, everything)


async def test_d4_how_far_a_brokers_clock_is_ahead(producer: Producer, client: Client) -> None:
    """Only where the broker stamps the records itself (LogAppendTime)."""
    at = []
    for kind in (1, 0):
        posted = producer.post(TOPIC, record(), key=1, partition=2)
        await turn()
        client.open[-1].set_result(Acknowledged(1, int((now_s() + 400) * 1000) * kind, kind))
        at.append(producer.ahead_s(await posted))
    assert 395 < at[0] < 405
    assert at[1] == at[0], "this one says nothing of it"


async def test_e7_a_renewal_that_is_refused_is_said_and_tried_again(
    producer: Producer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended in silence: every send was refused from then on, and the process called itself ready."""
    connect, tries = producer._kafka._connect, 0

    async def refused() -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise TopicAuthorizationFailedError("no right")
        return await connect()

    monkeypatch.setattr(producer._kafka, "_connect", refused)
    producer._kafka._replace()
    renewing = producer._kafka._renewing
    assert renewing is not None
    while not producer.problem:
        await turn()
    assert "no right" in producer.problem
    assert not producer.available
    await renewing
    assert producer.problem == ""
    assert producer.available


async def test_e7_a_renewal_that_somebody_cancels_is_said(
    producer: Producer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    watching = producer._kafka._watching = asyncio.create_task(asyncio.Event().wait())
    monkeypatch.setattr(producer._kafka, "_connect", never)
    producer._kafka._replace()
    renewing = producer._kafka._renewing
    assert renewing is not None
    await turn()
    assert producer.problem == ""
    await end((renewing,))
    assert "restart the process" in producer.problem
    await end((watching,))


async def test_e7_siblings_a_watchman_that_fails_goes_on(
    producer: Producer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look(*_: Any) -> str:
        nonlocal looks
        looks += 1
        raise AttributeError("a name that another version has not")

    monkeypatch.setattr(kafka_client, "PROBE_S", 0)
    monkeypatch.setattr(kafka_client.Stuck, "look", look)
    watching = asyncio.create_task(producer._kafka._watch())
    while looks < 3:
        await turn()
    assert not watching.done()
    await end((watching,))


class Growths(GrowthLog):
    """Of which a test says what is known, and what is found when it is asked."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.known = True
        self.found: list[Any] = []
        self.asked = 0

    def fresh(self) -> bool:
        return self.known

    async def confirm(self) -> None:
        self.asked += 1
        for step in self.found:
            self.state.take(step, 0)
        self.known = True


STEPS = [Prepare("a", TOPIC, 4, 8), Pause("a"), Cut("a"), Grown("a")]
MOVED = next(key for key in range(1, 100) if partition_of(key, 4) != partition_of(key, 8))


@pytest.fixture
async def growths(producer: Producer) -> Growths:
    producer._growth = growths = Growths()
    return growths


async def test_while_a_topic_grows_nothing_goes_into_it_by_key(producer: Producer, growths: Growths) -> None:
    """Fences do: they go into each partition, and stand in no order with messages."""
    for number, step in enumerate(STEPS):
        growths.state.take(step, 0)
        if number == 0:
            _ = producer.post(TOPIC, record(1), key=MOVED)
            continue
        # After the last step, too: until this producer knows the new partitions.
        with pytest.raises(NotHandedOverError, match="getting more partitions"):
            _ = producer.post(TOPIC, record(2), key=MOVED)
        _ = producer.post(TOPIC, record(3), key=0, partition=1)
    producer._kafka.counts = {TOPIC: 8}
    _ = producer.post(TOPIC, record(4), key=MOVED)


@pytest.mark.parametrize("late_ms", [0, 1])
async def test_who_slept_through_a_growth_asks_before_it_says_accepted(
    producer: Producer, growths: Growths, client: Client, late_ms: int
) -> None:
    """Its record may stand behind the cut, where nobody takes it."""
    done = producer.post(TOPIC, record(), key=MOVED)
    await turn()
    growths.known, growths.found = False, STEPS
    client.open[0].set_result(Acknowledged(7, int(CUT_LEAD_S * 1000) + late_ms, 1))
    await turn()
    assert growths.asked == 1
    if late_ms:
        with pytest.raises(NotHandedOverError, match="got more partitions"):
            await done
    else:
        assert (await done).offset == 7
    assert producer.unacknowledged_bytes == 0
