"""Brings back what Redis knew of nonces from the log, after Redis was emptied (docs/design.md, "Retries").

Until that is done, sends with a nonce are refused, so that a retry is always answered with the id that won.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

from fanfare.bus.batches import Incoming
from fanfare.bus.growth import GrowthLog
from fanfare.bus.outage import Backoff, is_outage
from fanfare.clock import now_s
from fanfare.constants import NONCE_WINDOW_S
from fanfare.presence import keys
from fanfare.presence.client import Pipeline, Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.loss_token import loss_token
from fanfare.retries import MESSAGE_CREATE, First, is_late
from fanfare.tasks import end
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.ingress.nonces import SETTLE, Claim, Nonces

__all__ = ["NonceRebuild"]

ReadSince = Callable[[int], AsyncGenerator[list[Incoming], None]]
"""The records appended to chat.events since then (ms since 1970)."""

_LOOK_S: Final = 2.0
_WINDOW_MS: Final = int(NONCE_WINDOW_S * 1000)


class NonceRebuild:
    """Reads the nonces from the log when they are missing; several nodes may do so at once."""

    def __init__(self, redis: Redis, read_since: ReadSince, growth: GrowthLog | None = None) -> None:
        self._growth = growth
        self._redis = redis
        self._read_since = read_since
        self._task: asyncio.Task[None] | None = None
        self._begun: asyncio.Task[None] | None = None
        self.problem = ""
        """What keeps the nonces from being read back, and does not pass by itself; or ''."""
        self._log = logs.get("nonces")

    async def complete(self) -> bool:
        """Whether none is missing. Raises RedisError."""
        ready: Any = await self._redis.get(keys.nonces_ready())
        return bool(ready == (await loss_token(self._redis)).encode())

    async def unless_complete(self) -> None:
        """Wait until none is missing; cancelling leaves the work under way. Raises what went wrong."""
        if await self.complete():
            return
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="rebuild nonces")
            self._task.add_done_callback(self._ended)
        await asyncio.shield(self._task)

    def begin(self) -> None:
        """When a node starts, or Redis has lost writes: see to it, however long that takes. Fan-outs wait for it."""

        async def work() -> None:
            backoff = Backoff()
            while True:
                try:
                    await self.unless_complete()
                except Exception as error:  # noqa: BLE001 - whatever it is, sends with a nonce wait for it
                    passes = is_outage(error)
                    self.problem = "" if passes else f"nonces cannot be read back: {error!r}"
                    if not passes and backoff.first():
                        self._log.error("nonces cannot be read back", action=Action.RETRY, error=repr(error))
                    await backoff.wait()
                else:
                    self.problem = ""
                    return

        if self._begun is not None:
            self._begun.cancel()
        self._begun = asyncio.get_running_loop().create_task(work(), name="nonces")

    async def watch(self) -> None:
        """Look all the time whether one is missing, and begin where it is; a supervised task."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._begun is not None and not self._begun.done():
                continue
            # What else Redis may answer is said when a send with a nonce, or the inbox, is told so.
            with suppress(RedisError, OSError):
                if not await self.complete():
                    self.problem = (
                        "sends with a nonce are refused: the nonces are being read back from the log"
                    )
                    self._log.error("nonces are missing in Redis", action=Action.RETRY)
                    self.begin()

    async def close(self) -> None:
        """Stop."""
        await end(task for task in (self._begun, self._task) if task is not None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.warning("nonces are not read back yet", action=Action.RETRY, error=repr(error))

    async def _work(self) -> None:
        started_ms, count = now_s() * 1000, 0
        # A Redis that comes back with an old snapshot has READY, but not the nonces since.
        token = await loss_token(self._redis)
        await SETTLE.load(self._redis)
        async with aclosing(self._read_since(int(started_ms) - 2 * _WINDOW_MS)) as batches:
            async for batch in batches:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for incoming in batch:
                        if (base := await self._base(incoming)) >= 0:
                            count += note(pipe, incoming, now_s() * 1000, base)
                    await pipe.execute()
        await self._redis.set(keys.nonces_ready(), token)
        self._log.info("nonces are complete", action=Action.READY, records=count)

    async def _base(self, incoming: Incoming) -> int:
        """What to add to the record's offset; -1: it is void."""
        growth = self._growth
        if growth is None:
            return 0
        if not growth.fresh():
            await growth.confirm()
        topic, partition, _ = incoming.record.position
        if not incoming.only and growth.void(topic, partition, incoming.key, incoming.appended_ms):
            return -1
        return growth.state.base(topic, incoming.appended_ms)


def note(pipe: Pipeline, incoming: Incoming, now_ms: float, base: int = 0) -> bool:
    """Queue what a record says about its nonce; whether it says anything.

    An old snapshot may know the nonce as under way still: what the log says is more.

    Args:
        pipe: where to.
        incoming: the record.
        now_ms: ms since 1970.
        base: what to add to its offset.

    """
    record = incoming.record
    if not record.nonce or is_late(record, incoming.appended_ms):
        return False
    age_ms = int(now_ms - incoming.appended_ms)
    if (left_ms := 2 * _WINDOW_MS - age_ms) > 0:
        _ = pipe.set(
            keys.first(record.author, record.channel, record.nonce),
            First.of(record).packed,
            nx=True,
            px=left_ms,
        )
    if record.type == MESSAGE_CREATE and (left_ms := _WINDOW_MS - age_ms) > 0:
        accepted = Claim(record.id, record.channel, "", incoming.offset + base)
        Nonces.settle(pipe, record.author, record.nonce, accepted, left_ms)
    return True
