"""Parquet files as a sink: what came for a partition is gathered, and written as a step (fanfare.archive.folder).

What waits is in memory only, and its offsets are not committed: after a crash it is read again.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from archiver.positions import positions_of
from archiver.rows import Logged
from archiver.sinks import BATCH_ROWS, EVENTS, LEFT_OUT, ROWS
from fanfare.archive.folder import ArchiveFolder, Span, State, place
from fanfare.archive.forgotten import Forgotten
from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS
from fanfare.checks.rights import PARQUET_GROUP
from fanfare.settings import Settings
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["GROUP", "ParquetSink"]

GROUP: Final = PARQUET_GROUP

# A step has so many rows, or what came in this time.
_ROWS: Final = 20_000
_AFTER_S: Final = 60.0
_LOOK_S: Final = 5.0
_RETENTION_S: Final = 3600.0
_HOUR_MS: Final = 3_600_000
_KINDS: Final = {CHAT_EVENTS: "messages", LOCATION_EVENTS: "positions"}
_EVENTS: Final = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK"})

_log = logs.get("parquet")


@dataclass(slots=True)
class _Waiting:
    """What of a partition is not written yet."""

    next: int
    """The first offset that has not come."""
    safe: int
    """The first offset that is not written; what is below needs nothing more."""
    rows: list[tuple[int, int, tuple[Any, ...]]] = field(default_factory=list)
    """Offset, hour and row."""
    appended_ms: int = 0
    since_s: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ParquetSink:
    """Writes the log into files."""

    group = GROUP
    topics = EVENTS

    def __init__(self, settings: Settings, *, step_rows: int = _ROWS, after_s: float = _AFTER_S) -> None:
        """Args: step_rows, after_s: when a step is taken. Raises: OSError: the folder cannot be made."""
        assert settings.parquet is not None
        # Here and not above: pyarrow is there only where this sink is wanted.
        from fanfare.archive import parquet  # noqa: PLC0415

        self._parquet = parquet
        self._folder = ArchiveFolder(settings.parquet.expanduser())
        self._folder.finish()
        self._forgotten = Forgotten(self._folder.root)
        self._keep_days = {
            "messages": settings.keep_messages_days,
            "positions": settings.keep_positions_days,
        }
        self._step_rows = step_rows
        self._after_s = after_s
        self._waiting: dict[TopicPartition, _Waiting] = {}

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Take records in; returns once there is room for the next ones.

        Raises:
            PoisonError: a record cannot be archived.
            OtherLogError: the folder is of another log.
            OSError: the folder takes no files.

        """
        kind = _KINDS.get(partition.topic)
        if kind is None or not batch:
            return
        waiting = self._waiting.get(partition)
        if waiting is None:
            state = await asyncio.to_thread(self._checked, partition, batch)
            waiting = self._waiting[partition] = _Waiting(state.next, batch[0].offset)
        async with waiting.lock:
            self._take(waiting, kind, partition, batch)
        if len(waiting.rows) >= self._step_rows:
            await self._step(partition, waiting)

    def safe(self, partition: TopicPartition) -> int | None:
        """The first offset that waits."""
        waiting = self._waiting.get(partition)
        return None if waiting is None else waiting.safe

    async def run(self) -> None:
        """Take a step where something has waited for long; drop days that nobody wants any more."""
        retention_s = 0.0
        while True:
            await asyncio.sleep(min(_LOOK_S, self._after_s))
            try:
                await self.flush(self._after_s)
                if time.monotonic() - retention_s > _RETENTION_S:
                    await asyncio.to_thread(self._drop)
                    retention_s = time.monotonic()
            except OSError as error:
                _log.warning("the Parquet folder takes no files", action=Action.SINK, why=str(error))

    async def flush(self, after_s: float = 0.0) -> None:
        """Write what has waited for so long. Raises OSError."""
        for partition, waiting in list(self._waiting.items()):
            if waiting.rows and time.monotonic() - waiting.since_s >= after_s:
                await self._step(partition, waiting)

    def _checked(self, partition: TopicPartition, batch: list[Incoming]) -> State:
        with self._folder.locked(*partition) as state:
            self._folder.check(state, str(partition), batch[0].offset, batch[0].appended_ms)
            self._folder.clear(*partition)
            return state

    def _take(self, waiting: _Waiting, kind: str, partition: TopicPartition, batch: list[Incoming]) -> None:
        if not waiting.rows:
            waiting.since_s = time.monotonic()
        found = []
        for each in batch:
            if each.offset >= waiting.next and not each.record.ephemeral:
                hour = each.appended_ms // _HOUR_MS
                entry = Logged(each.record, each.offset, each.appended_ms)
                found += [(each.offset, hour, row) for row in _rows(kind, partition.partition, entry)]
        waiting.rows += found
        waiting.next = max(waiting.next, batch[-1].offset + 1)
        waiting.appended_ms = max(waiting.appended_ms, batch[-1].appended_ms)
        if not waiting.rows:
            waiting.safe = waiting.next

    async def _step(self, partition: TopicPartition, waiting: _Waiting) -> None:
        async with waiting.lock:
            written = await asyncio.to_thread(self._write, partition, waiting)
            waiting.rows = []
            waiting.safe = waiting.next
        if written:
            ROWS.labels(GROUP, _KINDS[partition.topic]).inc(written)
            BATCH_ROWS.labels(GROUP, _KINDS[partition.topic]).observe(written)

    def _write(self, partition: TopicPartition, waiting: _Waiting) -> int:
        """Write what waits, and is not there yet; how many rows."""
        topic, number = partition
        kind, written = _KINDS[topic], 0
        with self._folder.locked(topic, number) as state:
            self._folder.clear(topic, number)
            forgotten = self._forgotten.all()
            hours: dict[int, list[tuple[Any, ...]]] = {}
            first = waiting.next
            for offset, hour, row in waiting.rows:
                if offset >= state.next:
                    first = min(first, offset)
                    if forgotten.keeps(kind, row):
                        hours.setdefault(hour, []).append(row)
                    else:
                        LEFT_OUT.labels(GROUP, kind).inc()
            if waiting.next <= state.next:
                return 0  # another process has written it
            files = []
            for hour, rows in sorted(hours.items()):
                target = place(kind, Span(topic, number, first, waiting.next - 1), hour * _HOUR_MS)
                temporary = self._folder.temporary(target)
                self._parquet.write(temporary, kind, rows)
                files.append((str(temporary.relative_to(self._folder.root)), target))
                written += len(rows)
            self._folder.commit(topic, number, State(waiting.next, waiting.appended_ms, files))
        return written

    def _drop(self) -> None:
        for kind, days in self._keep_days.items():
            if days:
                self._folder.drop_days(kind, datetime.now(UTC) - timedelta(days=days))


def _rows(kind: str, partition: int, entry: Logged) -> Iterator[tuple[Any, ...]]:
    """The rows of a record, in the order of the columns."""
    record = entry.record
    where = (partition, entry.offset, entry.appended_ms)
    if kind == "positions":
        for at in positions_of(entry):
            yield (*where, at.entity_id, at.at_ms, at.seq, at.author_id, at.lat, at.lon, at.accuracy_m,
                   at.heading_deg, at.speed_mps)  # fmt: skip
    elif record.type in _EVENTS:
        text = record.payload.decode(errors="replace")
        at_ms = record.at or entry.appended_ms
        yield (*where, record.type, record.id, record.guild, record.channel, record.author, at_ms, text)
