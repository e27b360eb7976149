"""Dead letters: records that could not be processed, kept with the reason so that they can be looked at and
replayed.

A dead letter has the key, the value and the headers of the record, and three headers more: `dead-reason`,
`dead-position` (topic/partition/offset where it stood) and `dead-group`.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from fanfare.bus.producer import Headers, Producer
from fanfare.bus.topics import dead_letters_of
from fanfare.record import Position
from fanfare.settings import Settings

__all__ = ["DEAD_GROUP", "DEAD_POSITION", "DEAD_REASON", "DeadLetters"]

DEAD_REASON: Final = "dead-reason"
DEAD_POSITION: Final = "dead-position"
DEAD_GROUP: Final = "dead-group"
_REASON_CHARS: Final = 500


class DeadLetters:
    """Writes dead letters; connects when the first one comes."""

    def __init__(self, settings: Settings, group: str, topics: Iterable[str]) -> None:
        """Args: group: who could not process them. topics: where they come from."""
        self._group = group
        self._producer = Producer(settings, topics=[dead_letters_of(topic) for topic in topics])
        self._started = False
        self._lock = asyncio.Lock()

    async def write(
        self, position: Position, *, headers: Headers, value: bytes | None, key: bytes | None, reason: str
    ) -> None:
        """Write one; returns when Kafka has it.

        Raises:
            RefusedError: Kafka is away.
            KafkaError: Kafka did not take it.

        """
        async with self._lock:
            if not self._started:
                await self._producer.start()
                self._started = True
        more = (
            (DEAD_REASON, reason[:_REASON_CHARS].encode(errors="replace")),
            (DEAD_POSITION, str(position).encode()),
            (DEAD_GROUP, self._group.encode()),
        )
        await self._producer.post_raw(
            dead_letters_of(position.topic), [*headers, *more], value or b"", key=key or b"", partition=0
        )

    async def stop(self) -> None:
        """Disconnect."""
        if self._started:
            await self._producer.stop()
