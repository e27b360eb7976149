"""Which errors mean that something we need is away, so that waiting helps; and how long to wait."""

import asyncio
import random

from fanfare.diagnosis import trouble_of
from fanfare.trouble import PASSES

__all__ = ["Backoff", "is_outage"]


def is_outage(error: BaseException) -> bool:
    """Whether the error says that Kafka, Redis or PostgreSQL is away for now."""
    return trouble_of(error) in PASSES


class Backoff:
    """Waiting times that grow from 20 ms to 0.5 s, with jitter: nobody waits long for what is back."""

    __slots__ = ("_most_s", "_next_s", "tries")

    def __init__(self, most_s: float = 0.5) -> None:
        """Args: most_s: the longest wait."""
        self._next_s = 0.02
        self._most_s = most_s
        self.tries = 0

    def first(self) -> bool:
        """Whether nothing was waited for yet."""
        return self.tries == 0

    async def wait(self) -> None:
        """Wait; the next time, longer."""
        self.tries += 1
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
