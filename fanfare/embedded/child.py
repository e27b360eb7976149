"""One process that we started: its life from the first start over restarts to the stop."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fanfare.embedded.errors import UpError
from fanfare.embedded.output import LogFile, Output

__all__ = ["Child", "Mode", "RestartDelays", "Spec", "State", "launch_command"]

LAUNCHER = Path(__file__).with_name("launch.py")
PROBE_INTERVAL_S = 0.05
# A child that dies this often, and was never ready, makes the start fail.
START_DEATHS = 3
# How long after its exit we go on reading the output of a child, and of processes that it left behind.
LAST_WORDS_S = 0.5
LINE_BYTES = 64 * 1024
ERROR_LINES = 4

Mode = Literal["same", "namespace", "nobody"]
State = Literal["starting", "running", "restarting", "stopping", "stopped"]


def launch_command(mode: Mode, command: list[str]) -> list[str]:
    """The command line that runs `command` so that it dies with us."""
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), mode, *command]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How a process is started, recognised as ready, and stopped."""

    name: str
    role: str
    command: list[str]
    env: dict[str, str]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    """Whether it serves; must not raise and must answer within a second or so."""
    address: str = ""
    internal: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 3.0
    """How long it may take to stop before it is killed."""
    pass_fds: tuple[int, ...] = ()
    mode: Mode = "same"


@dataclass
class RestartDelays:
    """Growing delays before a process is started again; small again once it has run for a while."""

    first_s: float = 0.2
    most_s: float = 10.0
    healthy_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def delay(self, ran_s: float) -> float:
        """How long to wait after a process that ran for `ran_s`."""
        if ran_s >= self.healthy_s or self._next_s == 0:
            self._next_s = self.first_s
        delay = self._next_s
        self._next_s = min(self._next_s * 2, self.most_s)
        return delay


def died_how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class Child:
    """Keeps one process running. `run` is its task; the other calls come from the same event loop."""

    def __init__(self, spec: Spec, output: Output, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.state: State = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self._output = output
        self._changed = changed
        self._delays = RestartDelays()
        self._process: asyncio.subprocess.Process | None = None
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._reload = False
        self._failed: UpError | None = None
        self._failed_event = asyncio.Event()

    async def run(self) -> None:
        """Start the process again and again until `stop`."""
        log = LogFile(self.spec.log)
        deaths = 0
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                log.tail.clear()
                code = await self._live_once(log)
                if self._stop.is_set():
                    break
                how = died_how(code)
                if not self._ready.is_set():
                    deaths += 1
                    if deaths >= START_DEATHS:
                        self._give_up(how, log)
                        return
                delay = self._delays.delay(time.monotonic() - started)
                self.restarts += 1
                self._set("restarting")
                self._output.say(f"{self.spec.name} {how}; starting it again in {delay:.1f} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay)
        finally:
            self.pid = None
            self._set("stopped")
            log.close()

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the process has been ready once.

        Raises:
            UpError: it keeps dying, or is not ready in time.

        """
        ready = asyncio.create_task(self._ready.wait())
        failed = asyncio.create_task(self._failed_event.wait())
        try:
            done, _ = await asyncio.wait(
                {ready, failed}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
            failed.cancel()
        if self._failed:
            raise self._failed
        if not done:
            raise UpError(
                f"{self.spec.name} runs but is not ready after {timeout_s:.0f} s: see {self.spec.log}"
            )

    async def stop(self) -> None:
        """Ask the process to stop; kill it if it takes longer than it may. Returns when it is gone."""
        self._stop.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._set("stopping")
        _signal(process, self.spec.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_s)
        except TimeoutError:
            self._output.say(f"{self.spec.name} did not stop within {self.spec.stop_s:.1f} s and is killed")
            self.kill()
            await process.wait()

    def reload(self) -> None:
        """Send SIGHUP; a process that is starting gets it once it handles it."""
        if self.state == "starting":
            self._reload = True
        elif self.state == "running" and self._process is not None:
            _signal(self._process, signal.SIGHUP)

    def kill(self) -> None:
        """Kill the process and its session at once."""
        self._stop.set()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            _signal(process, signal.SIGKILL)

    async def _live_once(self, log: LogFile) -> int:
        process = await asyncio.create_subprocess_exec(
            *launch_command(self.spec.mode, self.spec.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.spec.env,
            pass_fds=self.spec.pass_fds,
            start_new_session=True,
            limit=LINE_BYTES,
        )
        self._process = process
        self.pid = process.pid
        self._set("starting")
        if self._stop.is_set():  # asked to stop while the process was being made
            self.kill()
        reader = asyncio.create_task(self._read(process, log))
        probe = asyncio.create_task(self._probe())
        try:
            code = await process.wait()
            await asyncio.wait({reader}, timeout=LAST_WORDS_S)
            return code
        finally:
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
            for task in (reader, probe):
                task.cancel()
            await asyncio.gather(reader, probe, return_exceptions=True)
            self.pid = None

    async def _read(self, process: asyncio.subprocess.Process, log: LogFile) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
                if not line:
                    return
            except asyncio.LimitOverrunError as overrun:
                line = await process.stdout.readexactly(overrun.consumed)
            line = line.rstrip(b"\r\n")
            log.write(line)
            self._output.child(self.spec.name, line)

    async def _probe(self) -> None:
        while not self._stop.is_set() and not await self.spec.ready():
            await asyncio.sleep(PROBE_INTERVAL_S)
        if self.state == "starting" and not self._stop.is_set():
            self._ready.set()
            self._set("running")
            if self._reload:
                self._reload = False
                self.reload()

    def _give_up(self, how: str, log: LogFile) -> None:
        last = [line.strip() for line in log.tail if line.strip()][-ERROR_LINES:]
        said = (": " + " | ".join(last)) if last else ""
        self._failed = UpError(
            f"{self.spec.name} died {START_DEATHS} times before it was ready ({how}); "
            f"see {self.spec.log}{said}"
        )
        self._failed_event.set()

    def _set(self, state: State) -> None:
        self.state = state
        self._changed()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
