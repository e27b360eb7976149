"""Dead letters looked at again: list them, bring records back, drop them.

A dead-letter topic is its own ledger: letters, and records that say what became of a letter. Nothing in it changes.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from fanfare.bus.aiokafka_internals import partitions_of
from fanfare.bus.batches import BROUGHT_BACK, TopicPartition, decode
from fanfare.bus.careful import Careful
from fanfare.bus.client import KafkaAwayError, bootstrap, connection
from fanfare.bus.deadletters import (
    DEAD_APPENDED,
    DEAD_DONE,
    DEAD_ERROR,
    DEAD_GROUP,
    DEAD_LETTER,
    DEAD_POSITION,
    DEAD_REASON,
    DEAD_SHORTENED,
    DEAD_TIME,
    Header,
)
from fanfare.bus.names import Names
from fanfare.bus.producer import Producer
from fanfare.bus.topics import DELIVERIES_OF, dead_letters_of, list_topics, specs
from fanfare.clock import now_s
from fanfare.ids import snowflake_ms
from fanfare.record import BadRecordError, Position, Record
from fanfare.settings import Settings

__all__ = ["DROPPED", "RETRIED", "DeadLetter", "LetterError", "bring_back", "drop", "letters"]

RETRIED: Final = "retried"
DROPPED: Final = "dropped"
_FETCH_MS: Final = 500
_EVENTS_OF: Final = {deliveries: events for events, deliveries in DELIVERIES_OF.items()}
_FANOUT: Final = "fanout"


class LetterError(Exception):
    """A dead letter cannot be brought back; the message says why."""


class DeadLetter(NamedTuple):
    """One record that was set aside."""

    id: str
    """TOPIC/NUMBER: where the record came from, and the letter's number among the dead letters of that topic."""
    position: Position
    """Where the record stood."""
    group: str
    """The consumer group that set it aside."""
    error: str
    reason: str
    time_ms: int
    appended_ms: int
    """When the record was appended."""
    lacks: str
    """What of the record is left out, '' if nothing."""
    headers: list[Header]
    """Those that the record had."""
    key: bytes
    value: bytes
    done: str = ""
    """RETRIED, DROPPED or ''."""

    @property
    def number(self) -> int:
        """Its number among the dead letters of its topic."""
        return int(self.id.rpartition("/")[2])


async def letters(settings: Settings) -> list[DeadLetter]:
    """All dead letters that Kafka still has, the oldest first within a topic, done or not.

    Raises:
        KafkaAwayError: no broker answers.

    """
    there = set(await list_topics(settings))
    found: list[DeadLetter] = []
    for topic in specs(settings):
        if dead_letters_of(topic) in there:
            found += await _of_topic(settings, topic)
    return found


async def _of_topic(settings: Settings, topic: str) -> list[DeadLetter]:
    found: dict[int, DeadLetter] = {}
    async for message in _whole(settings, dead_letters_of(topic)):
        headers = dict(message.headers)
        if (done := headers.get(DEAD_DONE)) is not None:
            number = int(headers.get(DEAD_LETTER) or b"-1")
            if number in found:
                found[number] = found[number]._replace(done=done.decode())
        elif DEAD_POSITION in headers:
            found[message.offset] = _letter(topic, message, headers)
    return list(found.values())


def _letter(topic: str, message: Any, headers: Mapping[str, bytes]) -> DeadLetter:
    def said(name: str, default: str = "") -> str:
        return headers[name].decode(errors="replace") if name in headers else default

    return DeadLetter(
        id=f"{topic}/{message.offset}",
        position=Position.parse(said(DEAD_POSITION)),
        group=said(DEAD_GROUP),
        error=said(DEAD_ERROR),
        reason=said(DEAD_REASON),
        time_ms=int(said(DEAD_TIME, str(message.timestamp))),
        appended_ms=int(said(DEAD_APPENDED, str(message.timestamp))),
        lacks=said(DEAD_SHORTENED),
        headers=[header for header in message.headers if not header[0].startswith("dead-")],
        key=message.key or b"",
        value=message.value or b"",
    )


async def bring_back(settings: Settings, letter: DeadLetter) -> Position:
    """Append a record to the events topic that it came from, for the group that set it aside; then note that.

    The record is handled after all that is in the log by now. What clients got before stays as it is. So an old change
    that is brought back undoes a newer one.

    Args:
        settings: where Kafka is.
        letter: the letter.

    Returns:
        Its new position.

    Raises:
        LetterError: the letter is done already, its record cannot be read, or is not kept any more.
        KafkaError: Kafka is away; nothing is noted, and it may be tried again: the record still counts once.

    """
    if letter.done:
        raise LetterError(f"{letter.id} was {letter.done} already")
    headers, value = letter.headers, letter.value
    if letter.lacks:
        whole = await _at(settings, letter.position)
        headers, value = list(whole.headers), whole.value or b""
    try:
        record = decode(TopicPartition(*letter.position[:2]), _Again(headers, value)).record
    except BadRecordError as error:
        raise LetterError(f"{letter.id} cannot be read by this version, either: {error}") from None
    topic = _EVENTS_OF.get(letter.position.topic, letter.position.topic)
    async with _producer(settings, topic) as producer:
        sent = _renewed(letter, record, headers, delivered=topic != letter.position.topic)
        position = await producer.post_raw(
            topic,
            sent,  # type: ignore[arg-type] # Kafka knows headers without a value
            value,
            key=letter.key,
            partition=letter.position.partition,
        )
    await _note(settings, letter, RETRIED)
    return position


def _renewed(
    letter: DeadLetter, record: Record, headers: Iterable[Header], *, delivered: bool
) -> list[Header]:
    """The headers of a record that is brought back.

    Args:
        letter: the letter.
        record: the record in it.
        headers: the record's.
        delivered: whether it was a delivery; then the fan-out makes another one, with a new position, because inboxes
            leave out positions that they are past.

    """
    group = _FANOUT if delivered else letter.group
    # What the fan-out delivered once was not late.
    appended_ms = snowflake_ms(record.id) if delivered else letter.appended_ms
    kept = [header for header in headers if header[0] not in ("source", BROUGHT_BACK)]
    if group == _FANOUT:
        # The nonce may have been noted for the first position already; this one is for this letter alone.
        kept = [header for header in kept if header[0] != "nonce"]
        kept.append(("nonce", f"dead {letter.position}".encode()))
    return [(BROUGHT_BACK, f"{group} {appended_ms}".encode()), *kept]


async def drop(settings: Settings, letter: DeadLetter) -> None:
    """Note that nothing more is to be done about a letter.

    Raises:
        LetterError: it is done already.
        KafkaError: Kafka is away.

    """
    if letter.done:
        raise LetterError(f"{letter.id} was {letter.done} already")
    await _note(settings, letter, DROPPED)


async def _note(settings: Settings, letter: DeadLetter, what: str) -> None:
    topic = dead_letters_of(letter.position.topic)
    headers = [
        (DEAD_DONE, what.encode()),
        (DEAD_LETTER, str(letter.number).encode()),
        (DEAD_TIME, b"%d" % (now_s() * 1000)),
    ]
    async with _producer(settings, topic) as producer:
        await producer.post_raw(topic, headers, b"", key=b"", partition=0)


class _Again(NamedTuple):
    """A record as `decode` takes it."""

    headers: list[Any]
    value: bytes | None
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


@asynccontextmanager
async def _producer(settings: Settings, topic: str) -> AsyncGenerator[Producer, None]:
    producer = Producer(settings, topics=[topic])
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _at(settings: Settings, position: Position) -> Any:
    """The record at a position. Raises LetterError if it is not there any more."""
    async for message in _whole(settings, position.topic, position):
        if message.offset == position.offset:
            return message
        break
    raise LetterError(f"{position} is not kept any more, and the dead letter lacks a part of it")


async def _whole(settings: Settings, topic: str, begin: Position | None = None) -> AsyncGenerator[Any, None]:
    """The records that a topic has now, or those of one partition from a position on."""
    names = Names(settings)
    client: Any = AIOKafkaConsumer(
        **connection(settings), group_id=None, enable_auto_commit=False, fetch_max_wait_ms=50
    )
    try:
        await client.start()
        numbers = await partitions_of(client, names.kafka(topic))
        chosen = [
            names.partition((topic, number))
            for number in sorted(numbers)
            if begin is None or number == begin.partition
        ]
        client.assign(chosen)
        starts = await client.beginning_offsets(chosen)
        ends = await client.end_offsets(chosen)
        if begin is not None:
            starts = {partition: max(starts[partition], begin.offset) for partition in chosen}
        for partition in chosen:
            client.seek(partition, starts[partition])
        reader, open_ = Careful(client), {one for one in chosen if starts[one] < ends[one]}
        reader.begin(starts)
        while open_:
            for messages in (await reader.getmany(*open_, timeout_ms=_FETCH_MS)).values():
                for message in messages:
                    yield message
            open_ = {one for one in open_ if await client.position(one) < ends[one]}
    except (KafkaError, OSError) as error:
        raise KafkaAwayError(f"no Kafka broker answers at {bootstrap(settings)}: {error}") from None
    finally:
        await client.stop()
