"""The notifier against a real Redis, and the whole way from an event to an inbox."""

import asyncio
import itertools
import secrets
import time
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from fanfare.bus.consumer import Consumer, Incoming, PoisonError, TopicPartition
from fanfare.bus.producer import Producer
from fanfare.bus.topics import TopicSpec, create_topics
from fanfare.constants import EPOCH_HOLD_S
from fanfare.presence import inboxes, keys
from fanfare.presence.client import connect
from fanfare.presence.epoch import ensure, set_at_ms
from fanfare.presence.loss_token import LossToken
from fanfare.record import FENCE, GUILD, INBOXES, USERS, Position, Record
from fanfare.tasks import end
from fanout.worker import FanOut
from notifier.worker import ConnectedAnewError, EpochError, Notifier
from tests.integration.bus_fixtures import HOUR_MS, own_topic, running, unique, until
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system

PARTITION = TopicPartition("chat.deliveries", 0)
offsets = itertools.count()


@pytest.fixture
def settings(stores):
    """A Redis database of our own: emptying it harms no other test."""
    settings = settings_of(stores.run)
    url = urlsplit(settings.redis.get_secret_value())
    return settings.model_copy(update={"redis": SecretStr(urlunsplit(url._replace(path="/7")))})


@pytest.fixture
async def redis(settings):
    redis = connect(settings)
    await redis.flushdb()
    await old_epoch(redis)
    yield redis
    await redis.aclose()


@pytest.fixture
def notifier(redis):
    return Notifier(redis)


async def old_epoch(redis) -> None:
    """As if Redis had not been emptied for a day."""
    await redis.set(keys.epoch(), f"{int((time.time() - 86_400) * 1000)}.{secrets.token_hex(8)}")


async def inbox(redis, *, guilds=(), users=()) -> str:
    """A new inbox with registrations."""
    node = secrets.token_hex(4)
    name = f"{node}.1"
    await inboxes.create(redis, node, name, floor=0, token="t", is_open=True)
    for guild in guilds:
        await redis.hset(keys.guild_nodes(guild), name, "1")
    for user in users:
        await redis.hset(keys.user_sessions(user), f"s{user}@{name}", "online")
    return name


def record(number: int = 0, **fields) -> Record:
    source = Position("chat.events", 0, next(offsets))
    return Record(**{"type": "X", "id": number, "guild": 1, "source": source, "payload": b"{}"} | fields)


async def notify(notifier: Notifier, *records: Record) -> None:
    batch = [Incoming(each, each.position.offset, 0, b"", []) for each in records]
    await notifier.handle(PARTITION, batch)


async def got(redis, name: str) -> list[int]:
    """The ids of the records in an inbox, in order."""
    return [entry.record.id for entry in await inboxes.read(redis, name, 0) if entry.record is not None]


async def test_each_audience_reaches_its_inboxes(redis, notifier):
    here = await inbox(redis, guilds=[1, 2], users=[10])
    there = await inbox(redis, guilds=[1], users=[10, 11])
    elsewhere = await inbox(redis, guilds=[3], users=[12])
    await notify(
        notifier,
        record(1),
        record(2, guild=2),
        record(3, audience=GUILD, guild=2, users=(12,)),
        record(4, audience=USERS, guild=0, users=(11, 99)),
        record(5, type=FENCE, audience=INBOXES, guild=0, inboxes=(elsewhere, here)),
        record(6, guild=77),
    )
    assert await got(redis, here) == [1, 2, 3, 5]
    assert await got(redis, there) == [1, 4]
    assert await got(redis, elsewhere) == [3, 5]


async def test_a_batch_that_comes_again_changes_nothing(redis, notifier):
    name = await inbox(redis, guilds=[1])
    batch = [record(1), record(2)]
    await notify(notifier, *batch)
    await notify(notifier, *batch, record(3))
    assert await got(redis, name) == [1, 2, 3]


async def test_registrations_of_an_inbox_that_is_gone_are_removed(redis, notifier):
    gone, alive = await inbox(redis, guilds=[1], users=[10]), await inbox(redis, guilds=[1], users=[10])
    await redis.delete(keys.at(gone), keys.inbox(gone))
    await notify(notifier, record(1), record(2, audience=USERS, users=(10,)))
    assert await got(redis, alive) == [1, 2]
    assert await redis.hkeys(keys.guild_nodes(1)) == [alive.encode()]
    assert await redis.hkeys(keys.user_sessions(10)) == [f"s10@{alive}".encode()]


async def test_an_emptied_redis_holds_the_batch_until_nodes_could_register(redis, notifier):
    await notify(notifier, record())
    assert notifier.settled
    await redis.flushdb()
    with pytest.raises(EpochError):
        await notify(notifier, record(1))
    assert not notifier.settled
    epoch = await redis.get(keys.epoch())
    assert epoch is not None
    name = await inbox(redis, guilds=[1])
    with pytest.raises(EpochError):
        await notify(notifier, record(1))
    # Only the time since it was set counts, by Redis's clock.
    await redis.set(
        keys.epoch(), b"%d." % (set_at_ms(epoch) - int(EPOCH_HOLD_S * 1000)) + epoch.split(b".")[1]
    )
    await notify(notifier, record(1))
    assert await got(redis, name) == [1]


async def test_redis_emptied_between_look_up_and_append(redis, notifier, monkeypatch):
    await inbox(redis, guilds=[1])
    look_up = notifier._look_up

    async def then_empty(whose):
        found = await look_up(whose)
        await redis.flushdb()
        return found

    monkeypatch.setattr(notifier, "_look_up", then_empty)
    with pytest.raises(EpochError):
        await notify(notifier, record(1))


async def test_what_was_looked_up_at_another_server_than_it_is_appended_to_is_done_again(
    redis, notifier, monkeypatch
):
    """A node registers its next inbox at the new primary, while the look-up still asks the old one."""
    before = await inbox(redis, guilds=[1])
    look_up, after = notifier._look_up, ""

    async def then_fail_over(whose):
        nonlocal after
        found = await look_up(whose)
        if not after:
            after = await inbox(redis, guilds=[1])
            redis.drop()
            await redis.ping()
        return found

    monkeypatch.setattr(notifier, "_look_up", then_fail_over)
    event = record(1)
    with pytest.raises(ConnectedAnewError):
        await notify(notifier, event)
    await notify(notifier, event)
    # Each has its marker and the event, once.
    assert [await redis.xlen(keys.inbox(name)) for name in (before, after)] == [2, 2]


async def test_another_connection_at_each_try_does_not_keep_a_batch_for_ever(redis, notifier, monkeypatch):
    """A very large batch takes one of the pool each time."""
    name = await inbox(redis, guilds=[1])
    append = notifier._append

    async def by_another_connection(routes, registrations):
        await append(routes, registrations)
        redis.drop()
        await redis.ping()

    monkeypatch.setattr(notifier, "_append", by_another_connection)
    await notify(notifier, record(1))
    assert await redis.xlen(keys.inbox(name)) == 2


async def test_a_notifier_that_starts_after_the_loss_holds_too(redis):
    await redis.flushdb()
    await ensure(redis)
    await inbox(redis, guilds=[1])
    with pytest.raises(EpochError):
        await notify(Notifier(redis), record(1))


async def test_the_epoch_is_set_once(redis):
    await redis.delete(keys.epoch())
    await ensure(redis)
    first = await redis.get(keys.epoch())
    await ensure(redis)
    assert await redis.get(keys.epoch()) == first
    assert abs(set_at_ms(first) - (await redis.time())[0] * 1000) < 60_000


async def test_scripts_are_loaded_again_when_the_server_forgot_them(redis, notifier):
    name = await inbox(redis, guilds=[1])
    await redis.script_flush()
    await notify(notifier, record(1, version=1))
    assert await got(redis, name) == [1]


async def test_the_applied_version_rises_and_never_falls(redis, notifier):
    await inbox(redis, guilds=[1])
    await notify(notifier, record(version=4), record(version=5), record(guild=2, version=1))
    await notify(notifier, record(version=3))
    assert await redis.get(keys.applied(1)) == b"5"
    assert await redis.get(keys.applied(2)) == b"1"  # though nobody is there


async def test_nothing_is_applied_before_every_inbox_has_it(redis, notifier, monkeypatch):
    await inbox(redis, guilds=[1])

    async def away(*_):
        raise RedisConnectionError

    monkeypatch.setattr(notifier, "_append", away)
    with pytest.raises(RedisConnectionError):
        await notify(notifier, record(version=4))
    assert await redis.get(keys.applied(1)) is None


async def test_an_unknown_audience_is_poison(redis, notifier):
    bad = record(2, audience="everybody")
    with pytest.raises(PoisonError) as error:
        await notify(notifier, record(1), bad)
    assert error.value.record is bad


async def test_very_many_recipients(redis, notifier):
    users = tuple(range(100_000, 105_000))
    name = await inbox(redis, users=[users[0]])
    batch = [record(1, audience=USERS, users=users)]
    await notify(notifier, *batch)
    await notify(notifier, *batch)
    assert await got(redis, name) == [1]
    assert len((await inboxes.state(redis, name)).newest) == len(users)


async def test_from_event_to_inbox_once_and_in_order_though_workers_come_and_go(settings, redis):
    events = await own_topic(settings, "events")
    deliveries = await own_topic(settings, "deliveries")
    outlet = unique("deliveries")
    await create_topics(settings, [TopicSpec(outlet, 1, HOUR_MS)])
    name = await inbox(redis, guilds=[1])
    producer = Producer(settings, topics=[events, deliveries])
    await producer.start()
    fan, note = unique("fanout"), unique("notifier")

    def fanout() -> Consumer:
        return Consumer(
            settings, fan, [events], FanOut(redis, LossToken(), producer, {events: deliveries}).handle
        )

    def notifier() -> Consumer:
        return Consumer(settings, note, [deliveries], Notifier(redis).handle)

    count = 0

    async def post(more: int) -> None:
        nonlocal count
        for _ in range(more):
            count += 1
            await producer.send(events, Record(type="X", id=count, guild=1, payload=b"{}"), key=count % 7)

    async with running(fanout(), notifier()):
        await post(100)
        extra = [fanout(), notifier()]
        async with running(*extra):
            await post(50)
            await until(lambda: all(each.facts()["assigned"] for each in extra))
            await post(50)
            # One that is killed in the middle of its work: what it did not commit comes again.
            killed = notifier()
            work = asyncio.create_task(killed._work())
            await until(lambda: killed.joined)
            await post(50)
            await end((work, *(lane.task for lane in killed._lanes.values())))
            await killed._client.stop()
        await post(50)
        async with asyncio.timeout(60):
            while len(await got(redis, name)) < count:
                await asyncio.sleep(0.02)
    entries = [entry for entry in await inboxes.read(redis, name, 0) if entry.record is not None]
    assert sorted(entry.record.id for entry in entries) == list(range(1, count + 1))
    for partition in range(4):
        places = [e.record.position.offset for e in entries if e.record.position.partition == partition]
        assert places == sorted(places)
    assert [entry.s for entry in entries] == sorted({entry.s for entry in entries})
    await producer.stop()
