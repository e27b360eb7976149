"""How long deliveries wait while something is changed: measured from outside, through every partition.

Events without content (fences, as the gateways use them) go into each partition of `chat.events` every few
milliseconds, addressed to an inbox of our own, and come back through fan-out and notifier as any delivery does.
"""

import asyncio
import contextlib
import secrets
import time
from typing import Any, Final, Self

from fanfare.bus.producer import NotHandedOverError, Producer
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.presence import inboxes
from fanfare.presence.client import connect
from fanfare.presence.errors import RedisError
from fanfare.presence.loss_token import loss_token
from fanfare.record import FENCE, INBOXES, Record
from fanfare.settings import Settings
from fanfare.tasks import end

__all__ = ["Waits"]

_EVERY_S: Final = 0.025
_READ_MS: Final = 200
_LAST_S: Final = 15.0


class Waits:
    """Measures from entering to leaving it; `longest_s` is known afterwards."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inbox = f"waits-{secrets.token_hex(6)}.1"
        self._posted: dict[tuple[str, int], float] = {}
        self.longest_s = 0.0
        """The longest time from when an event was posted to when it came."""
        self.missing = 0
        """Events that had not come 15 s after the end."""
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin; waits as long as Kafka is away.

        Raises:
            RedisError: Redis is away.

        """
        async with contextlib.AsyncExitStack() as stack:
            producer = Producer(self._settings, topics=[CHAT_EVENTS])
            await producer.start()
            stack.push_async_callback(producer.stop)
            redis = connect(self._settings, client_name="fanfare-waits")
            stack.push_async_callback(redis.aclose)
            reader = connect(self._settings, client_name="fanfare-waits-reader", may_block=True)
            stack.push_async_callback(reader.aclose)
            first = await inboxes.create(
                redis, self._inbox, self._inbox, floor=0, token=await loss_token(redis), is_open=False
            )
            self._stack = stack.pop_all()
        self._tasks = [
            asyncio.create_task(self._post(producer), name="waits post"),
            asyncio.create_task(self._read(reader, first), name="waits read"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end((self._tasks[0],))
        until = time.monotonic() + _LAST_S
        while self._posted and time.monotonic() < until and not self._tasks[1].done():
            await asyncio.sleep(_EVERY_S)
        self.missing = len(self._posted)
        if self._posted:
            self._note(time.monotonic() - min(self._posted.values()))
        await end((self._tasks[1],))
        await self._stack.aclose()

    def _note(self, waited_s: float) -> None:
        self.longest_s = max(self.longest_s, waited_s)

    async def _post(self, producer: Producer) -> None:
        number = 0
        while True:
            number += 1
            record = Record(type=FENCE, audience=INBOXES, fence=str(number), inboxes=(self._inbox,))
            for partition in range(producer.partitions(CHAT_EVENTS)):
                with contextlib.suppress(NotHandedOverError):
                    posted = producer.post(CHAT_EVENTS, record, key=0, partition=partition)
                    posted.add_done_callback(_seen)
                    self._posted[record.fence, partition] = time.monotonic()
            await asyncio.sleep(_EVERY_S)

    async def _read(self, redis: Any, after: int) -> None:
        while True:
            try:
                entries = await inboxes.read(redis, self._inbox, after, block_ms=_READ_MS)
            except RedisError:
                await asyncio.sleep(_EVERY_S)
                continue
            now = time.monotonic()
            for entry in entries:
                after = entry.s
                if entry.record is not None:
                    posted = self._posted.pop((entry.record.fence, entry.record.position.partition), None)
                    if posted is not None:
                        self._note(now - posted)


def _seen(posted: "asyncio.Future[Any]") -> None:
    """An event that Kafka did not take never comes; that it was overdue is told by `missing`."""
    if not posted.cancelled():
        posted.exception()
