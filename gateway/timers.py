"""One timer for all connections of a process: deadlines in buckets of a second."""

import asyncio
import math
import time
from collections.abc import Callable

__all__ = ["Wheel"]


class Wheel:
    """Calls back within a second after a deadline. A callee checks by itself whether it is still due."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Callable[[float], None], None]] = {}

    def at(self, deadline: float, call: Callable[[float], None]) -> int:
        """Call with the time, seconds of the monotonic clock, once the deadline has passed; answers for `forget`."""
        bucket = math.ceil(deadline)
        self._buckets.setdefault(bucket, {})[call] = None
        return bucket

    def forget(self, bucket: int, call: Callable[[float], None]) -> None:
        """Do not call, and hold on to nothing of it: connections may come and go by the thousand."""
        calls = self._buckets.get(bucket)
        if calls is not None:
            calls.pop(call, None)

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
