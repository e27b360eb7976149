"""Dead letters: poison records, kept with the reason so that they can be looked at and brought back.

A dead letter has the key, the value and the headers of the record, and more headers: `dead-error` and `dead-reason`
(the class and the words of the error), `dead-position` (topic/partition/offset where it stood), `dead-group`,
`dead-time` and `dead-appended` (when it was set aside, and when the record was appended; ms since 1970). What would be
too large is shortened: then `dead-shortened` says what is lacking. The record itself stays at its position for as long
as its topic keeps it.

The same topic says what became of a letter, in a record with the headers `dead-done` and `dead-letter` (its offset).
"""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from aiokafka.errors import MessageSizeTooLargeError

from fanfare.bus.producer import Producer
from fanfare.bus.topics import dead_letters_of
from fanfare.clock import now_s
from fanfare.record import Position
from fanfare.settings import Settings

__all__ = [
    "DEAD_APPENDED",
    "DEAD_DONE",
    "DEAD_ERROR",
    "DEAD_GROUP",
    "DEAD_LETTER",
    "DEAD_POSITION",
    "DEAD_REASON",
    "DEAD_SHORTENED",
    "DEAD_TIME",
    "LETTER_BYTES",
    "DeadLetters",
    "Header",
    "Letter",
    "LettersAwayError",
    "shortened",
]

DEAD_ERROR: Final = "dead-error"
DEAD_REASON: Final = "dead-reason"
DEAD_POSITION: Final = "dead-position"
DEAD_GROUP: Final = "dead-group"
DEAD_TIME: Final = "dead-time"
DEAD_APPENDED: Final = "dead-appended"
DEAD_SHORTENED: Final = "dead-shortened"
DEAD_DONE: Final = "dead-done"
DEAD_LETTER: Final = "dead-letter"

_REASON_CHARS: Final = 500
# The most bytes of a letter: below what Kafka takes, with room for what the protocol adds.
LETTER_BYTES: Final = 900_000
# The part of them that the record's own headers may take, and its key.
_HEADER_BYTES: Final = 100_000
_KEY_BYTES: Final = 10_000
# If a topic takes less than it should, a letter goes there without anything of the record.
_LEAST_BYTES: Final = 0
_PER_HEADER: Final = 10
_START_S: Final = 5.0

Header = tuple[str, bytes | None]


class LettersAwayError(ConnectionError):
    """Dead letters cannot be written: their topics are not there, we have no right to them, or Kafka is away."""


class Letter(NamedTuple):
    """The parts of a record that go into its dead letter."""

    headers: list[Header]
    value: bytes
    key: bytes
    lacks: str
    """What was left out, in words; '' if nothing was."""


def shortened(headers: Iterable[Header], value: bytes, key: bytes, most: int = LETTER_BYTES) -> Letter:
    """As much of a record as fits.

    Args:
        headers: its headers; the first ones are kept.
        value: its value; its beginning is kept.
        key: its key.
        most: the bytes that it all may take.

    """
    said = []
    every = list(headers)
    kept: list[Header] = []
    used = 0
    for name, content in every:
        size = len(name.encode(errors="replace")) + len(content or b"") + _PER_HEADER
        if used + size > min(_HEADER_BYTES, most):
            said.append(f"{len(kept)} of {len(every)} headers")
            break
        kept.append((name, content))
        used += size
    if len(key) > (room := min(_KEY_BYTES, most)):
        said.append(f"{room} of {len(key)} bytes of the key")
        key = key[:room]
    if len(value) > (room := max(most - used - len(key), 0)):
        said.append(f"{room} of {len(value)} bytes of the value")
        value = value[:room]
    return Letter(kept, value, key, ", ".join(said))


class DeadLetters:
    """Writes dead letters; connects when the first one comes."""

    def __init__(self, settings: Settings, group: str, topics: Iterable[str]) -> None:
        """Args: group: the consumer group that could not process the records. topics: where the records come from."""
        self._group = group
        self._topics = [dead_letters_of(topic) for topic in topics]
        self._producer = Producer(settings, topics=self._topics)
        self._started = False
        self._lock = asyncio.Lock()

    async def write(
        self,
        position: Position,
        *,
        headers: Iterable[Header],
        value: bytes | None,
        key: bytes | None,
        appended_ms: int,
        error: Exception,
    ) -> None:
        """Write one; returns when Kafka has it.

        Raises:
            LettersAwayError: the topics cannot be reached.
            NotHandedOverError: Kafka is away.
            KafkaError: Kafka did not take it.

        """
        async with self._lock:
            if not self._started:
                await self._start()
                self._started = True
        headers = list(headers)
        whole = shortened(headers, value or b"", key or b"")
        try:
            await self._post(position, whole, appended_ms, error)
        except MessageSizeTooLargeError:
            least = shortened(headers, value or b"", key or b"", _LEAST_BYTES)
            await self._post(position, least, appended_ms, error)

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(_START_S):
                await self._producer.start()
        except TimeoutError:
            topics = ", ".join(self._topics)
            raise LettersAwayError(
                f"{topics}: not reached in {_START_S:.0f} s. Do these topics exist, and may we write to them?"
            ) from None

    async def _post(self, position: Position, letter: Letter, appended_ms: int, error: Exception) -> None:
        more: list[Header] = [
            (DEAD_ERROR, type(error).__name__.encode()),
            (DEAD_REASON, str(error)[:_REASON_CHARS].encode(errors="replace")),
            (DEAD_POSITION, str(position).encode()),
            (DEAD_GROUP, self._group.encode()),
            (DEAD_TIME, b"%d" % (now_s() * 1000)),
            (DEAD_APPENDED, b"%d" % appended_ms),
        ]
        if letter.lacks:
            more.append((DEAD_SHORTENED, letter.lacks.encode()))
        await self._producer.post_raw(
            dead_letters_of(position.topic),
            [*letter.headers, *more],  # type: ignore[list-item] # Kafka knows headers without a value
            letter.value,
            key=letter.key,
            partition=0,
        )

    async def stop(self) -> None:
        """Disconnect."""
        if self._started:
            await self._producer.stop()
