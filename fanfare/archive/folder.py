"""A folder of Parquet files that grows by whole stretches of the log, each exactly once.

    messages/day=2026-11-27/hour=14/chat.events-3-120-467.parquet   offsets 120 to 467 of partition 3
    .state/chat.events-3.json     how far the partition is written
    .tmp/                         files that are not there yet

A stretch may fill several files. They are written under `.tmp`, and become one step by the state file, which names
them and where the next stretch begins, and is replaced at once. Whoever reads it next finishes the renames. So a
process may be killed anywhere, and two that believe to have the same partition write each record once: each holds the
partition's lock (`flock`) and leaves out what is below `next`.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fanfare.trouble import Trouble

__all__ = ["KINDS", "ArchiveFolder", "OtherLogError", "Span", "State", "place", "span_of"]

KINDS: Final = ("messages", "positions")
_SUFFIX: Final = ".parquet"
# A broker's clock may step back a little when another one becomes the leader.
_CLOCK_MS: Final = 60_000


class OtherLogError(Exception):
    """The folder holds records of another log, one that was there before the topic was made anew."""

    trouble = Trouble.REFUSED

    def __init__(self, partition: str) -> None:
        super().__init__(
            f"the Parquet folder has a later stretch of {partition} than there is in Kafka, where newer records stand: "
            "the topic was made anew. Move the folder away, or name another one in FANFARE_PARQUET"
        )


class Span(NamedTuple):
    """A stretch of a partition."""

    topic: str
    partition: int
    first: int
    last: int


class State(msgspec.Struct):
    """How far a partition is written."""

    next: int = 0
    """The first offset that is not."""
    appended_ms: int = 0
    """When Kafka appended the last record below it."""
    files: list[tuple[str, str]] = []
    """What belongs to it from `.tmp`, and its place; some or all may have been renamed already."""


def place(kind: str, span: Span, hour_ms: int) -> str:
    """Where a file lies: by the hour (UTC) in which Kafka took its records."""
    at = datetime.fromtimestamp(hour_ms / 1000, UTC)
    name = f"{span.topic}-{span.partition}-{span.first}-{span.last}{_SUFFIX}"
    return f"{kind}/day={at:%Y-%m-%d}/hour={at:%H}/{name}"


def span_of(path: Path) -> Span:
    """The stretch that a file is from. Raises ValueError: it is not one of ours."""
    topic, partition, first, last = path.name.removesuffix(_SUFFIX).rsplit("-", 3)
    return Span(topic, int(partition), int(first), int(last))


class ArchiveFolder:
    """The files. All that it does is blocking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in (".state", ".tmp"):
            (root / part).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, topic: str, partition: int) -> Iterator[State]:
        """Have a partition for oneself; its state, with all that belongs to it in its place."""
        name = f"{topic}-{partition}"
        with (self.root / ".state" / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read(name)
            self._finish(state)
            yield state

    def finish(self) -> None:
        """Put in its place what killed processes left behind."""
        for topic, partition in self.partitions():
            with self.locked(topic, partition):
                self.clear(topic, partition)

    def next(self, topic: str, partition: int) -> int:
        """How far a partition is written."""
        return self._read(f"{topic}-{partition}").next

    def partitions(self) -> list[tuple[str, int]]:
        """Of which partitions there is something."""
        found = []
        for path in (self.root / ".state").glob("*-*.json"):
            topic, number = path.stem.rsplit("-", 1)
            found.append((topic, int(number)))
        return sorted(found)

    def temporary(self, target: str) -> Path:
        """Where to write a file that shall lie there."""
        return self.root / ".tmp" / target.replace("/", "~")

    def commit(self, topic: str, partition: int, state: State) -> None:
        """Take a step, under the lock: from now on `state.files`, all written and synced, belong to the archive."""
        name = f"{topic}-{partition}"
        sync_folder(self.root / ".tmp")
        write_atomically(self.root / ".state" / f"{name}.json", msgspec.json.encode(state))
        self._finish(state)

    def check(self, state: State, partition: str, offset: int, appended_ms: int) -> None:
        """Raises: OtherLogError: a record that should have been written, by its offset, is newer than all that was."""
        if offset < state.next and appended_ms > state.appended_ms + _CLOCK_MS:
            raise OtherLogError(partition)

    def files(self, kind: str, topic: str = "", partition: int = -1) -> list[Path]:
        """The files of a kind, by their place; of one partition, if one is given."""
        name = f"{topic}-{partition}-*{_SUFFIX}" if topic else f"*{_SUFFIX}"
        return sorted((self.root / kind).glob(f"day=*/hour=*/{name}"))

    def clear(self, topic: str, partition: int) -> None:
        """Remove, under the lock, what a killed process left of steps that it did not take."""
        for path in (self.root / ".tmp").glob(f"*~{topic}-{partition}-*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def sync(self, folder: Path) -> None:
        """Make sure that the names in a folder last."""
        sync_folder(folder)

    def drop_days(self, kind: str, before: datetime) -> int:
        """Remove the days that end before a moment; how many."""
        dropped = 0
        for day in (self.root / kind).glob("day=*"):
            if day.name < f"day={before:%Y-%m-%d}":
                for path in sorted(day.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
                day.rmdir()
                dropped += 1
        return dropped

    def _read(self, name: str) -> State:
        try:
            return msgspec.json.decode((self.root / ".state" / f"{name}.json").read_bytes(), type=State)
        except FileNotFoundError:
            return State()

    def _finish(self, state: State) -> None:
        folders = set()
        for written, target in state.files:
            source, path = self.root / written, self.root / target
            if source.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                source.replace(path)
                folders |= {path.parent, path.parent.parent}
        for folder in folders:
            sync_folder(folder)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: after a crash it is the old one or the new one."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make sure that the names in a folder last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def synced(paths: Iterable[Path]) -> None:
    """Make sure that the content of files lasts."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
