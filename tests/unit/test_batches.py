"""What happens to a batch that fails."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from redis.exceptions import BusyLoadingError

from fanfare.bus import batches
from fanfare.bus.batches import TRIES, BatchRunner, Incoming, PoisonError, TopicPartition
from fanfare.bus.outage import Backoff
from fanfare.bus.producer import RefusedError
from fanfare.record import Position, Record
from fanfare.service import FatalError
from fanfare.telemetry import logs

PARTITION = TopicPartition("chat.events", 2)


class Message(NamedTuple):
    offset: int
    headers: list[tuple[str, bytes]]
    value: bytes | None = b"{}"
    key: bytes | None = b"k"
    timestamp: int = 0


class Letters:
    """Dead letters in memory; refuses as often as told."""

    def __init__(self) -> None:
        self.written: list[tuple[Position, str, list[tuple[str, bytes]]]] = []
        self.refusals = 0

    async def write(
        self, position: Position, *, headers: Iterable[tuple[str, bytes]], value: Any, key: Any, reason: str
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RefusedError("Kafka is away")
        self.written.append((position, reason, list(headers)))

    @property
    def offsets(self) -> list[int]:
        return [position.offset for position, _, _ in self.written]


class Worker:
    """A handler that does what `say` says of each batch, and keeps what went through."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.calls: list[list[int]] = []
        self.letters = Letters()
        self.runner = BatchRunner("g", self.handle, self.letters, logs.get("test"))  # type: ignore[arg-type]
        self.poison: dict[int, Exception] = {}
        self.once: list[Exception] = []

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        offsets = [each.offset for each in batch]
        self.calls.append(offsets)
        if self.once:
            raise self.once.pop(0)
        for offset in offsets:
            if offset in self.poison:
                raise self.poison[offset]
        self.done += offsets

    async def run(self, count: int) -> None:
        await self.runner.run(PARTITION, [message(offset) for offset in range(count)])


def message(offset: int) -> Message:
    return Message(offset, Record(type="X", id=offset).headers())


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    async def wait(self: Backoff) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(batches.Backoff, "wait", wait)
    return Worker()


async def test_a_batch_is_handled_once_and_in_order(worker: Worker) -> None:
    await worker.run(5)
    assert worker.calls == [[0, 1, 2, 3, 4]]
    assert worker.letters.written == []


async def test_what_is_away_comes_back(worker: Worker) -> None:
    worker.once = [ConnectionError(), BusyLoadingError(), RefusedError("full"), TimeoutError()] * 5
    await worker.run(3)
    assert worker.done == [0, 1, 2]
    assert worker.letters.written == []
    assert worker.runner.held == 0


async def test_a_batch_is_held_while_something_is_away(worker: Worker) -> None:
    back = asyncio.Event()
    held = asyncio.Event()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if not back.is_set():
            held.set()
            raise ConnectionError

    runner = BatchRunner("g", handle, worker.letters, logs.get("test"))  # type: ignore[arg-type]
    task = asyncio.create_task(runner.run(PARTITION, [message(0)]))
    await held.wait()
    await asyncio.sleep(0)
    assert runner.is_held(task)
    back.set()
    await task
    assert not runner.is_held(task)


@pytest.mark.parametrize("bad", [0, 3, 6])
async def test_the_one_record_that_fails_is_found(worker: Worker, bad: int) -> None:
    worker.poison = {bad: ValueError("broken")}
    await worker.run(7)
    assert worker.done == [offset for offset in range(7) if offset != bad]
    assert worker.letters.offsets == [bad]
    assert "broken" in worker.letters.written[0][1]


async def test_all_can_fail(worker: Worker) -> None:
    worker.poison = {offset: ValueError() for offset in range(4)}
    await worker.run(4)
    assert worker.done == []
    assert worker.letters.offsets == [0, 1, 2, 3]


async def test_a_hiccup_is_no_poison(worker: Worker) -> None:
    worker.once = [ValueError()] * (TRIES - 1)
    await worker.run(2)
    assert worker.done == [0, 1]
    assert worker.letters.written == []


async def test_the_handler_can_name_the_record(worker: Worker) -> None:
    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        for each in batch:
            if each.offset == 1:
                raise PoisonError(each.record, "no such audience")
        worker.done += [each.offset for each in batch]

    runner = BatchRunner("g", handle, worker.letters, logs.get("test"))  # type: ignore[arg-type]
    await runner.run(PARTITION, [message(offset) for offset in range(3)])
    assert worker.done == [0, 2]
    position, reason, headers = worker.letters.written[0]
    assert position == Position("chat.events", 2, 1)
    assert reason == "no such audience"
    assert headers == message(1).headers


async def test_what_cannot_be_decoded_never_reaches_the_handler(worker: Worker) -> None:
    await worker.runner.run(PARTITION, [message(0), Message(1, [("v", b"9")]), Message(2, []), message(3)])
    assert worker.done == [0, 3]
    assert worker.letters.offsets == [1, 2]


async def test_deliveries_need_a_source(worker: Worker) -> None:
    record = Record(type="X", source=Position("chat.events", 0, 7))
    deliveries = TopicPartition("chat.deliveries", 0)
    await worker.runner.run(deliveries, [Message(0, record.headers()), message(1)])
    assert worker.done == [0]
    assert worker.letters.offsets == [1]


async def test_dead_letters_wait_for_kafka(worker: Worker) -> None:
    worker.letters.refusals = 3
    worker.poison = {0: ValueError()}
    await worker.run(2)
    assert worker.letters.offsets == [0]
    assert worker.done == [1]


async def test_a_fatal_error_is_not_swallowed(worker: Worker) -> None:
    worker.poison = {1: FatalError("settings do not match")}
    with pytest.raises(FatalError):
        await worker.run(2)
    assert worker.letters.written == []
