"""One timer for all connections of a process: deadlines in buckets of a second."""

import asyncio
import math
import time
from collections.abc import Callable

__all__ = ["Wheel"]


class Wheel:
    """Calls back within a second after a deadline. What is no longer due finds that out when it is called."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Callable[[float], None]]] = {}

    def at(self, deadline: float, call: Callable[[float], None]) -> None:
        """Call with the time, seconds of the monotonic clock, once the deadline has passed."""
        self._buckets.setdefault(math.ceil(deadline), []).append(call)

    def turn(self, now: float) -> None:
        """Call whatever is due."""
        for bucket in sorted(b for b in self._buckets if b <= now):
            for call in self._buckets.pop(bucket):
                call(now)

    async def run(self) -> None:
        """Turn every second; the service's supervised task."""
        while True:
            await asyncio.sleep(1.0)
            self.turn(time.monotonic())
