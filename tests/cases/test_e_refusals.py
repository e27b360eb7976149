"""E1 and E4: stores that are there and say no hold the workers, and all goes on by itself when it is mended."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from archiver.postgres import PostgresSink
from fanfare.bus.consumer import Consumer, Incoming, TopicPartition
from fanfare.bus.deadletters import DEAD_POSITION
from fanfare.bus.producer import Producer
from fanfare.bus.topics import CHAT_EVENTS, TopicSpec, create_topics, dead_letters_of
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.presence.epoch import ensure
from fanfare.presence.loss_token import LossToken, loss_token
from fanfare.record import Position, Record
from fanfare.store import Store, StoreUnavailableError
from fanfare.store.database import Database
from fanfare.store.migrate import migrate
from fanfare.store.outbox import relay
from fanfare.trouble import Trouble
from fanout.worker import FanOut
from notifier.worker import Notifier
from tests.integration.bus_fixtures import HOUR_MS, own_topic, read, running, unique, until
from tests.integration.store_fixtures import eventually, own_database, settings_of, snowflakes

pytestmark = pytest.mark.system
next_id = snowflakes()


@pytest.fixture
async def limited(stores):
    """Settings with a user of Redis of their own, and `take(rule)`: what it may not do any more, or may again."""
    base = settings_of(stores.run)
    name = f"e{uuid.uuid4().hex[:8]}"
    admin = Redis.from_url(base.redis.get_secret_value())

    async def take(*rules: str) -> None:
        await admin.execute_command("ACL", "SETUSER", name, *rules)

    await take("on", ">word", "~*", "&*", "+@all")
    parts = urlsplit(base.redis.get_secret_value())
    url = urlunsplit(parts._replace(netloc=f"{name}:word@{parts.hostname}:{parts.port}"))
    yield base.model_copy(update={"redis": SecretStr(url)}), take
    await admin.execute_command("ACL", "DELUSER", name)
    await admin.aclose()


@asynccontextmanager
async def producing(settings, *topics: str):
    producer = Producer(settings, topics=topics)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def message(channel: int, number: int) -> Record:
    ident = next_id()
    return Record(
        type="MESSAGE_CREATE", id=ident, guild=1, channel=channel, author=number, nonce=f"n{ident}",
        payload=b'{"id":"%d"}' % ident,
    )  # fmt: skip


@pytest.mark.parametrize("rule", ["evalsha", "@all"])
async def test_e1_a_fanout_without_a_right_holds_all_and_delivers_all(limited, rule):
    """Accepted messages went to the dead letters, one by one, for as long as the right was gone."""
    settings, take = limited
    events, deliveries = await own_topic(settings, "events"), unique("deliveries")
    await create_topics(settings, [TopicSpec(deliveries, 4, HOUR_MS)])
    redis = connect(settings)
    await redis.set(keys.nonces_ready(), await loss_token(redis))
    try:
        async with producing(settings, events, deliveries) as producer:
            fanout = FanOut(redis, LossToken(), producer, {events: deliveries})
            member = Consumer(settings, unique("group"), [events], fanout.handle)
            async with running(member):
                await until(lambda: member.joined)
                await take(f"-{rule}")
                posted = [message(channel, 5) for channel in range(4) for _ in range(10)]
                for record in posted:
                    await producer.send(events, record, key=record.channel)
                await until(lambda: "(right)" in member.problem())
                await take(f"+{rule}")
                delivered = await read(settings, deliveries, len(posted))
                await until(lambda: member.problem() == "")
    finally:
        await redis.aclose()
    assert sorted(dict(each.headers)["id"] for each in delivered) == sorted(
        b"%d" % each.id for each in posted
    )
    await nothing_died(settings, events)


async def test_e1_a_notifier_without_a_right_holds_all(limited):
    settings, take = limited
    deliveries = await own_topic(settings, "deliveries")
    redis = connect(settings)
    await ensure(redis)
    handled: list[int] = []
    notifier = Notifier(redis)

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        await notifier.handle(partition, batch)
        handled.extend(each.record.id for each in batch)

    try:
        async with producing(settings, deliveries) as producer:
            member = Consumer(settings, unique("group"), [deliveries], handle)
            async with running(member):
                await until(lambda: member.joined)
                await take("-hkeys")
                posted = [message(1, 5) for _ in range(20)]
                for place, record in enumerate(posted):
                    source = Position("chat.events", 0, place)
                    sent = Record(
                        **{name: getattr(record, name) for name in record.__struct_fields__}
                        | {"source": source}
                    )
                    await producer.send(deliveries, sent, key=1)
                await until(lambda: "NoPermissionError" in member.problem())
                await take("+hkeys")
                await until(lambda: len(handled) >= len(posted))
    finally:
        await redis.aclose()
    assert handled == [each.id for each in posted]
    await nothing_died(settings, deliveries)


async def nothing_died(settings, topic: str) -> None:
    """A letter that a test writes at last is the first."""
    async with producing(settings, dead_letters_of(topic)) as producer:
        await producer.post_raw(dead_letters_of(topic), [("last", b"")], b"", key=b"", partition=0)
    (letter,) = await read(settings, dead_letters_of(topic), 1)
    assert DEAD_POSITION not in dict(letter.headers)


class Place:
    """A database of a test's own, and what its owner may do to it."""

    def __init__(self, settings) -> None:
        self.settings = settings
        self.name = urlsplit(settings.postgres.get_secret_value()).path[1:]

    async def sql(self, *statements: str) -> None:
        """As an operator."""
        connection = await asyncpg.connect(self.settings.postgres.get_secret_value())
        try:
            await connection.execute("SET default_transaction_read_only = off")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def read_only(self) -> None:
        """As `ALTER ROLE ... SET` would, but for this database only; and the connections are cut."""
        await self.sql(
            f"ALTER DATABASE {self.name} SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    async def writable(self) -> None:
        await self.sql(f"ALTER DATABASE {self.name} RESET default_transaction_read_only")


@pytest.fixture
async def place(stores):
    settings = await own_database(settings_of(stores.run))
    await asyncio.to_thread(migrate, settings)
    return Place(settings)


@pytest.fixture
async def database(place):
    database = await Database.connect(place.settings)
    yield database
    await database.close()


async def refused(call) -> None:
    """Call until it is said that nothing can be written; the connections that were cut are away first."""
    while True:
        try:
            await call()
        except StoreUnavailableError as error:
            if error.trouble is Trouble.READ_ONLY:
                return


WRITE = "INSERT INTO users (id, username, bot) VALUES ($1, $2, false)"


async def test_e4_a_read_only_session_is_not_given_back_to_the_pool(place, database):
    """Such sessions stayed in the pool: writes failed until the process was started anew."""
    await database.value("SELECT 1")
    await place.read_only()
    await refused(lambda: database.value(WRITE, next_id(), f"user{next_id()}"))
    await place.writable()
    ident = next_id()
    await database.value(WRITE, ident, f"user{ident}")


async def test_e4_nor_one_that_only_read_meanwhile(place, database):
    await place.read_only()

    async def read_once() -> None:
        async with database.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(0.05)")

    await asyncio.gather(*(read_once() for _ in range(5)))
    await place.writable()
    for _ in range(5):
        ident = next_id()
        await database.value(WRITE, ident, f"user{ident}")


async def test_e4_nor_one_that_was_made_read_only_while_it_was_used(database):
    async def write() -> None:
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            await connection.execute(WRITE, next_id(), "x")

    await refused(write)
    ident = next_id()
    await database.value(WRITE, ident, f"user{ident}")


async def archives(place, database, breaks, mends, said: str) -> None:
    """An archiver is held while PostgreSQL is broken, and archives all that came when it is mended."""
    settings, group = place.settings, unique("group")
    archiver = PostgresSink(database, settings)
    topic = await own_topic(settings, "events")

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        await archiver.handle(TopicPartition(CHAT_EVENTS, partition.partition), batch)

    posted = [message(7, 5) for _ in range(30)]
    async with producing(settings, topic) as producer:
        member = Consumer(settings, group, [topic], handle)
        async with running(member):
            await producer.send(topic, posted[0], key=7)

            async def archived(count: int) -> bool:
                return await database.value("SELECT count(*) FROM messages") == count

            await eventually(lambda: archived(1))
            await breaks()
            for record in posted[1:]:
                await producer.send(topic, record, key=7)
            await until(lambda: said in member.problem())
            assert (await mends()) is None
            await eventually(lambda: archived(len(posted)))
            await until(lambda: member.problem() == "")
    await nothing_died(settings, topic)


async def test_e4_an_archiver_goes_on_when_sessions_can_write_again(place, database):
    await archives(place, database, place.read_only, place.writable, "(read_only)")


async def test_e1_an_archiver_waits_for_its_table(place, database):
    await archives(
        place,
        database,
        lambda: place.sql("ALTER TABLE messages RENAME COLUMN body TO away"),
        lambda: place.sql("ALTER TABLE messages RENAME COLUMN away TO body"),
        "(missing)",
    )


async def test_e1_an_archiver_waits_for_its_rights(place, database):
    user = f"e{uuid.uuid4().hex[:8]}"
    await place.sql(
        f"CREATE ROLE {user} LOGIN PASSWORD 'word'",
        f"GRANT SELECT, INSERT, UPDATE ON messages TO {user}",
        f"GRANT SELECT ON partitions, forgotten TO {user}",
    )
    parts = urlsplit(place.settings.postgres.get_secret_value())
    url = urlunsplit(parts._replace(netloc=f"{user}:word@{parts.hostname}:{parts.port}"))
    theirs = await Database.connect(place.settings.model_copy(update={"postgres": SecretStr(url)}))
    try:
        await archives(
            place,
            theirs,
            lambda: place.sql(f"REVOKE INSERT ON messages FROM {user}"),
            lambda: place.sql(f"GRANT INSERT ON messages TO {user}"),
            "(right)",
        )
    finally:
        await theirs.close()
        await place.sql(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


async def test_e4_guild_changes_are_made_and_relayed_once_when_sessions_can_write_again(place):
    """A relay whose session could only read appended the same change again and again."""
    store = await Store.connect(place.settings)
    posted: list[Record] = []

    class Poster:
        def post(self, topic: str, record: Record, *, key: int) -> "asyncio.Future[Position]":
            posted.append(record)
            done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
            done.set_result(Position(topic, 0, len(posted)))
            return done

    async def nothing_there(_since_ms: int) -> set[str]:
        return set()

    stopping = asyncio.Event()
    try:
        owner = await store.create_user(next_id(), f"user{next_id()}")
        change = await store.create_guild(next_id, owner, "a guild", ["general"])
        await place.read_only()
        relaying = asyncio.create_task(relay(store, Poster(), stopping, nothing_there))
        await refused(lambda: store.create_user(next_id(), f"user{next_id()}"))
        assert posted == []
        await place.writable()

        async def changed() -> bool:
            try:
                member = await store.create_user(next_id(), f"user{next_id()}")
                await store.add_member(change.guild_id, member)
            except StoreUnavailableError:
                return False
            return True

        await eventually(changed)

        async def relayed() -> bool:
            return await store.database.value("SELECT count(*) FROM outbox") == 0

        await eventually(relayed)
    finally:
        stopping.set()
        await relaying
        await store.close()
    assert len(posted) == len({each.nonce for each in posted}) > 1


async def test_a_missing_table_is_a_store_that_is_not_available(place, database):
    """REST answers 503, not 500: nothing is wrong with the request."""
    await place.sql("ALTER TABLE users RENAME TO users_away")
    store = Store(database)
    with pytest.raises(StoreUnavailableError) as told:
        await store.user(1)
    assert told.value.trouble is Trouble.MISSING
    await place.sql("ALTER TABLE users_away RENAME TO users")
    assert await store.user(1) is None
