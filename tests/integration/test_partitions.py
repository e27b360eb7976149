"""Tables cut by time: made from the tables of an earlier version, made ahead, and dropped by retention."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from archiver.postgres import PostgresSink
from archiver.rows import Logged
from archiver.upkeep import Upkeep
from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.constants import SNOWFLAKE_EPOCH_MS
from fanfare.record import Record
from fanfare.store.database import Database, dial, dsn
from fanfare.store.migrate import migrate
from tests.integration.store_fixtures import own_database, settings_of
from tests.unit.test_archiver_rows import positions

pytestmark = pytest.mark.system
CHAT, LOCATION = TopicPartition(CHAT_EVENTS, 0), TopicPartition(LOCATION_EVENTS, 0)
DAY_MS = 86_400_000


def id_of(at_ms: int, counter: int = 0) -> int:
    return at_ms - SNOWFLAKE_EPOCH_MS << 22 | counter


def now_ms() -> int:
    return int(time.time() * 1000)


def message(offset: int, at_ms: int) -> Incoming:
    ident = id_of(at_ms)
    record = Record(type="MESSAGE_CREATE", id=ident, channel=1, author=5, payload=b'{"content":"x"}')
    return Incoming(record, offset, at_ms, b"", ())


def of(entry: Logged) -> Incoming:
    return Incoming(entry.record, entry.offset, entry.appended_ms, b"", ())


@pytest.fixture
async def settings(stores):
    return await own_database(settings_of(stores.run, internal_port=0))


@pytest.fixture
async def database(settings):
    await asyncio.to_thread(migrate, settings)
    database = await Database.connect(settings)
    yield database
    await database.close()


async def _to_step(settings, step: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: dial(dsn(settings), statement_s=None),
        poolclass=NullPool,
    )

    def upgrade(connection) -> None:
        config = Config()
        config.set_main_option("script_location", "fanfare.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, step)

    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


async def test_a_database_of_the_version_before_keeps_every_row(settings):
    """Messages of years, some of them with ids that no gateway makes, and positions in a form that had no rules."""
    await _to_step(settings, "0007")
    now = now_ms()
    times = [SNOWFLAKE_EPOCH_MS, now - 900 * DAY_MS, now - 40 * DAY_MS, now - 1, now + 20 * DAY_MS]
    messages = [
        (n % 3, id_of(at, n), 5, b"n%d" % n, n, n == 2, b'{"content":"hello %d"}' % n)
        for n, at in enumerate(times)
    ]
    messages += [(9, 1, 5, b"", 7, False, b"no JSON"), (9, (1 << 63) - 1, 5, b"", 8, False, b"{}")]
    body = b'{"lat":52.5,"lon":"13.4","speed_mps":7}'
    old = [
        (3, 1, 9, now - DAY_MS, body),
        (3, 2, 9, now - DAY_MS, body),
        (3, 4, 9, now, b"{}"),
        (3, 5, 9, 1 << 60, body),
    ]
    user = f"reader_{now}"
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    try:
        await connection.copy_records_to_table("messages", records=messages)
        await connection.copy_records_to_table("positions", records=old)
        await connection.execute(f"CREATE ROLE {user}; GRANT SELECT, INSERT ON messages TO {user}")
        await asyncio.to_thread(migrate, settings)
        found = await connection.fetch("SELECT * FROM messages UNION ALL SELECT * FROM messages_stray")
        assert sorted(map(tuple, found)) == sorted(messages)
        # What stands in the table is a month's at the most after it, and there is a partition for now.
        assert await connection.fetchval("SELECT count(*) FROM messages_stray") >= 1
        moved = await connection.fetch("SELECT entity_id, at_ms, seq, lat, lon, speed_mps FROM positions")
        assert sorted(map(tuple, moved)) == [(3, now - DAY_MS, n, 52.5, 13.4, 7) for n in (0, 1)]
        assert sorted(map(tuple, await connection.fetch("SELECT * FROM positions_before"))) == old[2:]
        rights = (
            "SELECT has_table_privilege($1, 'messages', 'INSERT') "
            "AND has_table_privilege($1, 'positions', 'INSERT')"
        )
        assert await connection.fetchval(rights, user)
        words = "SELECT count(*) FROM messages WHERE message_words(body) @@ websearch_to_tsquery('simple', 'HELLO')"
        assert await connection.fetchval(words) >= 4
    finally:
        await connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
        await connection.close()
    database = await Database.connect(settings)
    await PostgresSink(database, settings).handle(CHAT, [message(100, now)])
    assert await database.value("SELECT count(*) FROM messages WHERE version = 100") == 1
    await database.close()


async def test_partitions_are_made_when_they_are_needed(settings, database):
    """An archiver that was stopped for months finds the log."""
    sink, later = PostgresSink(database, settings), now_ms() + 200 * DAY_MS
    await asyncio.gather(*(sink.handle(CHAT, [message(n, later + n * DAY_MS)]) for n in range(40)))
    await sink.handle(LOCATION, [of(positions(1, [(3, later, 1)], later))])
    assert await database.value("SELECT count(*) FROM messages") == 40
    assert await database.value("SELECT count(*) FROM positions") == 1
    gaps = """SELECT count(*) FROM partitions p WHERE p.low <> -9223372036854775808 AND NOT EXISTS (
        SELECT FROM partitions q WHERE q.parent = p.parent AND q.high = p.low)"""
    assert await database.value(gaps) == 0


async def test_retention_drops_partitions_and_a_replay_brings_nothing_back(settings, database):
    now = now_ms()
    sink, upkeep = PostgresSink(database, settings), Upkeep(database, settings)
    log = [message(n, now + day * DAY_MS) for n, day in enumerate((-1, 0, 70, 100))]
    where = [
        of(positions(n, [(3, now + day * DAY_MS, n)], now + day * DAY_MS)) for n, day in enumerate((0, 1, 9))
    ]
    await sink.handle(CHAT, log)
    await sink.handle(LOCATION, where)
    await upkeep.drop("messages", datetime.now(UTC).replace(tzinfo=None) + timedelta(days=70))
    await upkeep.drop("positions", datetime.now(UTC).replace(tzinfo=None) + timedelta(days=5))
    kept = [(row["version"],) for row in await database.fetch("SELECT version FROM messages ORDER BY 1")]
    assert kept == [(2,), (3,)]
    assert await database.value("SELECT array_agg(seq) FROM positions") == [2]
    await sink.handle(CHAT, log)
    await sink.handle(LOCATION, where)
    assert await database.value("SELECT count(*) FROM messages") == 2
    assert await database.value("SELECT count(*) FROM positions") == 1
    await upkeep.drop("messages", datetime(2080, 1, 1))  # noqa: DTZ001 - as in SQL
    assert await database.value("SELECT count(*) FROM partitions WHERE parent = 'messages'") == 1, (
        "the newest stays"
    )


async def test_a_page_of_old_messages_needs_few_partitions(settings, database):
    sink, now = PostgresSink(database, settings), now_ms()
    await sink.handle(CHAT, [message(n, now + n * 40 * DAY_MS) for n in range(12)])
    plan = await database.fetch(
        "EXPLAIN (ANALYZE, COSTS OFF) SELECT id FROM messages WHERE channel_id = 1 AND NOT deleted "
        "ORDER BY id DESC LIMIT 2"
    )
    ran = [row[0] for row in plan if "Scan" in row[0] and "never executed" not in row[0]]
    assert len(ran) <= 4, plan
