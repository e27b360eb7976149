"""The archiver with positions: rows per CPU-second, against single INSERTs and a bare COPY of the same rows.

Method. location.events is filled first, with records of 50 positions each in four partitions. Then the real archiver,
alone on its core, drains it. CPU time is the archiver's and PostgreSQL's together, from before the first row to the
last one; so starting and joining the group are not in it. Baselines: the same rows into the same table, by a loop in
asyncpg on the same core: COPY, a transaction for each 5,000 rows; and one prepared INSERT per row, a transaction each.
The CPU of both sides counts there, too. Rounds are interleaved; the median of the ratios is the result.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import uvloop

from archiver.positions import POSITIONS, PositionRow
from benchmarks.report import arguments, environment, ratio, say
from benchmarks.rig import Rig
from benchmarks.stores import (
    CLIENT_CORES,
    LAST_CORE,
    channels,
    children_s,
    commits,
    fill,
    pid_of,
    stores,
    worker,
)
from fanfare.bus.topics import LOCATION_EVENTS
from fanfare.record import Record

_Write = Callable[[Any, Sequence[PositionRow]], Awaitable[None]]
PARTITIONS: Final = 4
_GATHERED: Final = 50
_COPIED: Final = 5_000
_STUCK_S: Final = 120.0
_AIM_INSERT, _AIM_COPY = 10, 0.5
_INSERT: Final = (
    "INSERT INTO positions (entity_id, at_ms, seq, author_id, lat, lon, accuracy_m, heading_deg, speed_mps) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
)


async def main() -> None:
    """Measure."""
    asked = arguments("the archiver with positions against COPY and INSERT").parse_args()
    before = environment()
    rounds, records, single = (1, 200, 100) if asked.smoke else (5, 4_000, 3_000)
    inserts: list[tuple[float, float]] = []
    copies: list[tuple[float, float]] = []
    async with stores(location_partitions=PARTITIONS) as system:
        connection = await asyncpg.connect(system.run["postgres"])
        postgres, url = await pid_of(system, "postgres"), system.run["postgres"]
        try:
            for _ in range(rounds):
                made = _rows(records)
                found = await _archived(system, connection, postgres, made)
                await connection.execute("TRUNCATE positions")
                copied = await asyncio.to_thread(_apart, postgres, url, made, _copy)
                await connection.execute("TRUNCATE positions")
                inserted = await asyncio.to_thread(_apart, postgres, url, made[:single], _insert)
                copies.append((found, copied))
                inserts.append((found, inserted))
        finally:
            await connection.close()
    results = [
        ratio("positions, against single INSERTs", "rows/CPU-s", inserts, _AIM_INSERT),
        ratio("positions, against a bare COPY", "rows/CPU-s", copies, _AIM_COPY),
    ]
    say("positions", results, before, as_json=asked.json)


def _rows(records: int) -> list[PositionRow]:
    """Of 500 entities, one a second each."""
    begin_ms = int(time.time() * 1000) - 3_600_000
    return [
        PositionRow(
            entity_id=1_000_000 + n % 500,
            at_ms=begin_ms + n // 500 * 1000 + n % 500,
            seq=n // 500,
            author_id=2_000_000 + n % 500,
            lat=52.5 + n % 997 / 10_000,
            lon=13.4 + n % 991 / 10_000,
            accuracy_m=5.0,
            heading_deg=float(n % 360),
            speed_mps=8.0,
        )
        for n in range(records * _GATHERED)
    ]


async def _archived(system: Rig, connection: Any, postgres: int, rows: Sequence[PositionRow]) -> float:
    """Rows per CPU-second of the archiver and PostgreSQL."""
    await connection.execute("TRUNCATE positions")
    settings, rooms = system.settings(), channels(40, PARTITIONS)
    records = []
    for n in range(0, len(rows), _GATHERED):
        wire = [
            {"at" if name == "at_ms" else name: value for name, value in row._asdict().items()}
            for row in rows[n : n + _GATHERED]
        ]
        room = rooms[n // _GATHERED % len(rooms)]
        records.append(Record(type=POSITIONS, channel=room, author=1, payload=msgspec.json.encode(wire)))
    bounds = await fill(settings, LOCATION_EVENTS, records, PARTITIONS)
    firsts = {number: first for number, (first, _) in bounds.items()}
    await commits(settings, "archiver", LOCATION_EVENTS, firsts)
    await connection.execute("CHECKPOINT")
    made = await worker(system, "archiver", core=LAST_CORE)
    try:
        counted = "SELECT count(*) FROM positions"
        began = made.cpu_s() + children_s(postgres)
        async with asyncio.timeout(_STUCK_S):
            while not (stood := await connection.fetchval(counted)):
                await asyncio.sleep(0.002)
            if stood == len(rows):
                stood = 0  # all came in one batch, as few do: then starting counts, too
            else:
                began = made.cpu_s() + children_s(postgres)
            while (there := await connection.fetchval(counted)) < len(rows):
                await asyncio.sleep(0.05)
        return float(there - stood) / max(made.cpu_s() + children_s(postgres) - began, 0.01)
    finally:
        await made.stop()


def _apart(postgres: int, url: str, rows: Sequence[PositionRow], write: _Write) -> float:
    """`_timed` in a loop of this thread's own."""
    return uvloop.run(_timed(postgres, url, rows, write))


async def _timed(
    postgres: int,
    url: str,
    rows: Sequence[PositionRow],
    write: _Write,
) -> float:
    """Rows per CPU-second of this thread, on the archiver's core, and PostgreSQL."""
    os.sched_setaffinity(0, {LAST_CORE})
    connection = await asyncpg.connect(url)
    try:
        store, used = children_s(postgres), time.thread_time()
        await write(connection, rows)
        return len(rows) / max(time.thread_time() - used + children_s(postgres) - store, 0.01)
    finally:
        await connection.close()
        os.sched_setaffinity(0, CLIENT_CORES)


async def _copy(connection: Any, rows: Sequence[PositionRow]) -> None:
    for n in range(0, len(rows), _COPIED):
        await connection.copy_records_to_table(
            "positions", records=rows[n : n + _COPIED], columns=PositionRow._fields
        )


async def _insert(connection: Any, rows: Sequence[PositionRow]) -> None:
    statement = await connection.prepare(_INSERT)
    for row in rows:
        await statement.fetch(*row)


if __name__ == "__main__":
    asyncio.run(main())
