"""The life of a service process: settings, signals, internal server, supervised tasks, exit code.

A service's `__main__` is `run("gateway", main)`. `main` sets itself up, sets `service.state` to
`State.RUNNING`, works until `service.stopping`, drains and returns. Exit codes: 0 stopped as asked, 1 died, 2
the settings cannot be used.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from typing import Any, Final, NoReturn

from fanfare.clock import now_s
from fanfare.environment import load_settings
from fanfare.errors import FatalError
from fanfare.service_links import service_links
from fanfare.settings import Settings, SettingsError
from fanfare.tasks import end
from fanfare.telemetry import logs, metrics
from fanfare.telemetry.internal import InternalServer
from fanfare.telemetry.logs import Action
from fanfare.telemetry.tracing import Traces, start_traces
from fanfare.tls import reload_clients

__all__ = ["Service", "State", "run"]

# A process that hangs when it is to stop is ended after the drain time and this.
FAILED_DRAIN_S: Final = 20.0
_GARBAGE_OBJECTS: Final = 50_000


class State(StrEnum):
    """What a process is doing."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


class Service:
    """One process, as its parts see it. Make it inside the event loop."""

    def __init__(self, settings: Settings, role: str) -> None:
        """Args: role: what it is, such as `gateway`; its name is `settings.process` or else the role."""
        self.settings = settings
        self.role = role
        self.name = settings.process or role
        self.log = logs.get(role)
        self.stopping = asyncio.Event()
        """Set when the process shall drain and end: by a signal, or because a supervised task died."""
        self.failed = False
        self.ready: Callable[[], bool] = lambda: True
        """Whether work can be done now; asked only while running. Replace it."""
        self.problem: Callable[[], str] = lambda: ""
        """What keeps its work from getting on, in a line, or ''. Replace it."""
        self.facts: Callable[[], dict[str, object]] = dict
        """Further entries of /status. Replace it."""
        self.traces: Traces | None = start_traces(settings, role)
        """Where traces are on, the spans of this process."""
        self.reloads: list[Callable[[], None]] = []
        """What to do at SIGHUP; a SettingsError means that all stays as it was."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._state = State.STARTING
        self.state = State.STARTING

    @property
    def state(self) -> State:
        """What the process is doing. Once draining it stays so."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if self._state is State.DRAINING:
            return
        self._state = state
        for each in State:
            metrics.STATE.labels(each).set(each is state)
        if state is State.RUNNING:
            self.log.info("running", action=Action.READY, role=self.role, pid=os.getpid())

    def unready(self) -> str:
        """Why the process takes no work now, for people; '' if it does: running, its parts ready, nothing held."""
        if self._state is not State.RUNNING:
            return str(self._state)
        return self.problem() or ("" if self.ready() else "a part of it is not ready")

    def status(self) -> dict[str, object]:
        """The body of /status."""
        return {
            "role": self.role,
            "name": self.name,
            "pid": os.getpid(),
            "state": str(self._state),
            "ready": not (why := self.unready()),
            "why": why,
            **self.facts(),
        }

    def stop(self, why: str) -> None:
        """Begin to drain."""
        if not self.stopping.is_set():
            self.log.info("stopping", action=Action.DRAIN, why=why)
            self.state = State.DRAINING
            metrics.DRAIN_UNTIL.set(now_s() + self.settings.unready_s + self.settings.drain_s)
            self.stopping.set()

    def fail(self, why: str, error: BaseException | None = None) -> None:
        """Begin to drain, and exit with 1."""
        self.failed = True
        self.log.error(
            "failed", action=Action.FAIL, why=why, exc_info=None if isinstance(error, FatalError) else error
        )
        self.stop("a part of it failed")

    def reload(self) -> None:
        """Read certificates again. What cannot be used is said, and what was read before stays."""
        said = reload_clients()
        for each in self.reloads:
            try:
                each()
            except SettingsError as error:
                said.append(str(error))
        for problem in said:
            self.log.error("the files of before stay in use", action=Action.RELOAD, why=problem)
        if not said:
            self.log.info("certificates were read again", action=Action.RELOAD)

    def supervise(self, coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a named task that lives as long as the process: if it ends before that, the process fails.

        What still runs when `main` has returned is cancelled.
        """
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def until_stopped(self, coro: Coroutine[Any, Any, object]) -> bool:
        """Wait for a step of setting up that may take long, such as for Kafka to come up.

        Returns:
            True when it is done; False if the process was told to stop before, then it was cancelled.

        """
        step = asyncio.ensure_future(coro)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((step, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end((stop, step))
        if step.cancelled():
            return False
        step.result()
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        name = task.get_name()
        if task.cancelled():
            if not self._closing and not self.stopping.is_set():
                self.fail(f"task {name} was cancelled, and not by us")
        elif (error := task.exception()) is not None:
            self.fail(str(error) if isinstance(error, FatalError) else f"task {name} died: {error!r}", error)
        elif not self.stopping.is_set():
            self.fail(f"task {name} ended too early")

    async def close(self) -> None:
        """Cancel the supervised tasks and wait for them."""
        self._closing = True
        await end(list(self._tasks))


async def _serve(settings: Settings, role: str, main: Callable[[Service], Awaitable[None]]) -> int:
    service = Service(settings, role)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Also where SIGINT was inherited as ignored (a background job of a shell).
        loop.add_signal_handler(number, service.stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    server = InternalServer(service.unready, service.status)
    await server.start(settings.internal_host, settings.internal_port)
    service.log.info("starting", action=Action.START, role=role, pid=os.getpid(), internal=server.address)
    try:
        work = asyncio.ensure_future(_checked(service, main))
        await _watch(service, work)
        await service.close()
    finally:
        await server.stop()
        if service.traces is not None:
            await asyncio.to_thread(service.traces.close)
    service.log.info("stopped", action=Action.STOP, failed=service.failed)
    return 1 if service.failed else 0


async def _checked(service: Service, main: Callable[[Service], Awaitable[None]]) -> None:
    """Check the stores before the work begins, so that what is wrong is said at once, and by name.

    A store that is away does not keep the process from starting: it is checked when it is back.
    """
    # After the internal server answers, as these are slow to import.
    from fanfare.checks.program import check_later, check_start  # noqa: PLC0415

    asked = False

    async def first() -> None:
        nonlocal asked
        asked = await check_start(service.settings, service.role)

    async def later() -> None:
        await check_later(service.settings, service.role)
        await service.stopping.wait()

    if not await service.until_stopped(first()):
        return
    if not asked:
        _ = service.supervise(later(), "checks")
    await main(service)


async def _watch(service: Service, work: asyncio.Future[None]) -> None:
    """Wait for `main`; once the process is to stop, only for a limited time."""
    stopping = asyncio.ensure_future(service.stopping.wait())
    await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        await asyncio.wait(
            (work,), timeout=service.settings.unready_s + service.settings.drain_s + FAILED_DRAIN_S
        )
    if not work.done():
        service.log.error("the work did not end in time: it is cancelled", action=Action.STOP)
        await end((work,))
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await work
        except SettingsError:
            raise
        except FatalError as error:
            service.fail(str(error), error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and the process exits with 1
            service.fail(repr(error), error)
        else:
            if not service.stopping.is_set():
                service.fail("the work ended though nobody asked for it")


def run(role: str, main: Callable[[Service], Awaitable[None]]) -> NoReturn:
    """Run a service until it is told to stop, and exit."""
    # Until it can be heeded.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = load_settings()
        logs.configure(settings.process or role, settings.log_level, settings.log_format)
        if links := service_links(os.environ):
            logs.get(role).info(
                "variables of Kubernetes' service links are left out; enableServiceLinks: false stops them",
                action=Action.START,
                names=links,
            )
        # What was imported stays; and a batch makes thousands of objects that its end frees without a search for
        # cycles. At the default of 700, that search was a fifth of the time of a fan-out under load. What survives
        # two searches is left alone: with more in one search everybody would wait for half a second.
        gc.freeze()
        gc.set_threshold(_GARBAGE_OBJECTS, 2, 1_000)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(_serve(settings, role, main))
    except SettingsError as error:
        sys.stderr.write(f"fanfare {role}: {error}\n")
        code = 2
    sys.exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Make loops of uvloop where it is installed: 2.3 times as fast on fan-out."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
