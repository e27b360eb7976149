"""The archiver: rows per second from Kafka to PostgreSQL, against one INSERT per message.

Method. chat.events is filled first, with messages of 300 bytes with nonces in eight partitions. Then the real archiver,
alone on its core, drains it. The clock runs from its first row to the last one, both looked up by their keys, and the
rows that stood there at the first look are left out. CPU time is the archiver's, and PostgreSQL's beside it.
Baseline: a loop in asyncpg that executes one prepared INSERT per message into the same table of the same database, one
transaction each, on the same core. Rounds are interleaved; the median of the ratios is the result.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import asyncpg
import uvloop

from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig
from benchmarks.stores import (
    CLIENT_CORES,
    LAST_CORE,
    channels,
    children_s,
    commits,
    fill,
    message,
    pid_of,
    stores,
    worker,
)
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.record import Record

PARTITIONS: Final = 8
_AIM: Final = 50
_STUCK_S: Final = 120.0
_INSERT: Final = (
    "INSERT INTO messages (channel_id, id, author_id, nonce, version, deleted, body) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
)


class Took(NamedTuple):
    """What a round did."""

    rows: int
    wall_s: float
    cpu_s: float
    """Of the process that writes."""
    postgres_s: float


async def main() -> None:
    """Measure."""
    asked = arguments("the archiver against one INSERT per message").parse_args()
    before = environment()
    rounds, count, single = (1, 16_000, 100) if asked.smoke else (5, 60_000, 3_000)
    pairs: list[tuple[Took, Took]] = []
    async with stores(chat_partitions=PARTITIONS) as system:
        connection = await asyncpg.connect(system.run["postgres"])
        postgres = await pid_of(system, "postgres")
        try:
            for _ in range(rounds):
                found = await _archived(system, connection, postgres, count)
                pairs.append((found, await _inserted(system, connection, postgres, single)))
        finally:
            await connection.close()
    say("archive", _results(pairs), before, as_json=asked.json)


def _results(pairs: list[tuple[Took, Took]]) -> list[Result]:
    def each(name: str, unit: str, seconds: Callable[[Took], float]) -> Result:
        rounds = [(a.rows / seconds(a), b.rows / seconds(b)) for a, b in pairs]
        return ratio(name, unit, rounds, _AIM)

    reported = [
        each("rows, writer's CPU", "rows/CPU-s", lambda took: max(took.cpu_s, 0.001)),
        each("rows, PostgreSQL's CPU", "rows/CPU-s", lambda took: max(took.postgres_s, 0.001)),
    ]
    return [
        each("rows", "rows/s", lambda took: took.wall_s),
        *(replace(result, aim="reported", met=None) for result in reported),
    ]


async def _archived(system: Rig, connection: Any, postgres: int, count: int) -> Took:
    """Fill the log, and drain it."""
    await connection.execute("TRUNCATE messages")
    settings = system.settings()
    rooms = channels(40, PARTITIONS)
    records = [message(number, rooms[number % len(rooms)]) for number in range(count)]
    bounds = await fill(settings, CHAT_EVENTS, records, PARTITIONS)
    await commits(settings, "archiver", CHAT_EVENTS, {number: first for number, (first, _) in bounds.items()})
    await connection.execute("CHECKPOINT")
    made = await worker(system, "archiver", core=LAST_CORE)
    try:
        await _there(connection, records[:PARTITIONS], least=1)
        began, used, store = time.monotonic(), made.cpu_s(), children_s(postgres)
        stood = int(await connection.fetchval("SELECT count(*) FROM messages"))
        await _there(connection, records[-len(rooms) :], least=len(rooms))
        wall_s = time.monotonic() - began
        return Took(count - stood, wall_s, made.cpu_s() - used, children_s(postgres) - store)
    finally:
        await made.stop()


async def _there(connection: Any, wanted: list[Record], *, least: int) -> None:
    """Wait until the table has so many of these messages."""
    async with asyncio.timeout(_STUCK_S):
        while True:
            found = await connection.fetchval(
                "SELECT count(*) FROM unnest($1::bigint[], $2::bigint[]) AS k(channel_id, id) "
                "JOIN messages USING (channel_id, id)",
                [record.channel for record in wanted],
                [record.id for record in wanted],
            )
            if found >= least:
                return
            await asyncio.sleep(0.005)


async def _inserted(system: Rig, connection: Any, postgres: int, count: int) -> Took:
    """Insert one by one, from a thread of its own that has the core of the archiver."""
    await connection.execute("TRUNCATE messages")
    rooms = channels(40, PARTITIONS)
    records = [message(number, rooms[number % len(rooms)]) for number in range(count)]
    rows = [
        (each.channel, each.id, each.author, each.nonce.encode(), at, False, each.payload)
        for at, each in enumerate(records)
    ]
    url = system.run["postgres"]
    return await asyncio.to_thread(lambda: uvloop.run(_insert(postgres, url, rows)))


async def _insert(postgres: int, url: str, rows: Sequence[tuple[object, ...]]) -> Took:
    os.sched_setaffinity(0, {LAST_CORE})  # of this thread
    connection = await asyncpg.connect(url)
    try:
        statement: Any = await connection.prepare(_INSERT)
        store, used, began = children_s(postgres), time.thread_time(), time.monotonic()
        for row in rows:
            await statement.fetch(*row)
        took = Took(
            len(rows),
            time.monotonic() - began,
            time.thread_time() - used,
            children_s(postgres) - store,
        )
    finally:
        await connection.close()
        os.sched_setaffinity(0, CLIENT_CORES)
    return took


if __name__ == "__main__":
    asyncio.run(main())
