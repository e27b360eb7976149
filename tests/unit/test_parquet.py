"""The Parquet files: each record once, whatever is killed or comes again, and whole or not at all."""

import os
import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest

from archiver.parquet import ParquetSink
from archiver.positions import POSITIONS
from archiver.rows import Logged
from fanfare.archive import parquet
from fanfare.archive.folder import ArchiveFolder, OtherLogError, Span, State, place, span_of
from fanfare.archive.forget import forget_files, left_in_files
from fanfare.archive.forgotten import Forgotten
from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.record import Record
from fanfare.settings import Settings
from tests.unit.test_archiver_rows import positions

NOON_MS = 1_795_608_000_000  # 2026-11-25T12:00Z
HOUR_MS = 3_600_000
CHAT = TopicPartition(CHAT_EVENTS, 3)
LOCATION = TopicPartition(LOCATION_EVENTS, 0)


def sink_in(folder: Path, **more) -> ParquetSink:
    return ParquetSink(Settings(parquet=folder), **{"step_rows": 1_000_000, **more})


def event(offset: int, kind: str = "MESSAGE_CREATE", *, author: int = 5, at_ms: int = 0) -> Incoming:
    at_ms = at_ms or NOON_MS + offset
    body = b'{"id":"%d","content":"text %d"}' % (offset, offset)
    record = Record(type=kind, id=offset, channel=7, guild=8, author=author, at=at_ms, payload=body)
    return Incoming(record, offset, at_ms, b"", ())


def of(entry: Logged) -> Incoming:
    return Incoming(entry.record, entry.offset, entry.appended_ms, b"", ())


def offsets(folder: Path, kind: str = "messages") -> list[int]:
    files = ArchiveFolder(folder).files(kind)
    return sorted(row["offset"] for path in files for row in parquet.rows(path))


async def test_files_lie_by_day_and_hour_and_duckdb_reads_them(tmp_path):
    sink = sink_in(tmp_path)
    await sink.handle(CHAT, [event(0), event(1, "TYPING_START"), event(2, at_ms=NOON_MS + HOUR_MS)])
    entry = positions(9, [(33, NOON_MS, 1), (34, NOON_MS, 2)], NOON_MS)
    await sink.handle(LOCATION, [of(entry)])
    assert not offsets(tmp_path)
    assert (sink.safe(CHAT), sink.safe(LOCATION)) == (0, 9), "what waits is not committed"
    await sink.flush()
    assert (sink.safe(CHAT), sink.safe(LOCATION)) == (3, 10)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet"))
    assert names == [
        "messages/day=2026-11-25/hour=12/chat.events-3-0-2.parquet",
        "messages/day=2026-11-25/hour=13/chat.events-3-0-2.parquet",
        "positions/day=2026-11-25/hour=12/location.events-0-9-9.parquet",
    ]
    with duckdb.connect() as database:
        found = database.sql(
            f"SELECT hour, type, author_id, payload->>'content' FROM read_parquet("
            f"'{tmp_path}/messages/*/*/*.parquet', hive_partitioning = true) ORDER BY \"offset\""
        ).fetchall()
        assert [(str(hour), *rest) for hour, *rest in found] == [
            ("12", "MESSAGE_CREATE", 5, "text 0"),
            ("13", "MESSAGE_CREATE", 5, "text 2"),
        ]
        where = f"'{tmp_path}/positions/*/*/*.parquet'"
        assert database.sql(f"SELECT entity_id, lat, speed_mps FROM {where} ORDER BY 1").fetchall() == [
            (33, 52.5, 7.0),
            (34, 52.5, 7.0),
        ]


async def test_the_query_of_the_docs(tmp_path, monkeypatch):
    """Two vans: one stands, one drives a hundredth of a degree to the north, twice."""
    sink = sink_in(tmp_path)
    document = (Path(__file__).parents[2] / "docs/topics/archive.md").read_text()
    query = document.partition("```sql\n")[2].partition("```")[0]
    for offset, (entity, lat) in enumerate([(33, 52.5), (34, 52.5), (34, 52.51), (33, 52.5), (34, 52.52)]):
        wire = [
            {"entity_id": entity, "at": NOON_MS + offset * 1000, "lat": lat, "lon": 13.4, "speed_mps": offset}
        ]
        record = Record(type=POSITIONS, author=9, payload=msgspec.json.encode(wire))
        await sink.handle(LOCATION, [Incoming(record, offset, NOON_MS, b"", ())])
    await sink.flush()
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        assert database.sql(query).fetchall() == [(33, 2, 3.0, 0.0), (34, 3, 4.0, 2224.0)]


async def test_what_comes_again_is_written_once_by_whichever_process(tmp_path):
    """Two sinks that believe to have the same partition, batches that come again, steps of any size."""
    dice = random.Random(3)
    sinks = [sink_in(tmp_path, step_rows=dice.choice([1, 7, 50])) for _ in range(3)]
    committed = 0
    for _ in range(200):
        sink = dice.choice(sinks)
        first = committed
        for begin in range(first, min(first + dice.randint(1, 60), 500), 9):
            await sink.handle(CHAT, [event(each) for each in range(begin, min(begin + 9, 500))])
            if dice.random() < 0.2:
                await sink.flush()
        committed = max(committed, sink.safe(CHAT) or 0)
        if dice.random() < 0.2:
            sinks[sinks.index(sink)] = sink_in(tmp_path, step_rows=dice.choice([1, 7, 50]))
    last = sink_in(tmp_path)
    await last.handle(CHAT, [event(each) for each in range(committed, 500)])
    await last.flush()
    assert offsets(tmp_path) == list(range(500))


class _Killed(BaseException):
    """Nothing that the code would catch."""


class _Killer:
    """Ends the work before one of the calls that change files."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.calls, self._at = 0, at
        for owner, names in ((Path, ("replace", "unlink", "open")), (os, ("fsync",)), (pq, ("write_table",))):
            for name in names:
                patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, function):
        def call(*args, **more):
            self.calls += 1
            if self.calls == self._at:
                raise _Killed
            return function(*args, **more)

        return call


async def _sixty(folder: Path) -> None:
    """Take a partition of 60 records, five minutes apart, from where the folder has it."""
    sink = sink_in(folder, step_rows=20)
    for first in range(ArchiveFolder(folder).next(*CHAT), 60, 10):
        await sink.handle(CHAT, [event(n, at_ms=NOON_MS + n * 300_000) for n in range(first, first + 10)])
    await sink.flush()


async def test_a_process_that_is_killed_at_any_step_leaves_all_or_nothing(tmp_path):
    """It is ended before each of its calls that change files, again on the way of the next one, and then goes on."""
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        finished = False
        for limit in (at, at // 2 + 1):
            with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
                killer = _Killer(patch, limit)
                await _sixty(folder)
                finished = killer.calls < at
            # Whatever lies there is whole.
            assert len(offsets(folder)) == len(set(offsets(folder)))
        await _sixty(folder)
        assert sorted(offsets(folder)) == list(range(60)), at
        assert not list((folder / ".tmp").iterdir())
        if finished:
            assert at > 40
            return
    pytest.fail("it was never let finish")


async def test_the_log_of_a_topic_made_anew_is_not_taken_for_the_old_one(tmp_path):
    sink = sink_in(tmp_path)
    await sink.handle(CHAT, [event(each) for each in range(10)])
    await sink.flush()
    await sink_in(tmp_path).handle(CHAT, [event(each) for each in range(10)])
    with pytest.raises(OtherLogError, match="made anew"):
        await sink_in(tmp_path).handle(CHAT, [event(0, at_ms=NOON_MS + HOUR_MS)])


async def test_a_folder_that_takes_no_files_loses_nothing(tmp_path, monkeypatch):
    sink = sink_in(tmp_path)
    await sink.handle(CHAT, [event(each) for each in range(10)])

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sink._folder, "commit", full)
        with pytest.raises(OSError, match="No space"):
            await sink.flush()
    assert sink.safe(CHAT) == 0
    await sink.flush()
    assert offsets(tmp_path) == list(range(10))


async def test_days_that_are_over_are_dropped_and_what_is_forgotten_is_not_written(tmp_path):
    Forgotten(ArchiveFolder(tmp_path).root).add(6, NOON_MS + 1)
    sink = sink_in(tmp_path)
    log = [
        event(0),
        event(1, author=6),
        event(2, author=6),
        event(3, "MESSAGE_DELETE", author=6, at_ms=NOON_MS),
    ]
    await sink.handle(CHAT, log)
    await sink.flush()
    assert offsets(tmp_path) == [0, 2, 3], "what was written later, and whom they deleted, is"
    folder = ArchiveFolder(tmp_path)
    assert folder.drop_days("messages", datetime(2026, 11, 25, 23, tzinfo=UTC)) == 0
    assert folder.drop_days("messages", datetime(2026, 11, 26, 1, tzinfo=UTC)) == 1
    assert not offsets(tmp_path)
    assert folder.next(*CHAT) == 4


def test_the_name_of_a_file_says_what_it_holds():
    span = Span("chat.events", 3, 120, 467)
    assert span_of(Path(place("messages", span, NOON_MS))) == span


def test_a_step_is_finished_by_whoever_comes_next(tmp_path):
    folder = ArchiveFolder(tmp_path)
    target = place("messages", Span("chat.events", 3, 0, 1), NOON_MS)
    temporary = folder.temporary(target)
    temporary.write_bytes(b"x")
    written = str(temporary.relative_to(tmp_path))
    with folder.locked(*CHAT) as state:
        assert state.next == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_finish", lambda _: None)  # killed
        folder.commit(*CHAT, State(2, NOON_MS, [(written, target)]))
    assert temporary.exists()
    with ArchiveFolder(tmp_path).locked(*CHAT) as state:
        assert state.next == 2
    assert (tmp_path / target).read_bytes() == b"x"
    assert folder.partitions() == [CHAT]


async def test_a_user_is_forgotten_in_every_file_and_the_others_are_not(tmp_path):
    sink, text = sink_in(tmp_path), '"referenced_message":{"author":{"id":"6"},"content":"secret"}'
    log = [event(0), event(1, author=6), event(2, author=6, at_ms=NOON_MS + HOUR_MS), event(3)]
    log[3] = log[3]._replace(record=msgspec.structs.replace(log[3].record, payload=b"{%b}" % text.encode()))
    await sink.handle(CHAT, log)
    await sink.handle(LOCATION, [of(positions(1, [(3, NOON_MS, 1)], NOON_MS))])
    await sink.flush()
    assert left_in_files(tmp_path, 6, NOON_MS + 10) == 2
    assert forget_files(tmp_path, 6, NOON_MS + 10) == 2
    assert left_in_files(tmp_path, 6, NOON_MS + 10) == 0
    assert offsets(tmp_path) == [0, 2, 3], "what was written later stays"
    files = ArchiveFolder(tmp_path)
    kept = {row["offset"]: row["payload"] for path in files.files("messages") for row in parquet.rows(path)}
    assert kept[3] == '{"referenced_message":null}'
    assert kept[0] == log[0].record.payload.decode()
    assert forget_files(tmp_path, 9, NOON_MS) == 1
    assert offsets(tmp_path, "positions") == []
    await sink_in(tmp_path).handle(CHAT, log)
    assert not list((tmp_path / ".tmp").iterdir())
