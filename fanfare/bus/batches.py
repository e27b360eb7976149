"""What happens to a batch of records: decode, handle, hold, retry, and set aside what cannot be processed.

- Something it needs is away (Kafka, Redis, PostgreSQL): the batch is held and retried for ever.
- The handler names a record (`PoisonError`), or a record cannot be decoded: dead letter, the rest goes on.
- Anything else: retried a few times, then halved again and again until the one record that fails is found.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from fanfare.bus.deadletters import DeadLetters
from fanfare.bus.names import TopicPartition
from fanfare.bus.outage import Backoff, is_outage
from fanfare.record import BadRecordError, Position, Record
from fanfare.service import FatalError
from fanfare.telemetry import metrics
from fanfare.telemetry.logs import Action

__all__ = ["BatchRunner", "Handler", "Incoming", "Message", "PoisonError", "TopicPartition", "decode"]

TRIES: Final = 3


class Message(Protocol):
    """A record as aiokafka gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Incoming(NamedTuple):
    """One record and where it stands."""

    record: Record
    offset: int
    appended_ms: int
    """When the broker appended it (topics with LogAppendTime), ms since 1970."""
    key: bytes
    headers: Sequence[tuple[str, bytes]]
    """As they came, unknown ones included."""


Handler = Callable[[TopicPartition, list[Incoming]], Awaitable[None]]


class PoisonError(Exception):
    """This record can never be processed: it goes to the dead letters, the others of its batch go on."""

    def __init__(self, record: Record, reason: str) -> None:
        """Args: record: one of the batch. reason: why, for people."""
        super().__init__(reason)
        self.record = record


def decode(partition: TopicPartition, message: Message) -> Incoming:
    """The record of a message; in a topic of events its own position is the source position.

    Raises:
        BadRecordError: it does not follow the format.

    """
    source = Position(*partition, message.offset) if partition.topic.endswith(".events") else None
    record = Record.from_kafka(message.headers, message.value, source)
    if record.source is None:
        raise BadRecordError("it has no source position")
    return Incoming(record, message.offset, message.timestamp, message.key or b"", message.headers)


class BatchRunner:
    """Runs the batches of one consumer."""

    def __init__(
        self, group: str, handler: Handler, dead_letters: DeadLetters, log: FilteringBoundLogger
    ) -> None:
        """Args: group: its name, for metrics. handler: does the work."""
        self._group = group
        self._handler = handler
        self._dead_letters = dead_letters
        self._log = log
        self._held: set[asyncio.Task[Any] | None] = set()
        self._seconds = metrics.HANDLE_SECONDS.labels(group)
        self._sizes = metrics.BATCH_SIZE.labels(group)
        self._outages = metrics.RETRIES.labels(group, "outage")
        self._errors = metrics.RETRIES.labels(group, "error")

    @property
    def held(self) -> int:
        """How many batches wait for something that is away."""
        return len(self._held)

    def is_held(self, task: asyncio.Task[Any]) -> bool:
        """Whether the batch that this task runs waits for something that is away."""
        return task in self._held

    async def run(self, partition: TopicPartition, messages: Sequence[Message]) -> None:
        """Process a batch; returns when each record of it was handled or is in the dead letters."""
        began = time.monotonic()
        batch = []
        for message in messages:
            try:
                batch.append(decode(partition, message))
            except BadRecordError as error:
                await self._bury(partition, message, str(error))
        try:
            await self._handle(partition, batch, TRIES)
        finally:
            self._release()
        self._seconds.observe(time.monotonic() - began)
        self._sizes.observe(len(messages))
        metrics.RECORDS.labels(self._group, partition.topic).inc(len(messages))
        metrics.BATCHES.labels(self._group, partition.topic).inc()

    async def _handle(self, partition: TopicPartition, batch: list[Incoming], tries: int) -> None:
        """Have a batch handled, whatever it takes."""
        backoff = Backoff()
        failures = 0
        while batch:
            try:
                await self._handler(partition, batch)
            except FatalError:
                raise
            except PoisonError as error:
                batch = await self._without(error, partition, batch)
                continue
            except Exception as error:  # noqa: BLE001 - decided here, and none is lost
                if is_outage(error):
                    self._outages.inc()
                    self._hold(partition, error)
                else:
                    failures += 1
                    self._failed(partition, batch, error)
                    if failures >= tries:
                        await self._halve(partition, batch, error)
                        return
            else:
                return
            await backoff.wait()

    async def _without(
        self, error: PoisonError, partition: TopicPartition, batch: list[Incoming]
    ) -> list[Incoming]:
        """The batch without the record that the handler named, which is in the dead letters then."""
        for incoming in batch:
            if incoming.record is error.record:
                await self._bury(partition, _message(incoming), str(error))
                return [each for each in batch if each is not incoming]
        raise error

    async def _halve(self, partition: TopicPartition, batch: list[Incoming], error: Exception) -> None:
        """Look for the record that makes a batch fail, in order, so that the others are handled."""
        if len(batch) == 1:
            await self._bury(partition, _message(batch[0]), repr(error))
            return
        half = len(batch) // 2
        for part in (batch[:half], batch[half:]):
            await self._handle(partition, part, 1 if len(part) > 1 else TRIES)

    def _failed(self, partition: TopicPartition, batch: list[Incoming], error: Exception) -> None:
        self._errors.inc()
        self._log.error(
            "a batch failed",
            action=Action.RETRY,
            partition=str(partition),
            records=len(batch),
            error=type(error).__name__,  # not its text, which may quote what somebody wrote
            where=_where(error),
        )

    async def _bury(self, partition: TopicPartition, message: Message, reason: str) -> None:
        """Move a record to the dead letters; waits as long as Kafka is away."""
        position = Position(*partition, message.offset)
        backoff = Backoff()
        while True:
            try:
                await self._dead_letters.write(
                    position, headers=message.headers, value=message.value, key=message.key, reason=reason
                )
            except Exception as error:
                if not is_outage(error):
                    raise
                self._hold(partition, error)
                await backoff.wait()
            else:
                break
        metrics.DEAD_LETTERS.labels(self._group, partition.topic).inc()
        self._log.error("record moved to the dead letters", action=Action.DEAD_LETTER, position=str(position))

    def _hold(self, partition: TopicPartition, error: Exception) -> None:
        if not self._held:  # once per outage
            self._log.warning(
                "holding, because something is away",
                action=Action.HOLD,
                partition=str(partition),
                error=f"{type(error).__name__}: {error}",
            )
        self._held.add(asyncio.current_task())
        metrics.HELD.labels(self._group).set(len(self._held))

    def _release(self) -> None:
        task = asyncio.current_task()
        if task in self._held:
            self._held.discard(task)
            metrics.HELD.labels(self._group).set(len(self._held))
            if not self._held:
                self._log.info("going on", action=Action.RESUME_WORK)


class _Buried(NamedTuple):
    """A decoded record as a message again."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def _message(incoming: Incoming) -> _Buried:
    return _Buried(
        incoming.offset, incoming.appended_ms, incoming.key, incoming.record.payload, incoming.headers
    )


def _where(error: BaseException) -> str:
    """File and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
