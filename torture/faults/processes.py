"""Faults of our own processes: killed, stopped, more and fewer of them, restarted."""

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import ClassVar, Final

from typing_extensions import override

from torture.faults.base import Context, Fault
from torture.system import BadSystemError, System, eventually

__all__ = ["KillProcess", "RollingRestart", "ScaleWorkers", "StopProcess", "state_is"]

_SEEN_S: Final = 15.0


class KillProcess(Fault):
    """kill -9; the supervisor starts another one."""

    aim_s = 4.0
    role: ClassVar[str]

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        name = context.rng.choice(system.of_role(self.role))
        times = context.begin(self, name)
        pid = system.signal(name, signal.SIGKILL)
        await system.replaced(name, pid)
        times.observed = time.monotonic()
        await system.ready(name)
        times.healed = time.monotonic()


class StopProcess(Fault):
    """SIGSTOP for longer than every lease, then SIGCONT: a zombie that wakes up."""

    aim_s = 4.0
    role: ClassVar[str]
    stopped_s: ClassVar[float] = 20.0

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        name = context.rng.choice(system.of_role(self.role))
        nodes = frozenset({name} if self.role == "gateway" else ())
        times = context.begin(self, name, nodes=nodes)
        pid = system.signal(name, signal.SIGSTOP)
        try:
            await eventually(lambda: state_is(pid, "T"), _SEEN_S, f"{name} is not stopped")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(self.stopped_s))
        finally:
            system.signal(name, signal.SIGCONT)
        times.healed = time.monotonic()
        await system.ready(name)


async def state_is(pid: int, letter: str) -> bool:
    """Whether a process is in the state that /proc has this letter for; T is stopped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii")  # noqa: ASYNC240 - it is no disk
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == letter


class ScaleWorkers(Fault):
    """Workers come and go every 5 s."""

    name = "scale-workers"
    aim_s = 0.3

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        times = context.begin(self, "fanout, notifier and archiver, one more and one less in turn")
        for role in ("fanout", "notifier", "archiver"):
            async with AsyncExitStack() as stack:
                worker = await self._start(system, role)
                stack.push_async_callback(self._stop, worker)
                await asyncio.sleep(context.seconds(5))
                early = worker.returncode
            if early is not None or await worker.wait() not in {0, -signal.SIGTERM}:
                raise BadSystemError(f"the additional {role} ended with {worker.returncode}")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(2))
        times.healed = time.monotonic()

    @staticmethod
    async def _start(system: System, role: str) -> asyncio.subprocess.Process:
        run = system.run
        own = {f"FANFARE_{name.upper()}": run[name] for name in ("kafka", "redis", "postgres")}
        own |= {
            "FANFARE_SECRET": system.settings.secret.get_secret_value(),
            "FANFARE_INTERNAL_PORT": "0",
            "FANFARE_PROCESS": f"{role}.more",
        }
        log = (system.data.logs / f"{role}.more.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", role, env=system.environment | own, stdout=log, stderr=log
            )
        finally:
            log.close()

    @staticmethod
    async def _stop(worker: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), 15)
        except TimeoutError:
            worker.kill()
            await worker.wait()


class RollingRestart(Fault):
    """SIGTERM to every service, one after the other."""

    name = "rolling-restart"
    aim_s = 0.3
    mixes = False

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        names = [
            name for role in ("gateway", "fanout", "notifier", "archiver") for name in system.of_role(role)
        ]
        times = context.begin(self, ", ".join(names))
        for name in names:
            await system.restart(name)
        times.observed = times.healed = time.monotonic()
