"""The fan-out between real topics, with a real Redis."""

import time
import uuid

import pytest

from fanfare.bus.consumer import Consumer
from fanfare.bus.producer import Producer
from fanfare.bus.topics import TopicSpec, create_topics
from fanfare.constants import NONCE_WINDOW_S
from fanfare.ids import Snowflakes
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.presence.loss_token import LossToken, loss_token
from fanfare.record import FENCE, INBOXES, Position, Record
from fanfare.retries import First
from fanout.worker import FanOut
from tests.integration.bus_fixtures import HOUR_MS, own_topic, read, running, unique
from tests.integration.store_fixtures import eventually, settings_of

pytestmark = pytest.mark.system


@pytest.fixture
def settings(stores):
    return settings_of(stores.run)


@pytest.fixture
async def redis(settings):
    redis = connect(settings)
    await redis.set(keys.nonces_ready(), await loss_token(redis))
    yield redis
    await redis.aclose()


async def held(member: Consumer) -> bool:
    return member.facts()["held"] == 1


class Pair:
    """An events topic and its deliveries, with a fan-out between them."""

    def __init__(self, settings, redis, events: str, deliveries: str, producer: Producer) -> None:
        self.settings = settings
        self.events = events
        self.deliveries = deliveries
        self.producer = producer
        self.group = unique("group")
        self.fanout = FanOut(redis, LossToken(), producer, {events: deliveries})

    def member(self, group: str = "") -> Consumer:
        return Consumer(self.settings, group or self.group, [self.events], self.fanout.handle)

    async def delivered(self, count: int):
        """The first `count` deliveries, through one member."""
        async with running(self.member()):
            return await read(self.settings, self.deliveries, count)


@pytest.fixture
async def pair(settings, redis):
    events = await own_topic(settings, "events")
    deliveries = unique("deliveries")
    await create_topics(settings, [TopicSpec(deliveries, 4, HOUR_MS)])
    producer = Producer(settings, topics=[events, deliveries])
    await producer.start()
    yield Pair(settings, redis, events, deliveries, producer)
    await producer.stop()


IDS = Snowflakes(7)


@pytest.fixture
def now_ms() -> float:
    return time.time() * 1000


def message(
    now_ms: float, nonce: str = "", author: int = 5, number: int = 0, ids: Snowflakes = IDS
) -> Record:
    return Record(
        type="MESSAGE_CREATE",
        id=ids.next(now_ms),
        guild=1,
        channel=2,
        author=author,
        nonce=nonce,
        payload=b'{"n":%d}' % number,
    )


async def test_a_delivery_is_the_event_and_its_position(pair, now_ms):
    record = message(now_ms)
    headers = [*record.headers(), ("later", b"\xff")]
    source = await pair.producer.post_raw(pair.events, headers, record.payload, key=b"2", partition=3)
    (delivery,) = await pair.delivered(1)
    assert (delivery.partition, delivery.key, delivery.value) == (3, b"2", record.payload)
    assert list(delivery.headers) == [*headers, ("source", str(source).encode())]


async def test_order_and_partition_stay(pair, now_ms):
    sent = [await pair.producer.send(pair.events, message(now_ms, number=n), key=n) for n in range(40)]
    deliveries = await pair.delivered(40)
    sources = [Record.from_kafka(each.headers, each.value).position for each in deliveries]
    assert sorted(sources) == sorted(sent)
    for partition in range(4):
        offsets = [
            at.offset for at, each in zip(sources, deliveries, strict=True) if each.partition == partition
        ]
        assert offsets == sorted(offsets)
    assert all(at.partition == each.partition for at, each in zip(sources, deliveries, strict=True))


async def test_a_repeated_send_is_delivered_once_whoever_reads_and_however_often(pair, redis, now_ms):
    nonce = uuid.uuid4().hex
    first = await pair.producer.send(pair.events, message(now_ms, nonce, number=1), key=2)
    await pair.producer.send(pair.events, message(now_ms, nonce, number=2), key=2)
    await pair.producer.send(pair.events, message(now_ms, nonce, author=6, number=3), key=2)
    await pair.producer.send(pair.events, message(now_ms, number=4), key=2)
    deliveries = await pair.delivered(3)
    assert [each.value for each in deliveries] == [b'{"n":1}', b'{"n":3}', b'{"n":4}']
    assert First.parse(await redis.get(keys.first(5, 2, nonce))).position == first
    assert 0 < await redis.ttl(keys.first(5, 2, nonce)) <= 2 * NONCE_WINDOW_S
    # Another group reads the log from its beginning: the same ones go through again.
    async with running(pair.member(unique("group"))):
        again = await read(pair.settings, pair.deliveries, 6)
    assert [each.value for each in again] == [each.value for each in deliveries] * 2


async def test_a_nonce_used_again_after_its_window_is_another_message(pair, redis, now_ms):
    # Once a nonce was forgotten its user got a new id, and the answer that the message is accepted.
    nonce = uuid.uuid4().hex
    old = message(now_ms - NONCE_WINDOW_S * 1000 - 1000, ids=Snowflakes(9))
    await redis.set(keys.first(5, 2, nonce), First(Position(pair.events, 0, 0), old.id).packed)
    again = await pair.producer.send(pair.events, message(now_ms, nonce, number=1), key=2)
    await pair.producer.send(pair.events, message(now_ms, nonce, number=2), key=2)
    await pair.producer.send(pair.events, message(now_ms, number=3), key=2)
    assert [each.value for each in await pair.delivered(2)] == [b'{"n":1}', b'{"n":3}']
    assert First.parse(await redis.get(keys.first(5, 2, nonce))).position == again


async def test_after_redis_lost_writes_nothing_goes_through_until_the_first_positions_are_back(
    pair, redis, now_ms
):
    # A repetition may be on its way while Redis forgets that the first one went through.
    nonce = uuid.uuid4().hex
    await pair.producer.send(pair.events, message(now_ms, nonce, number=1), key=2)
    await pair.delivered(1)
    standing = await redis.getdel(keys.first(5, 2, nonce))
    await redis.set(keys.nonces_ready(), "of another server")
    await pair.producer.send(pair.events, message(now_ms, nonce, number=2), key=2)
    await pair.producer.send(pair.events, message(now_ms, number=3), key=2)
    member = pair.member()
    async with running(member):
        await eventually(lambda: held(member))
        assert not await redis.exists(keys.first(5, 2, nonce)), "it did not put itself in the other's place"
        await redis.set(keys.first(5, 2, nonce), standing)
        await redis.set(keys.nonces_ready(), await loss_token(redis))
        deliveries = await read(pair.settings, pair.deliveries, 2)
    assert [each.value for each in deliveries] == [b'{"n":1}', b'{"n":3}']


async def test_what_came_too_late_is_dropped_and_changes_to_guilds_never(pair, now_ms):
    old_ms = now_ms - NONCE_WINDOW_S * 1000 - 60_000
    late = message(old_ms, "old", ids=Snowflakes(8))
    await pair.producer.send(pair.events, late, key=2)
    change = Record(
        type="GUILD_UPDATE", id=late.id, guild=1, author=1, nonce=uuid.uuid4().hex, version=3, payload=b"{}"
    )
    await pair.producer.send(pair.events, change, key=2)
    (delivery,) = await pair.delivered(1)
    assert Record.from_kafka(delivery.headers, delivery.value).type == "GUILD_UPDATE"


async def test_fences_pass_in_every_partition(pair):
    fence = Record(type=FENCE, audience=INBOXES, inboxes=("a.1", "b.2"), fence="f1")
    sent = [await pair.producer.send(pair.events, fence, key=0, partition=number) for number in range(4)]
    deliveries = await pair.delivered(4)
    found = [Record.from_kafka(each.headers, each.value) for each in deliveries]
    assert sorted(record.position for record in found) == sent
    assert {(record.fence, record.inboxes) for record in found} == {("f1", ("a.1", "b.2"))}
