"""What happens to a batch of records: decode, handle, hold, retry, and set aside what is poison.

- A record cannot be decoded, or the handler names it as one that makes no sense (`PoisonError`): dead letter, the
  rest goes on. Nothing else makes a record poison.
- Whatever else goes wrong (a store is away or says no, a right or a table is missing, our own code fails): the
  partition is held, loudly, and the batch is tried again until it is mended.
- Where one record may be the cause, what stands before it is handled, so that the partition is held at that record and
  can name it. An operator may order that it be set aside.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from fanfare.bus.deadletters import DeadLetters
from fanfare.bus.holds import Holds
from fanfare.bus.names import TopicPartition
from fanfare.bus.outage import Backoff
from fanfare.diagnosis import trouble_of
from fanfare.errors import FatalError
from fanfare.record import FENCE, BadRecordError, Position, Record
from fanfare.telemetry import metrics
from fanfare.telemetry.logs import Action
from fanfare.trouble import ONE_RECORD, PASSES, Trouble

__all__ = [
    "BROUGHT_BACK",
    "BatchRunner",
    "Handler",
    "Incoming",
    "Message",
    "Orders",
    "PoisonError",
    "TopicPartition",
    "decode",
    "readable",
]

BROUGHT_BACK: Final = "brought-back"
"""Header, the first one: the group that a record is for, a space, and when the dead letter was appended at first."""
# A record of more fits into no request, whatever the topic's limit.
_RECORD_BYTES: Final = 1_000_000


class Message(Protocol):
    """A record as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When it was made or appended, in milliseconds since 1970; the topic's settings say which of both."""

    @property
    def key(self) -> bytes | None:
        """What decides its partition."""

    @property
    def value(self) -> bytes | None:
        """The payload."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and values; a name may come more than once."""


class Incoming(NamedTuple):
    """One record and where it stands."""

    record: Record
    offset: int
    appended_ms: int
    """When the broker appended it (topics with LogAppendTime), at first if it was brought back; ms since 1970."""
    key: bytes
    headers: Sequence[tuple[str, bytes]]
    """As they came, unknown ones included."""
    only: str = ""
    """The group that it is for, where it is not for all: of a dead letter that was brought back."""


Handler = Callable[[TopicPartition, list[Incoming]], Awaitable[None]]
Orders = Callable[[str, Position], Awaitable[bool]]
"""Whether an operator has ordered a group to set the record at a position aside."""


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
    if not record.payload and record.type != FENCE:
        raise BadRecordError("it has no payload")
    incoming = Incoming(record, message.offset, message.timestamp, message.key or b"", message.headers)
    if message.headers[0][0] == BROUGHT_BACK:  # only there, so that no other record has to be searched for it
        return _brought_back(incoming, message.headers[0][1])
    return incoming


def readable(partition: TopicPartition, messages: Iterable[Message]) -> list[Incoming]:
    """The records of those messages that can be decoded; the workers set the others aside."""
    found = []
    for message in messages:
        with suppress(BadRecordError):
            found.append(decode(partition, message))
    return found


def _brought_back(incoming: Incoming, said: bytes) -> Incoming:
    try:
        group, appended_ms = said.decode().split(" ")
        return incoming._replace(only=group, appended_ms=int(appended_ms))
    except ValueError as error:
        raise BadRecordError(f"{BROUGHT_BACK}: {error}") from error


class BatchRunner:
    """Runs the batches of one consumer."""

    def __init__(
        self,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        log: FilteringBoundLogger,
        told_to_bury: Orders | None = None,
    ) -> None:
        """A runner for all partitions of a group that this member has.

        Args:
            group: its name, for metrics.
            handler: does the work.
            dead_letters: where poison goes.
            log: of the consumer.
            told_to_bury: asked while a record holds its partition, whether an operator ordered it to be set aside;
                without it nobody can order that.

        """
        self._group = group
        self._handler = handler
        self._dead_letters = dead_letters
        self._log = log
        self._told_to_bury = told_to_bury
        self.holds = Holds(group, log)
        self._seconds = metrics.HANDLE_SECONDS.labels(group)
        self._sizes = metrics.BATCH_SIZE.labels(group)
        self._retries = {
            passes: metrics.RETRIES.labels(group, "outage" if passes else "error") for passes in (True, False)
        }

    def is_held(self, partition: TopicPartition) -> bool:
        """Whether a batch of this partition waits for something to be mended."""
        return str(partition) in self.holds

    async def run(self, partition: TopicPartition, messages: Sequence[Message]) -> None:
        """Process a batch; returns when each record of it was handled or is in the dead letters."""
        began = time.monotonic()
        batch = []
        try:
            for message in messages:
                try:
                    incoming = decode(partition, message)
                except BadRecordError as error:
                    await self._bury(partition, message, error)
                    continue
                if incoming.only in ("", self._group):
                    batch.append(incoming)
            await self._handle(partition, batch)
        finally:
            self.holds.release(str(partition))
        self._seconds.observe(time.monotonic() - began)
        self._sizes.observe(len(messages))
        metrics.RECORDS.labels(self._group, partition.topic).inc(len(messages))
        metrics.BATCHES.labels(self._group, partition.topic).inc()

    async def _handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Call the handler with a batch, again and again, until each of its records is dealt with."""
        size, backoff = len(batch), Backoff()
        while batch:
            part = batch[:size]
            try:
                await self._handler(partition, part)
            except FatalError:
                raise
            except Exception as error:  # noqa: BLE001 - decided here, and none is lost
                if isinstance(error, PoisonError) and (bad := _index(batch, error.record)) is not None:
                    await self._bury(partition, _message(batch[bad]), error)
                    del batch[bad]
                    continue
                trouble = trouble_of(error)
                self._retries[trouble in PASSES].inc()
                if trouble in ONE_RECORD and len(part) > 1:
                    # The records before the one that fails are handled, and the rest waits.
                    size = len(part) // 2
                    continue
                position = Position(*partition, batch[0].offset)
                if trouble is Trouble.TOO_LARGE and _size(batch[0]) > _RECORD_BYTES:
                    await self._bury(partition, _message(batch[0]), error)
                    del batch[0]
                    continue
                self.holds.hold(str(partition), error, self._advice(trouble, position))
                if trouble not in PASSES and await self._ordered(position):
                    await self._bury(partition, _message(batch[0]), error)
                    del batch[0]
                    continue
                await backoff.wait()
            else:
                del batch[: len(part)]
                size, backoff = min(2 * size, len(batch)), Backoff()
                self.holds.release(str(partition))

    async def _ordered(self, position: Position) -> bool:
        return self._told_to_bury is not None and await self._told_to_bury(self._group, position)

    def _advice(self, trouble: Trouble, position: Position) -> str:
        if trouble not in ONE_RECORD:
            return ""
        return (
            f"to set the record aside at which the partition is held: `fanfare dead-letters bury "
            f"{position.topic} {position.partition} {position.offset} --group {self._group}`"
        )

    async def unreadable(self, partition: TopicPartition, offset: int, error: Exception) -> None:
        """Set a record aside of which aiokafka cannot even read the parts; waits as long as Kafka is away."""
        await self._bury(partition, _Buried(offset, 0, None, None, ()), error)

    async def _bury(self, partition: TopicPartition, message: Message, error: Exception) -> None:
        """Move a record to the dead letters; waits as long as Kafka is away."""
        position = Position(*partition, message.offset)
        backoff = Backoff()
        while True:
            try:
                await self._dead_letters.write(
                    position,
                    headers=message.headers,
                    value=message.value,
                    key=message.key,
                    appended_ms=message.timestamp,
                    error=error,
                )
            except Exception as away:  # noqa: BLE001 - whatever it is, the record must not be lost
                self.holds.hold(str(partition), away)
                await backoff.wait()
            else:
                break
        metrics.DEAD_LETTERS.labels(self._group, partition.topic).inc()
        self._log.error("record moved to the dead letters", action=Action.DEAD_LETTER, position=str(position))


def _size(incoming: Incoming) -> int:
    """About what a record takes in the log, in bytes."""
    headers = sum(len(name) + len(value or b"") + 4 for name, value in incoming.headers)
    return len(incoming.record.payload) + len(incoming.key) + headers


def _index(batch: Sequence[Incoming], record: Record) -> int | None:
    """Where a record stands in a batch."""
    return next((place for place, each in enumerate(batch) if each.record is record), None)


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
