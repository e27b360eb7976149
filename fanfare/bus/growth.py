"""What a process knows of pairs of topics that grow: it reads the topic `growth` on and on (see `growth_rules`)."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from fanfare.bus.client import KafkaAwayError, connection
from fanfare.bus.growth_rules import State, Step
from fanfare.bus.names import Names
from fanfare.bus.outage import Backoff
from fanfare.bus.partitions import partition_of
from fanfare.bus.small_topics import append
from fanfare.bus.topics import GROWTH
from fanfare.settings import Settings
from fanfare.tasks import end, uninterrupted
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["GrowthLog"]

_LOOK_S: Final = 1.0
_LOOK_OFTEN_S: Final = 0.1
_START_S: Final = 2.0
_ASK_S: Final = 5.0
_BACKOFF_S: Final = 0.5
_steps: Final = msgspec.json.Decoder(Step)


class GrowthLog:
    """The log of growths: `start`, and later `close`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: seconds; goes on while the process is stopped."""
        self._settings = settings
        self._clock = clock
        self._client: Any = None
        self._at = Names(settings).partition((GROWTH, 0))
        self._known_s = -1e9
        self._asking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.state = State()
        self._log = logs.get("growth")

    async def start(self) -> None:
        """Read what is there, and follow it; waits as long as Kafka is away, or the topic is not there."""
        await self.confirm()
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="growth")

    async def close(self) -> None:
        """Stop."""
        await end(task for task in (self._following, self._asking) if task is not None)
        await self._drop()

    @property
    def problem(self) -> str:
        """Why nothing is heard of growths any more, or ''."""
        ended = self._following is not None and self._following.done()
        return "the task that follows growths of topics has ended: restart the process" if ended else ""

    def fresh(self) -> bool:
        """Whether what is known can be relied on now."""
        return self._clock() - self._known_s < self.state.lease_s

    async def confirm(self) -> None:
        """Know all that was in the log when this was called; waits as long as Kafka is away."""
        called_s = self._clock()
        while self._known_s < called_s:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.get_running_loop().create_task(self._ask(), name="growth asked")
            await asyncio.wait((self._asking,))

    async def news(self, timeout_s: float) -> None:
        """Wait for another record, or for the time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    async def append(self, step: Step) -> None:
        """Append a record, and know what it led to. Raises KafkaError, TimeoutError: it stands there or not."""
        await append(self._settings, GROWTH, msgspec.json.encode(step))
        await self.confirm()

    def void(self, topic: str, partition: int, key: bytes | None, appended_ms: int) -> bool:
        """Whether a record was written with an old number of partitions, too late.

        Args:
            topic: of events.
            partition: where it stands.
            key: of the record.
            appended_ms: by the broker.

        """
        cuts = self.state.cuts(topic)
        if not cuts or not key or not key.isdigit() or key == b"0":
            return False
        counts = [count for when, count in cuts if when < appended_ms]
        return bool(counts) and partition_of(int(key), counts[-1]) != partition

    async def _ask(self) -> None:
        backoff = Backoff(_BACKOFF_S)
        while True:
            try:
                async with asyncio.timeout(_ASK_S):
                    await self._read()
            except (KafkaError, KafkaAwayError, OSError, TimeoutError) as error:
                await self._drop()
                if self._following is None and backoff.first():
                    self._log.warning(
                        "waiting for the topic growth", action=Action.KAFKA_AWAY, why=repr(error)
                    )
                await backoff.wait()
            else:
                return

    async def _read(self) -> None:
        """Read to the end that the log has now."""
        if self._client is None:
            client: Any = AIOKafkaConsumer(
                **connection(self._settings),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=50,
            )
            try:
                await uninterrupted(client.start(), _START_S)
                _ = await client.end_offsets([self._at])  # or there is no such topic
                client.assign([self._at])
                client.seek(self._at, self.state.records)
                client.pause(self._at)
            except BaseException:
                await client.stop()
                raise
            self._client = client
        client, asked_s = self._client, self._clock()
        upto = (await client.end_offsets([self._at]))[self._at]
        if upto > self.state.records:
            # Paused otherwise: a fetch that waits would hold up the question for the end.
            client.resume(self._at)
            while self.state.records < upto:
                for message in (await client.getmany(self._at, timeout_ms=50)).get(self._at, ()):
                    self._take(message)
            client.pause(self._at)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
        self._known_s = asked_s

    def _take(self, message: Any) -> None:
        try:
            step = _steps.decode(message.value or b"")
        except msgspec.DecodeError:
            self.state.records += 1  # of another version
        else:
            self.state.take(step, message.timestamp)

    async def _follow(self) -> None:
        while True:
            await self.confirm()
            await asyncio.sleep(_LOOK_S if self.state.under_way is None else _LOOK_OFTEN_S)

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(client.stop(), _START_S)
