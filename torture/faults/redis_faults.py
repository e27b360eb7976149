"""Faults of Redis: emptied, put back to an old state, stalled."""

import asyncio
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from redis.exceptions import RedisError
from typing_extensions import override

from fanfare.constants import EPOCH_HOLD_S
from torture.faults.base import Context, Fault
from torture.system import System, eventually

__all__ = ["KINDS", "RedisEmpty"]

_SEEN_S: Final = 30.0
# What notifiers wait, and the way of a fence.
_REPAIR_S: Final = EPOCH_HOLD_S + 4.0
_MARK: Final = "torture:mark"


async def _run_id(system: System) -> str:
    redis = system.redis()
    try:
        facts: Any = await redis.info("server")
        return str(facts["run_id"])
    except (RedisError, OSError):
        return ""
    finally:
        await redis.aclose()


def _data(system: System) -> Path:
    return system.data.home / "redis" / "appendonlydir"


class _Lossy(Fault):
    """Redis comes back without what it had."""

    aim_s = 5.0
    outage = True
    tells_away = True

    async def _swap(self, context: Context, detail: str, swap: Callable[[], None]) -> None:
        """Kill Redis and change its data before it is started again."""
        system = context.system
        before = await _run_id(system)
        await self._mark(system)
        times = context.begin(self, detail)
        # Stopped first: else it is started again before its data is changed.
        pid = system.signal("redis", signal.SIGSTOP)
        await asyncio.to_thread(swap)
        system.signal("redis", signal.SIGKILL)
        await system.replaced("redis", pid)

        async def lost() -> bool:
            now = await _run_id(system)
            return now not in {"", before} and not await self._marked(system)

        await eventually(lost, _SEEN_S, "Redis is not back, or has lost nothing")
        times.observed = times.healed = time.monotonic()
        # Nodes make their inboxes whole again: who goes away meanwhile is forgotten.
        times.settled = times.healed + _REPAIR_S

    @staticmethod
    async def _mark(system: System) -> None:
        redis = system.redis()
        try:
            await redis.set(_MARK, secrets.token_hex(4))
        finally:
            await redis.aclose()

    @staticmethod
    async def _marked(system: System) -> bool:
        redis = system.redis()
        try:
            return bool(await redis.exists(_MARK))
        except (RedisError, OSError):
            return True
        finally:
            await redis.aclose()


class RedisEmpty(_Lossy):
    """Redis is restarted empty."""

    name = "redis-empty"

    @override
    async def run(self, context: Context) -> None:
        data = _data(context.system)

        def remove() -> None:
            data.rename(data.with_name(f"lost-{time.monotonic_ns()}"))

        await self._swap(context, "its data is gone", remove)


class RedisSnapshot(_Lossy):
    """Redis is killed and comes back with an old state."""

    name = "redis-snapshot"

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        data = _data(system)
        old = data.with_name(f"old-{time.monotonic_ns()}")
        redis = system.redis()
        with suppress(RedisError):
            await redis.delete(_MARK)
        await redis.aclose()
        system.signal("redis", signal.SIGSTOP)
        try:
            await asyncio.to_thread(shutil.copytree, data, old)
        finally:
            system.signal("redis", signal.SIGCONT)
        await asyncio.sleep(context.seconds(6))

        def put_back() -> None:
            data.rename(data.with_name(f"lost-{time.monotonic_ns()}"))
            old.rename(data)

        await self._swap(context, "its state of some seconds ago is back", put_back)


class RedisStall(Fault):
    """Redis says nothing for 10 s."""

    name = "redis-stall"
    aim_s = 2.0
    outage = True
    stalled_s: ClassVar[float] = 10.0

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        times = context.begin(self, "SIGSTOP")
        system.signal("redis", signal.SIGSTOP)
        try:

            async def silent() -> bool:
                return not await _run_id(system)

            await eventually(silent, _SEEN_S, "Redis still answers")
            times.observed = time.monotonic()
            await asyncio.sleep(
                max(0.0, context.seconds(self.stalled_s) - (time.monotonic() - times.applied))
            )
        finally:
            system.signal("redis", signal.SIGCONT)
        times.healed = time.monotonic()


KINDS: Final[list[type[Fault]]] = [RedisEmpty, RedisSnapshot, RedisStall]
