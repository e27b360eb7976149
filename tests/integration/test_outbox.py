"""The relay from the outbox to guild.events, on real stores."""

import asyncio
import contextlib
from functools import partial

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from fanfare.bus.client import connection
from fanfare.bus.producer import NotHandedOverError, Producer
from fanfare.bus.read_since import nonces_since, read_since
from fanfare.bus.topics import APP_EVENTS, GUILD_EVENTS, LOCATION_EVENTS
from fanfare.location.entity import Entity
from fanfare.presence import keys
from fanfare.presence.barrier import barrier
from fanfare.presence.client import connect
from fanfare.presence.snowflake_leases import NoWorkerNumberError, SnowflakeLease
from fanfare.record import Position, Record
from fanfare.store import Store
from fanfare.store.migrate import migrate
from fanfare.store.outbox import relay
from tests.integration.store_fixtures import eventually, own_database, settings_of, snowflakes

pytestmark = pytest.mark.system
next_id = snowflakes()
SOON_S = 30


@pytest.fixture
async def settings(stores):
    settings = await own_database(settings_of(stores.run))
    await asyncio.to_thread(migrate, settings)
    return settings


@pytest.fixture
async def store(settings):
    store = await Store.connect(settings)
    yield store
    await store.close()


@pytest.fixture
async def producer(settings):
    producer = Producer(settings, topics=[GUILD_EVENTS])
    await producer.start()
    yield producer
    await producer.stop()


async def none_there(_since_ms):
    return set()


@contextlib.asynccontextmanager
async def relays(store, *producers):
    """As many relays as producers, as gateways run them."""
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(relay(store, each, stopping, none_there)) for each in producers]
    try:
        yield tasks
    finally:
        stopping.set()
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*tasks)


class Refusing:
    """A producer that refuses until it is told otherwise, and tells what it was given."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.fails = False
        self.posted: list[Record] = []
        self.acknowledged = asyncio.Event()
        self.acknowledged.set()
        self._running: set[asyncio.Task] = set()
        self._more = asyncio.Event()

    def post(self, topic, record, *, key):
        assert (topic, key) == (GUILD_EVENTS, record.guild)
        if self.refusals:
            self.refusals -= 1
            raise NotHandedOverError("Kafka is away")
        self.posted.append(record)
        self._more.set()
        done = asyncio.ensure_future(self._acknowledge(len(self.posted)))
        self._running.add(done)
        return done

    async def got(self, count):
        async with asyncio.timeout(SOON_S):
            while len(self.posted) < count:
                self._more.clear()
                await self._more.wait()

    async def _acknowledge(self, offset):
        await self.acknowledged.wait()
        if self.fails:
            raise KafkaError("not taken")
        return Position(GUILD_EVENTS, 0, offset)


async def make_changes(store, count=10) -> int:
    owner = await store.create_user(next_id(), f"owner{next_id()}")
    guild_id = (await store.create_guild(next_id, owner, "G")).guild_id
    for number in range(count - 1):
        await store.update_guild(guild_id, name=f"name {number}")
    return guild_id


async def waiting(store) -> int:
    return await store.database.value("SELECT count(*) FROM outbox")


async def emptied(store) -> None:
    async def empty() -> bool:
        return await waiting(store) == 0

    await eventually(empty)


async def log_of(settings, guild_id) -> list[Record]:
    """The guild's records in guild.events, up to its present end."""
    consumer = AIOKafkaConsumer(**connection(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(GUILD_EVENTS, number) for number in range(settings.guild_partitions)]
        consumer.assign(partitions)
        found = []
        for partition, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(partition) < end:
                found += (await consumer.getmany(partition, timeout_ms=100)).get(partition, [])
        return [
            record
            for message in found
            if (record := Record.from_kafka(message.headers, message.value)).guild == guild_id
        ]
    finally:
        await consumer.stop()


async def test_changes_reach_the_log_in_order(settings, store, producer):
    early = await make_changes(store, 30)  # before any gateway is up
    async with relays(store, producer, producer):
        late = await make_changes(store, 30)
        await emptied(store)
    for guild_id in (early, late):
        records = await log_of(settings, guild_id)
        assert [record.version for record in records] == list(range(1, 31))
        assert [record.nonce for record in records] == [f"g{n}" for n in range(1, 31)]
        assert msgspec.json.decode(records[-1].payload)["name"] == "name 28"


async def test_a_refused_row_keeps_its_place(store):
    kafka = Refusing(refusals=3)
    guild_id = await make_changes(store)
    async with relays(store, kafka):
        await emptied(store)
    assert [(r.guild, r.version) for r in kafka.posted] == [(guild_id, n) for n in range(1, 11)]


async def test_a_row_that_kafka_did_not_take_is_produced_again(store):
    kafka = Refusing()
    kafka.acknowledged.clear()
    kafka.fails = True
    guild_id = await make_changes(store)
    async with relays(store, kafka):
        await kafka.got(10)
        kafka.acknowledged.set()  # the answer is a failure, now and for the next try
        await kafka.got(20)
        kafka.fails = False
        await emptied(store)
    assert [(r.guild, r.version) for r in kafka.posted[-10:]] == [(guild_id, n) for n in range(1, 11)]


async def test_one_relay_at_a_time_and_another_takes_over(store):
    first, second = Refusing(), Refusing()
    async with relays(store, first) as tasks:
        one = await make_changes(store)
        await emptied(store)
        async with relays(store, second):
            two = await make_changes(store)
            await emptied(store)
            assert {record.guild for record in first.posted} == {one, two}
            assert second.posted == []
            # The first one's process dies: the server ends its session, and with it the lock.
            tasks[0].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tasks[0]
            tasks[0] = asyncio.ensure_future(asyncio.sleep(0))
            three = await make_changes(store)
            await emptied(store)
            assert {record.guild for record in second.posted} == {three}


async def test_a_relay_survives_the_end_of_its_connection(store):
    kafka = Refusing()
    async with relays(store, kafka):
        await make_changes(store)
        await emptied(store)
        ended = await store.database.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert ended
        two = await make_changes(store)
        await emptied(store)
    assert [r.version for r in kafka.posted if r.guild == two] == list(range(1, 11))


async def test_the_barrier_waits_for_the_version(settings):
    redis = connect(settings)
    guild_id = next_id()
    waiting = asyncio.create_task(barrier(redis, guild_id, 3, SOON_S))
    await redis.set(keys.applied(guild_id), 2)
    with pytest.raises(TimeoutError):
        await barrier(redis, guild_id, 3, 0.05)
    assert not waiting.done()
    await redis.set(keys.applied(guild_id), 3)
    await waiting
    await barrier(redis, guild_id, 3, 0.05)
    await redis.aclose()


async def test_worker_numbers_are_held_by_one(settings):
    redis = connect(settings)
    async with SnowflakeLease(redis) as one, SnowflakeLease(redis) as two:
        assert one.number != two.number
        assert await redis.pttl(keys.worker(one.number)) > 0
        ids = [worker.next_id() for _ in range(1000) for worker in (one, two)]
        assert len(set(ids)) == 2000
        held = keys.worker(one.number)
        assert await redis.exists(held)
    assert not await redis.exists(held)
    with pytest.raises(NoWorkerNumberError):
        one.next_id()
    await redis.aclose()


async def test_a_lost_worker_number_is_leased_again(settings):
    redis = connect(settings)
    async with SnowflakeLease(redis) as worker:
        first = worker.number
        await redis.delete(keys.worker(first))  # Redis was emptied
        await worker._keep()
        assert await redis.exists(keys.worker(first))
        await redis.set(keys.worker(first), "somebody else")
        await worker._keep()
        assert worker.number not in {None, first}
        assert (worker.next_id() >> 12) & 1023 == worker.number
    assert await redis.get(keys.worker(first)) == b"somebody else"
    await redis.delete(keys.worker(first))
    await redis.aclose()


async def test_what_the_app_is_told_stands_in_its_topic_once(store, settings):
    """A relay that takes over does not know what the one before it had produced, and not deleted."""
    producer = Producer(settings, topics=[GUILD_EVENTS, LOCATION_EVENTS, APP_EVENTS])
    await producer.start()
    try:
        car = Entity(id=next_id(), kind="driver", state="free")
        await store.create_entity(car)
        await store.change_entity(car.id, lambda entity: replace(entity, state="busy"))
        rows = await store.database.fetch("SELECT record FROM app_outbox ORDER BY id")
        records = [Record.unpack(row["record"]) for row in rows]
        await producer.post(APP_EVENTS, records[0], key=car.id)
        began = min(record.at for record in records) - 60_000

        async def told() -> list[str]:
            batches = [batch async for batch in read_since(settings, APP_EVENTS, began)]
            found = [incoming.record for batch in batches for incoming in batch]
            return [record.nonce for record in found if record.channel == car.id]

        stopping = asyncio.Event()
        relaying = asyncio.create_task(
            relay(store, producer, stopping, partial(nonces_since, settings, APP_EVENTS))
        )

        async def empty() -> bool:
            return not await store.database.value("SELECT count(*) FROM app_outbox")

        await eventually(empty)
        stopping.set()
        await asyncio.wait_for(relaying, SOON_S)
        assert await told() == [record.nonce for record in records] == [f"{car.id}-1-1", f"{car.id}-2-1"]
    finally:
        await producer.stop()
