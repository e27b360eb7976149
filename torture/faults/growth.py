"""The topics of the chat get more partitions under load."""

import asyncio
import json
import signal
import sys
import time

from typing_extensions import override

from torture.faults.base import Context, Fault
from torture.system import BadSystemError

__all__ = ["Grow"]

_TRY_S = 90.0


class Grow(Fault):
    """`fanfare topics grow`: killed at some moment, run again until it is done, and a service killed meanwhile."""

    name = "grow"
    aim_s = 8.0
    outage = True
    mixes = False

    @override
    async def run(self, context: Context) -> None:
        system, rng = context.system, context.rng
        new = 2 * system.settings.chat_partitions
        role = rng.choice(("gateway", "fanout", "notifier", "archiver"))
        name = rng.choice(system.of_role(role))
        patience_s = rng.uniform(1.0, 9.0)
        times = context.begin(
            self, f"to {new} partitions; the command is killed after {patience_s:.1f} s, then {name}"
        )
        first = await self._start(context, new)
        try:
            await asyncio.wait_for(first.wait(), patience_s)
        except TimeoutError:
            first.kill()
            await first.wait()
        second = await self._start(context, new)
        # Where nobody is at it, the second one looks for some seconds whether somebody is.
        await asyncio.sleep(rng.uniform(0.0, 12.0))
        pid = system.signal(name, signal.SIGKILL)
        await system.replaced(name, pid)
        times.observed = time.monotonic()
        async with asyncio.timeout(_TRY_S):
            await second.wait()
            while (count := await self._count(context)) != (new, new):
                # A gateway may have ended it before the cut.
                again = await self._start(context, new)
                await again.wait()
        if count != (new, new):
            raise BadSystemError(f"the topics have {count} partitions and not {new}")
        await system.ready(name)
        times.healed = time.monotonic()

    @staticmethod
    async def _start(context: Context, new: int) -> asyncio.subprocess.Process:
        system = context.system
        log = (system.data.logs / "grow.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                *_command(),
                "grow",
                "chat.events",
                str(new),
                env=system.environment | {"FANFARE_KAFKA": system.run["kafka"]},
                stdout=log,
                stderr=log,
            )
        finally:
            log.close()

    @staticmethod
    async def _count(context: Context) -> tuple[int, int]:
        system = context.system
        asked = await asyncio.create_subprocess_exec(
            *_command(),
            "describe",
            "chat.events",
            "chat.deliveries",
            "--json",
            env=system.environment | {"FANFARE_KAFKA": system.run["kafka"]},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asked.communicate()
        found = json.loads(said)
        return len(found["chat.events"]["partitions"]), len(found["chat.deliveries"]["partitions"])


def _command() -> list[str]:
    return [sys.executable, "-m", "fanfare.cli", "topics"]
