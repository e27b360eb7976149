"""The archiver on real stores: the log ends up in the database, once, whatever is read again."""

import asyncio
import os
import random
import signal
import sys
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from archiver.postgres import GROUP, PostgresSink
from archiver.recent import Trimmer
from archiver.rows import Logged
from fanfare.bus.client import admin, connection
from fanfare.bus.consumer import Consumer, Incoming, TopicPartition
from fanfare.bus.producer import Producer
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.constants import RECENT_KEPT
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.record import FENCE, INBOXES, Record
from fanfare.store import Store, StoreUnavailableError
from fanfare.store.database import Database
from fanfare.store.migrate import migrate
from tests.integration.store_fixtures import Gate, eventually, own_database, settings_of, snowflakes
from tests.unit.test_archiver_rows import (
    MADE_MS,
    WINDOW_MS,
    Draft,
    change,
    create,
    logged,
    one_by_one,
    positions,
    snowflake,
)

pytestmark = pytest.mark.system
next_id = snowflakes()
CHAT = TopicPartition(CHAT_EVENTS, 0)
LOCATION = TopicPartition(LOCATION_EVENTS, 0)


@pytest.fixture
async def settings(stores):
    settings = await own_database(settings_of(stores.run, internal_port=0))
    await asyncio.to_thread(migrate, settings)
    return settings


@pytest.fixture
async def database(settings):
    database = await Database.connect(settings)
    yield database
    await database.close()


@pytest.fixture
def sink(settings, database):
    return PostgresSink(database, settings)


@pytest.fixture
async def redis(settings):
    redis = connect(settings)
    yield redis
    await redis.aclose()


def incoming(log: list[Logged]) -> list[Incoming]:
    return [Incoming(entry.record, entry.offset, entry.appended_ms, b"", ()) for entry in log]


async def table(database: Database) -> list[tuple]:
    rows = await database.fetch("SELECT * FROM messages ORDER BY channel_id, id")
    return [tuple(row) for row in rows]


def message(channel: int, text: str, *, author: int = 5, nonce: str = "") -> Record:
    ident = next_id()
    return Record(
        type="MESSAGE_CREATE",
        id=ident,
        channel=channel,
        author=author,
        nonce=nonce,
        payload=b'{"id":"%d","content":"%s"}' % (ident, text.encode()),
    )


async def test_the_sql_does_what_the_rules_say(database, sink):
    """The rules are tested by themselves; here the tables and the SQL are held against them."""
    dice = random.Random(7)
    for _ in range(60):
        await database.value("TRUNCATE messages")
        log = _random_log(dice)
        expected = {}
        one_by_one(expected, log)
        begin = 0
        while begin < len(log):
            size = dice.randint(1, 9)
            await sink.handle(CHAT, incoming(log[begin : begin + size]))
            # Some of it comes again, as after a crash.
            begin = max(begin + size - dice.choice([0, 0, 3]), begin + 1)
        assert await table(database) == sorted(expected.values())
        await sink.handle(CHAT, incoming(log))
        assert await table(database) == sorted(expected.values())


def _random_log(dice: random.Random) -> list[Logged]:
    kinds = ["MESSAGE_CREATE"] * 3 + ["MESSAGE_UPDATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK"]
    return logged(
        [
            Draft(
                dice.choice(kinds),
                dice.randint(1, 2),
                dice.randrange(len(MADE_MS)),
                dice.randint(5, 6),
                dice.choice(["", "n", "m"]),
                dice.choice([0, 0, 0, WINDOW_MS + 1]),
            )
            for _ in range(dice.randint(1, 30))
        ]
    )


async def test_bodies_come_back_byte_for_byte(settings, sink):
    channel, body = next_id(), '{"content":"\\u0000 \\ud83d ü 🎉","n":1.0}'.encode()
    nonce = "zero \x00 byte"
    log = [create(1, snowflake(0), channel=channel, nonce=nonce, body=body)]
    await sink.handle(CHAT, incoming(log))
    store = await Store.connect(settings)
    assert await store.message(channel, snowflake(0)) == body
    await store.close()


async def test_two_workers_at_the_same_batch(settings, database):
    """One of them has lost the partition and does not know it yet."""
    log = [create(n, snowflake(n), nonce=f"{n % 40}") for n in range(200)]
    log += [change("MESSAGE_UPDATE", 200 + n, snowflake(n)) for n in range(0, 200, 3)]
    log += [change("MESSAGE_DELETE", 400 + n, snowflake(n)) for n in range(0, 200, 7)]
    expected = {}
    one_by_one(expected, log)
    other = await Database.connect(settings)

    async def work(database: Database) -> None:
        for begin in range(0, len(log), 20):
            while True:
                try:
                    await PostgresSink(database, settings).handle(CHAT, incoming(log[begin : begin + 20]))
                except StoreUnavailableError:  # a deadlock: again, as the consume loop does
                    continue
                break

    await asyncio.gather(work(database), work(other))
    assert await table(database) == sorted(expected.values())
    await other.close()


async def test_positions_are_all_kept_once(database, sink):
    entities, now = [next_id(), next_id()], int(time.time() * 1000)
    log = [positions(n, [(entity, now + n, n) for entity in entities], now) for n in range(50)]
    log.append(Logged(Record(type=FENCE, audience=INBOXES, fence="f", inboxes=("a.0",)), 50, 1))
    log.append(positions(51, [(entities[0], now + 3, 3), (entities[0], now + 3, 4)], now))
    for batch in (log[:30], log[20:], log):
        await sink.handle(LOCATION, incoming(batch))
    rows = await database.fetch("SELECT entity_id, at_ms, seq FROM positions ORDER BY entity_id, at_ms, seq")
    expected = {(entity, now + n, n) for entity in entities for n in range(50)} | {(entities[0], now + 3, 4)}
    assert [tuple(row) for row in rows] == sorted(expected)


async def test_a_batch_without_messages_needs_no_database(settings):
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    away = await Database.connect(settings.model_copy(update={"postgres": type(settings.postgres)(url)}))
    typing = Logged(Record(type="TYPING_START", channel=1, payload=b"{}"), 1, 1)
    await PostgresSink(away, settings).handle(CHAT, incoming([typing]))
    with pytest.raises(StoreUnavailableError):
        await PostgresSink(away, settings).handle(CHAT, incoming([create(1, snowflake(0))]))
    await away.close()


async def test_a_cache_keeps_what_the_database_has_not(redis):
    channel = next_id()
    ids = [next_id() for _ in range(RECENT_KEPT + 30)]
    recent, bodies = keys.recent(channel), keys.recent_bodies(channel)
    await redis.zadd(recent, {str(ident): ident for ident in ids})
    await redis.hset(bodies, mapping={str(ident): f"{n}:{{}}" for n, ident in enumerate(ids)})
    await redis.hset(bodies, str(ids[3]), f"{len(ids)}:")  # deleted after what is archived now
    trimmer = Trimmer(redis)
    trimmer.archived([channel], 9)
    await trimmer.trim()
    left = {int(ident) for ident in await redis.zrange(recent, 0, -1)}
    assert left == {ids[3], *ids[10:]}
    assert {int(ident) for ident in await redis.hkeys(bodies)} == left
    trimmer.archived([channel], len(ids))
    await trimmer.trim()
    assert [int(ident) for ident in await redis.zrange(recent, 0, -1)] == ids[-RECENT_KEPT:]
    assert await redis.hlen(bodies) == RECENT_KEPT


async def produce(settings, records: list[Record]) -> None:
    producer = Producer(settings, topics=[CHAT_EVENTS])
    await producer.start()
    await asyncio.gather(*(producer.post(CHAT_EVENTS, record, key=record.channel) for record in records))
    await producer.stop()


async def read_all(settings, group: str, handler) -> None:
    """Read chat.events with a member of the group, up to the end it has now, and leave."""
    async with admin(settings) as client:
        topic = (await client.describe_topics([CHAT_EVENTS]))[0]
    partitions = {each["partition"] for each in topic["partitions"]}
    ends = await _ends(settings, partitions)
    stopping = asyncio.Event()

    async def watch(partition: TopicPartition, batch: list[Incoming]) -> None:
        await handler(partition, batch)
        if batch[-1].offset + 1 >= ends[partition.partition]:
            partitions.discard(partition.partition)
        if not partitions:
            stopping.set()

    partitions -= {partition for partition, end in ends.items() if end == 0}
    async with asyncio.timeout(60):
        await Consumer(settings, group, [CHAT_EVENTS], watch).run(stopping)


async def _ends(settings, partitions: set[int]) -> dict[int, int]:
    consumer = AIOKafkaConsumer(**connection(settings))
    await consumer.start()
    ends = await consumer.end_offsets([KafkaPartition(CHAT_EVENTS, each) for each in partitions])
    await consumer.stop()
    return {partition.partition: end for partition, end in ends.items()}


def conversation() -> list[Record]:
    """Messages in several channels, with retries, edits and deletions."""
    dice, records = random.Random(3), []
    for channel in [next_id() for _ in range(5)]:
        made = [message(channel, f"text {n}", nonce=f"{n}") for n in range(40)]
        records += made
        records += dice.sample(made, 5)  # sent again with the same id
        records += [message(channel, "again", nonce=each.nonce) for each in made[:3]]  # and with another
        for each in dice.sample(made, 10):
            kind = dice.choice(["MESSAGE_UPDATE", "MESSAGE_DELETE"])
            records.append(
                Record(
                    type=kind,
                    id=next_id(),
                    channel=channel,
                    author=5,
                    payload=b'{"id":"%d","content":"edited"}' % each.id,
                )
            )
    return records


async def test_replaying_the_topic_through_a_fresh_group_changes_nothing(settings, database, sink):
    await produce(settings, conversation())
    await read_all(settings, f"first-{uuid.uuid4()}", sink.handle)
    before = await table(database)
    assert len(before) >= 200
    stamp = "SELECT max(xmin::text::bigint) FROM messages"
    written = await database.value(stamp)
    await read_all(settings, f"second-{uuid.uuid4()}", sink.handle)
    assert await table(database) == before
    assert await database.value(stamp) == written  # no row was even touched


async def test_the_service_archives_and_commits_on_sigterm(stores, settings, database):
    records = conversation()
    await produce(settings, records)
    kept = {(r.channel, r.id) for r in records if r.type == "MESSAGE_CREATE" and b"again" not in r.payload}
    await _belong_together(stores, database)
    process = await start_service(settings)
    try:

        async def archived() -> bool:
            return kept <= {(row[0], row[1]) for row in await table(database)}

        await eventually(archived)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    assert code == 0
    async with admin(settings) as client:
        committed = await client.list_consumer_group_offsets(GROUP)
    ends = await _ends(settings, set(range(settings.chat_partitions)))
    done = {p.partition: o.offset for p, o in committed.items() if p.topic == CHAT_EVENTS}
    # Nothing is committed of a partition that nothing was ever written to.
    assert {p: offset for p, offset in done.items() if offset > 0} == {
        p: end for p, end in ends.items() if end > 0
    }


async def test_an_outage_of_the_database_is_waited_out(settings, database):
    gate = Gate(settings)  # shut
    away = await Database.connect(gate.settings)
    records = [message(next_id(), f"text {n}") for n in range(20)]
    await produce(settings, records)
    stopping, failed, tried = asyncio.Event(), asyncio.Event(), PostgresSink(away, settings)

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        try:
            await tried.handle(partition, batch)
        except StoreUnavailableError:
            failed.set()
            raise

    consumer = Consumer(settings, f"held-{uuid.uuid4()}", [CHAT_EVENTS], handle)
    working = asyncio.create_task(consumer.run(stopping))
    async with asyncio.timeout(60):
        await failed.wait()
    assert await table(database) == []
    await gate.open()
    wanted = {(record.channel, record.id) for record in records}

    async def archived() -> bool:
        return wanted <= {(row[0], row[1]) for row in await table(database)}

    await eventually(archived)
    stopping.set()
    await working
    await away.close()
    await gate.shut()


async def _belong_together(stores, database: Database) -> None:
    """Mark a database of a test's own as one of the installation that the shared Kafka belongs to."""
    shared = await Database.connect(settings_of(stores.run))
    try:
        for row in await shared.fetch("SELECT id FROM installation"):
            await database.value("INSERT INTO installation (id, secret) VALUES ($1, '')", row["id"])
    finally:
        await shared.close()


async def start_service(settings) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")} | {
        "FANFARE_KAFKA": settings.kafka,
        "FANFARE_REDIS": settings.redis.get_secret_value(),
        "FANFARE_POSTGRES": settings.postgres.get_secret_value(),
        "FANFARE_INTERNAL_PORT": "0",
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "archiver", env=environment)
