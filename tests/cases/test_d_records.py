"""D1 to D3 and E1: records that are strange, those that are poison, and the stores that say no, with a real Kafka."""

from collections import Counter
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from fanfare.bus.client import admin, connection
from fanfare.bus.consumer import Consumer, Incoming, TopicPartition
from fanfare.bus.deadletters import DEAD_POSITION, DEAD_SHORTENED
from fanfare.bus.groups import describe_groups
from fanfare.bus.producer import Producer
from fanfare.bus.read_from_offsets import read_from_offsets
from fanfare.bus.read_since import read_since
from fanfare.bus.topics import dead_letters_of
from fanfare.record import Position, Record
from tests.integration.bus_fixtures import own_topic, read, running, unique, until
from tests.integration.store_fixtures import eventually, settings_of

pytestmark = pytest.mark.system
CODECS = ("gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def settings(stores):
    return settings_of(stores.run)


@pytest.fixture
async def topic(settings):
    return await own_topic(settings)


@pytest.fixture
async def producer(settings, topic):
    producer = Producer(settings, topics=[topic])
    await producer.start()
    yield producer
    await producer.stop()


class Seen:
    """A handler that notes what it gets."""

    def __init__(self) -> None:
        self.ids: Counter[int] = Counter()

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        self.ids.update(each.record.id for each in batch)


def record(number: int) -> Record:
    return Record(type="X", id=number, payload=b'{"id":"%d"}' % number)


async def stranger(settings, topic: str, messages: list[dict[str, Any]], **options: Any) -> list[int]:
    """Somebody else's producer writes into partition 0; the offsets."""
    client = AIOKafkaProducer(**connection(settings), max_request_size=4_000_000, **options)
    await client.start()
    try:
        sent = []
        for message in messages:
            if message["value"] is None and message.get("key") is None:  # what `send` would refuse
                batch = client.create_batch()
                batch.append(**{"key": None, "timestamp": None, "headers": []} | message)
                sent.append(await client.send_batch(batch, topic, partition=0))
            else:
                sent.append(await client.send(topic, partition=0, **message))
        return [(await each).offset for each in sent]
    finally:
        await client.stop()


async def committed(settings, group: str, partition: str) -> int | None:
    """What a group has committed of a partition."""
    facts = (await describe_groups(settings)).get(group, {"partitions": {}})
    return facts["partitions"].get(partition, {"committed": None})["committed"]


@pytest.mark.parametrize("codec", CODECS)
async def test_d1_records_that_somebody_compresses_are_read(settings, topic, codec):
    """Without aiokafka's extras every worker ended at the first such record, and again after each start."""
    ids = range(1, 50)
    messages = [{"value": record(n).payload, "headers": record(n).headers()} for n in ids]
    await stranger(settings, topic, messages, compression_type=codec, linger_ms=50)
    seen = Seen()
    async with running(Consumer(settings, unique("group"), [topic], seen.handle)):
        await until(lambda: len(seen.ids) == len(ids))
    assert set(seen.ids) == set(ids)


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
async def test_d1_a_topic_that_the_broker_compresses_is_read(settings, topic, producer, codec):
    """An operator may set it while all runs."""
    seen = Seen()
    async with running(Consumer(settings, unique("group"), [topic], seen.handle)):
        await producer.send(topic, record(1), key=1)
        async with admin(settings) as client:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"compression.type": codec})
            await client.alter_configs([resource])
        for number in range(2, 30):
            await producer.send(topic, record(number), key=number)
        await until(lambda: len(seen.ids) == 29)
        # The gateway's readers, too.
        records = [each async for batch in read_since(settings, topic, 0) for each in batch]
    assert {each.record.id for each in records} == set(range(1, 30))


STRANGE = {
    "huge line": {"value": b"x" * 1_048_400},
    "no value": {"value": None},
    "nothing": {"value": None, "key": None},
    "thousands of headers": {"value": b"{}", "headers": [(f"h{n}", b"x" * 20) for n in range(5000)]},
    "one huge header": {"value": b"{}", "headers": [("h", b"x" * 900_000)]},
    "headers without values": {"value": b"{}", "headers": [("v", None), ("type", None)]},
    "a huge key": {"value": b"{}", "key": b"k" * 700_000},
    "an id that is none": {"value": b"{}", "headers": [("v", b"1"), ("type", b"X"), ("id", b"9" * 40)]},
    "another version": {"value": b"{}", "headers": [("v", b"2"), ("type", b"X")]},
    "a message without a value": {"value": None, "headers": record(7).headers()},
}


async def test_d2_strange_records_are_dead_letters_that_fit_and_the_partition_goes_on(
    settings, topic, producer
):
    """A line of 1,048,400 bytes by Kafka's console producer ended the fan-out: its dead letter was too large."""
    strange = list(STRANGE.values())
    await producer.send(topic, record(1), key=0, partition=0)
    offsets = await stranger(settings, topic, strange)
    await producer.send(topic, record(2), key=0, partition=0)
    group, seen = unique("group"), Seen()
    async with running(Consumer(settings, group, [topic], seen.handle)):
        await until(lambda: seen.ids[2])
    assert set(seen.ids) == {1, 2}
    letters = await read(settings, dead_letters_of(topic), len(strange))
    at = {str(Position(topic, 0, offset)): message for offset, message in zip(offsets, strange, strict=True)}
    for letter in letters:
        headers = dict(letter.headers)
        whole = at.pop(headers[DEAD_POSITION].decode())
        if DEAD_SHORTENED in headers:
            assert b" of " in headers[DEAD_SHORTENED]
            assert (whole["value"] or b"").startswith(letter.value)
        else:
            assert (letter.value or b"") == (whole["value"] or b"")
    assert at == {}
    assert (await describe_groups(settings))[group]["lag"] == 0


async def test_d2_a_header_whose_name_is_no_text_is_passed_by(settings, topic, producer, monkeypatch):
    """aiokafka cannot take such a record apart, and forgot what it had ready of other partitions meanwhile."""
    for number in range(1, 40):
        await producer.send(topic, record(number), key=number)
    first = await producer.send(topic, record(40), key=0, partition=0)
    with monkeypatch.context() as patched:
        _write_names_as_latin_1(patched)
        (bad,) = await stranger(settings, topic, [{"value": b"{}", "headers": [("\xff", b"x")]}])
    for number in range(41, 80):
        await producer.send(topic, record(number), key=number)
    last = await producer.send(topic, record(80), key=0, partition=0)
    assert bad == first.offset + 1
    seen, group = Seen(), unique("group")
    async with running(Consumer(settings, group, [topic], seen.handle)):
        await until(lambda: len(seen.ids) == 80)
    assert set(seen.ids.values()) == {1}
    (letter,) = await read(settings, dead_letters_of(topic), 1)
    assert dict(letter.headers)[DEAD_POSITION] == str(Position(topic, 0, bad)).encode()
    # The gateway's readers go on as well.
    records = [each.record.id async for batch in read_since(settings, topic, 0) for each in batch]
    assert sorted(records) == list(range(1, 81))
    followed: list[int] = []
    async for _, batch in read_from_offsets(settings, {TopicPartition(topic, 0): first.offset}):
        followed += [each.offset for each in batch]
        if last.offset in followed:
            break
    assert bad not in followed
    assert followed == sorted(followed)


def _write_names_as_latin_1(patched: pytest.MonkeyPatch) -> None:
    """Let aiokafka write what another client may write."""
    from aiokafka.producer import message_accumulator
    from aiokafka.record import default_records

    class Name(str):
        __slots__ = ()

        def encode(self, *_: Any, **__: Any) -> bytes:
            return str.encode(self, "latin-1")

    class Builder(default_records._DefaultRecordBatchBuilderPy):
        def append(self, offset, timestamp, key, value, headers=()):
            named = [(Name(name), content) for name, content in headers]
            return super().append(offset, timestamp, key, value, named)

    patched.setattr(message_accumulator, "DefaultRecordBatchBuilder", Builder)


async def test_d3_every_assigned_partition_has_a_committed_offset(settings, topic, producer):
    """Autoscalers take a partition without one for unknown, and some of them as all that is in the log."""
    group, seen = unique("group"), Seen()
    await producer.send(topic, record(1), key=0, partition=2)

    expected = {f"{topic}/{number}": int(number == 2) for number in range(4)}

    async def complete() -> bool:
        return {name: await committed(settings, group, name) for name in expected} == expected

    async with running(Consumer(settings, group, [topic], seen.handle)):
        await eventually(complete)


async def test_d3_a_partition_that_is_held_has_one_too_and_it_is_below_what_is_held(
    settings, topic, producer
):
    group, broken, seen = unique("group"), True, Seen()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if broken:
            raise TypeError
        await seen.handle(partition, batch)

    async def complete() -> bool:
        return await committed(settings, group, f"{topic}/1") == 0

    await producer.send(topic, record(1), key=0, partition=1)
    async with running(Consumer(settings, group, [topic], handle)):
        await eventually(complete)
        assert (await describe_groups(settings))[group]["lag"] == 1
        broken = False
        await until(lambda: seen.ids[1])


async def test_d3_a_partition_is_committed_at_what_is_kept_of_it(settings, topic, producer):
    """Not at 0, where records were deleted before anybody read them."""
    for number in range(5):
        await producer.send(topic, record(number), key=0, partition=0)
    async with admin(settings) as client:
        from aiokafka.admin import RecordsToDelete

        await client.delete_records({KafkaPartition(topic, 0): RecordsToDelete(before_offset=5)})
    group = unique("group")

    async def complete() -> bool:
        return await committed(settings, group, f"{topic}/0") == 5

    async with running(Consumer(settings, group, [topic], Seen().handle)):
        await eventually(complete)
