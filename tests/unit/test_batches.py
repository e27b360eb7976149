"""What happens to a batch that fails."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from asyncpg import UndefinedTableError
from redis.exceptions import BusyLoadingError, NoPermissionError

from fanfare.bus import batches
from fanfare.bus.batches import BatchRunner, Incoming, PoisonError, TopicPartition, decode
from fanfare.bus.outage import Backoff
from fanfare.bus.producer import NotHandedOverError
from fanfare.errors import FatalError
from fanfare.record import Position, Record
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
        self.refusals: list[Exception] = []

    async def write(
        self,
        position: Position,
        *,
        headers: Iterable[tuple[str, bytes]],
        value: Any,
        key: Any,
        appended_ms: int,
        error: Exception,
    ) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.written.append((position, str(error), list(headers)))

    @property
    def offsets(self) -> list[int]:
        return [position.offset for position, _, _ in self.written]


class Worker:
    """A handler that does what `say` says of each batch, and keeps what went through."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.calls: list[list[int]] = []
        self.letters = Letters()
        self.ordered: set[int] = set()
        self.runner = BatchRunner("g", self.handle, self.letters, logs.get("test"), self.told)  # type: ignore[arg-type]
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

    async def told(self, group: str, position: Position) -> bool:
        assert group == "g"
        return position.offset in self.ordered

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
    worker.once = [ConnectionError(), BusyLoadingError(), NotHandedOverError("full"), TimeoutError()] * 5
    await worker.run(3)
    assert worker.done == [0, 1, 2]
    assert worker.letters.written == []
    assert len(worker.runner.holds) == 0


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
    assert runner.is_held(PARTITION)
    back.set()
    await task
    assert not runner.is_held(PARTITION)


@pytest.mark.parametrize("bad", [0, 3, 6])
async def test_a_record_that_our_code_fails_on_holds_its_partition(worker: Worker, bad: int) -> None:
    """Such a record went to the dead letters after three tries: so an error of ours lost what was accepted."""
    worker.poison = {bad: ValueError("broken")}
    task = asyncio.create_task(worker.run(7))
    while bad not in [calls[0] for calls in worker.calls[-3:] if len(calls) == 1]:
        await asyncio.sleep(0)
    assert worker.done == list(range(bad))
    assert worker.letters.written == []
    assert "code" in worker.runner.holds.problem()
    worker.poison.clear()
    await task
    assert sorted(worker.done) == worker.done == list(range(7))
    assert worker.letters.written == []


async def test_an_operator_can_set_it_aside(worker: Worker) -> None:
    worker.poison = {2: ValueError("broken")}
    worker.ordered = {2}
    await worker.run(5)
    assert worker.done == [0, 1, 3, 4]
    assert worker.letters.offsets == [2]


async def test_nobody_can_set_aside_what_is_held_by_an_outage(worker: Worker) -> None:
    """The record is in order, and the next one would be held as well."""
    worker.once = [ConnectionError()] * 20
    worker.ordered = {0}
    await worker.run(2)
    assert worker.done == [0, 1]
    assert worker.letters.written == []


async def test_a_hiccup_is_no_poison(worker: Worker) -> None:
    worker.once = [ValueError()] * 30
    await worker.run(3)
    assert worker.done == [0, 1, 2]
    assert worker.letters.written == []


@pytest.mark.parametrize(
    "error", [NoPermissionError(), TopicAuthorizationFailedError(), UndefinedTableError("x")]
)
async def test_a_right_or_a_table_that_is_not_there_holds_the_whole_batch(
    worker: Worker, error: Exception
) -> None:
    worker.once = [error] * 10
    await worker.run(4)
    assert worker.calls == [[0, 1, 2, 3]] * 11
    assert worker.letters.written == []


async def test_a_record_that_is_for_another_group_is_passed_by(worker: Worker) -> None:
    marks = [b"g 5", b"h 5", b"?"]
    messages = [Message(at, [("brought-back", said), *message(at).headers]) for at, said in enumerate(marks)]
    await worker.runner.run(PARTITION, messages)
    assert worker.done == [0]
    assert worker.letters.offsets == [2]


def test_a_record_that_was_brought_back_counts_as_appended_when_it_was_at_first() -> None:
    back = Message(7, [("brought-back", b"fanout 1234"), *message(7).headers], timestamp=99_999)
    assert decode(PARTITION, back).appended_ms == 1234


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
    worker.letters.refusals = [
        NotHandedOverError("away"),
        TopicAuthorizationFailedError(),
        MessageSizeTooLargeError(),
    ]
    await worker.runner.run(PARTITION, [Message(0, []), message(1)])
    assert worker.letters.offsets == [0]
    assert worker.done == [1]


@pytest.mark.parametrize(
    "bad",
    [
        Message(0, message(0).headers, None),
        Message(0, message(0).headers, b""),
        Message(0, [("v", b"1"), ("type", b"X"), ("id", b"9" * 30)]),
        Message(0, [("v", b"1"), ("type", b"X"), ("author", b"-1")]),
        Message(0, [("v", b"1"), ("type", b"X"), ("users", b"1,99999999999999999999")]),
        Message(0, [("v", b"1"), ("type", None)]),  # type: ignore[list-item]
    ],
)
async def test_what_no_database_or_client_could_take_is_poison(worker: Worker, bad: Message) -> None:
    await worker.runner.run(PARTITION, [bad, message(1)])
    assert worker.letters.offsets == [0]
    assert worker.done == [1]


async def test_a_fatal_error_is_not_swallowed(worker: Worker) -> None:
    worker.poison = {1: FatalError("settings do not match")}
    with pytest.raises(FatalError):
        await worker.run(2)
    assert worker.letters.written == []
