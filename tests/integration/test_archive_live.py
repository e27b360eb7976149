"""The archiver as a process, killed in mid-batch with its database, and the deletion of a person's data."""

import asyncio
import hashlib
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
import msgspec
import pytest

from archiver.positions import POSITIONS
from fanfare.archive import parquet
from fanfare.archive.folder import ArchiveFolder
from fanfare.bus.groups import describe_groups
from fanfare.bus.producer import Producer
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.record import Record
from tests.integration.store_fixtures import eventually, settings_of, snowflakes
from tests.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.long]
next_id = snowflakes()
RECORDS = 150
AT_ONCE = 40


@pytest.fixture
def own(tmp_path):
    """Stores and an archiver that a test may kill, with a Parquet folder."""
    stack = Stack(
        tmp_path,
        options=["--scale", "gateway=1,fanout=1,notifier=1,archiver=1"],
        settings={"parquet": str(tmp_path / "parquet"), "batch_records": "50"},
    )
    stack.start()
    yield stack
    stack.stop()


def position(entity: int, at_ms: int, author: int) -> dict:
    return {"entity_id": str(entity), "at": at_ms, "seq": 0, "lat": 52.5, "lon": 13.4, "author_id": author}


def message(channel: int, author: int, *, quoting: dict | None = None) -> Record:
    ident = next_id()
    body = {"content": "text", "referenced_message": quoting, "id": str(ident), "author": {"id": str(author)}}
    payload = msgspec.json.encode({key: value for key, value in body.items() if value is not None})
    return Record(type="MESSAGE_CREATE", id=ident, channel=channel, author=author, payload=payload)


def pid_of(stack: Stack, name: str) -> int:
    state = json.loads((stack.home / "state.json").read_text())
    return next(each["pid"] for each in state["processes"] if each["name"].startswith(name) and each["pid"])


def checksum(keys_: set) -> str:
    return hashlib.sha256(repr(sorted(keys_)).encode()).hexdigest()


async def rows(stack: Stack) -> tuple[list, list]:
    connection = await asyncpg.connect(stack.run["postgres"], timeout=5)
    try:
        messages = await connection.fetch("SELECT channel_id, id, md5(body) FROM messages")
        positions = await connection.fetch("SELECT entity_id, at_ms, seq FROM positions")
    finally:
        await connection.close(timeout=5)
    return list(map(tuple, messages)), list(map(tuple, positions))


async def written(folder: Path) -> tuple[list, list]:
    files = ArchiveFolder(folder)
    found = [row for path in files.files("messages") for row in parquet.rows(path)]
    where = [row for path in files.files("positions") for row in parquet.rows(path)]
    at = [(row["entity_id"], int(row["at"].timestamp() * 1000), row["seq"]) for row in where]
    md5 = hashlib.md5
    return [(r["channel_id"], r["id"], md5(r["payload"].encode()).hexdigest()) for r in found], at


async def killed(own: Stack, name: str) -> bool:
    """Kill a process; False if it is not there, as it is being started again."""
    with suppress(StopIteration, ProcessLookupError):
        os.kill(pid_of(own, name), signal.SIGKILL)
        return True
    return False


async def test_archiver_and_database_are_killed_in_mid_batch(own, tmp_path):
    """kill -9 again and again while the log is drained; then both sinks hold what the topics hold, once."""
    settings, now = settings_of(own.run), int(time.time() * 1000)
    producer = Producer(settings, topics=[CHAT_EVENTS, LOCATION_EVENTS])
    await producer.start()
    wanted_messages, wanted_positions = set(), set()

    async def post(first: int) -> None:
        waiting = []
        for n in range(first, first + RECORDS):
            entities = [1000 + n % 7 * AT_ONCE + each for each in range(AT_ONCE)]
            record = Record(
                type=POSITIONS,
                id=next_id(),
                channel=n % 7,
                author=9,
                payload=msgspec.json.encode([position(entity, now + n, 9) for entity in entities]),
            )
            wanted_positions.update((entity, now + n, 0) for entity in entities)
            waiting.append(producer.post(LOCATION_EVENTS, record, key=record.channel))
            said = message(n % 5 + 1, 9)
            wanted_messages.add((said.channel, said.id, hashlib.md5(said.payload).hexdigest()))
            waiting.append(producer.post(CHAT_EVENTS, said, key=said.channel))
        await asyncio.gather(*waiting)

    for turn in range(6):
        await post(turn * RECORDS)
        for name in ("archiver", "postgres") if turn % 2 else ("archiver",):
            await eventually(lambda name=name: killed(own, name))
    await producer.stop()

    async def drained() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            messages, positions = await rows(own)
            return len(messages) >= len(wanted_messages) and len(positions) >= len(wanted_positions)
        return False

    await eventually(drained, within_s=120)
    messages, positions = await rows(own)
    assert (len(messages), checksum(set(messages))) == (len(wanted_messages), checksum(wanted_messages))
    assert (len(positions), checksum(set(positions))) == (len(wanted_positions), checksum(wanted_positions))

    # Asked to stop, the archiver writes what waits for the files.
    async def taken() -> bool:
        groups = await describe_groups(settings)
        return bool(groups["archiver-parquet"]["members"])

    await eventually(taken)
    folder = tmp_path / "parquet"

    async def in_files() -> bool:
        own.command("restart", "archiver", check=False)
        messages, positions = await written(folder)
        return len(messages) >= len(wanted_messages) and len(positions) >= len(wanted_positions)

    await eventually(in_files, within_s=120)
    messages, positions = await written(folder)
    assert sorted(messages) == sorted(wanted_messages)
    assert sorted(positions) == sorted(wanted_positions)
    status = json.loads(own.command("archive", "status", "--json").stdout)
    assert status["archiver"]["lag"] == {CHAT_EVENTS: 0, LOCATION_EVENTS: 0}
    await _forget(own, settings, folder)


async def _forget(own: Stack, settings, folder: Path) -> None:
    """Of two users one is forgotten: in tables, files, caches and in the other's replies."""
    one, other = next_id(), next_id()
    producer = Producer(settings, topics=[CHAT_EVENTS, LOCATION_EVENTS])
    await producer.start()
    said = message(77, one)
    reply = message(77, other, quoting=json.loads(said.payload))
    for record in (said, reply):
        await producer.post(CHAT_EVENTS, record, key=record.channel)
    now = int(time.time() * 1000)
    wire = [position(5, now, one), position(6, now, other)]
    where = Record(type=POSITIONS, id=next_id(), author=1, payload=msgspec.json.encode(wire))
    await producer.post(LOCATION_EVENTS, where, key=5)
    redis = connect(settings)
    for record in (said, reply):
        await redis.zadd(keys.recent(77), {str(record.id): record.id})
        await redis.hset(keys.recent_bodies(77), str(record.id), b"1:" + record.payload)

    async def archived() -> bool:
        found = json.loads(own.command("archive", "forget", str(one), "--json").stdout)["found"]
        return found["messages"] == found["quotes"] == found["positions"] == 1

    await eventually(archived)

    async def in_files() -> bool:
        own.command("restart", "archiver", check=False)
        messages, positions = await written(folder)
        return {said.id, reply.id} <= {row[1] for row in messages} and (5, now, 0) in positions

    await eventually(in_files)
    done = json.loads(own.command("archive", "forget", str(one), "--yes", "--json").stdout)
    assert done["found"] == {"messages": 1, "quotes": 1, "positions": 1, "parquet_rows": 3, "cached": 1}
    assert not any(done["left"].values())
    # An old position that a phone brings later is not kept, and the other user's is.
    await producer.post(LOCATION_EVENTS, where, key=5)
    mark = Record(
        type=POSITIONS,
        id=next_id(),
        author=1,
        payload=msgspec.json.encode([position(5, now + 3_600_000, one), position(8, now, other)]),
    )
    await producer.post(LOCATION_EVENTS, mark, key=5)
    await producer.stop()

    async def later() -> bool:
        return {(5, now + 3_600_000, 0), (8, now, 0)} <= set((await rows(own))[1])

    await eventually(later)
    messages, positions = await rows(own)
    assert (6, now, 0) in positions
    assert (5, now, 0) not in positions
    assert said.id not in {row[1] for row in messages}
    assert [int(ident) for ident in await redis.hkeys(keys.recent_bodies(77))] == [reply.id]
    await redis.aclose()
    _nothing_of(folder, one, now)


def _nothing_of(folder: Path, user: int, upto_ms: int) -> None:
    for path in folder.rglob("*.parquet"):
        for row in parquet.rows(path):
            assert row["author_id"] != user or row["at"].timestamp() * 1000 > upto_ms
            assert str(user) not in row.get("payload", "")
