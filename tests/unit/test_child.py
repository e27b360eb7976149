"""A process that is kept running: restarts, readiness, stop."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fanfare.embedded.child import Child, RestartDelays, Spec, died_how
from fanfare.embedded.errors import UpError
from fanfare.embedded.output import LogFile, Output
from fanfare.embedded.supervisor import Supervisor, stop_order

DEADLINE_S = 30
WAITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); "
SLEEPS = WAITS + "signal.pause()"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def always() -> bool:
    return True


async def never() -> bool:
    return False


def spec(
    tmp_path: Path,
    program: str,
    *,
    name: str = "thing.1",
    role: str = "thing",
    ready: Callable[[], Awaitable[bool]] = always,
    stop_s: float = DEADLINE_S,
) -> Spec:
    return Spec(
        name=name,
        role=role,
        command=[sys.executable, "-c", program],
        env=dict(os.environ),
        log=tmp_path / f"{name}.log",
        ready=ready,
        stop_s=stop_s,
    )


def test_delays_grow_and_start_over_after_a_healthy_run() -> None:
    delays = RestartDelays(first_s=1, most_s=5, healthy_s=30)
    assert [delays.delay(0.1) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert delays.delay(31) == 1
    assert delays.delay(1) == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exited with status 0"), (-9, "was killed by SIGKILL"), (-250, "was killed by signal 250")],
)
def test_deaths_in_words(code: int, words: str) -> None:
    assert died_how(code) == words


async def test_a_killed_process_is_started_again_and_it_is_said(tmp_path: Path) -> None:
    terminal = io.StringIO()
    supervisor = Supervisor(Output(terminal), lambda: None)
    await supervisor.start_ready([spec(tmp_path, SLEEPS)], DEADLINE_S)
    child = supervisor.children[0]
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.state == "running" and child.pid != first)
    assert "thing.1 was killed by SIGKILL; starting it again in 0.2 s" in terminal.getvalue()
    assert child.restarts == 1
    await supervisor.stop()
    assert child.state == "stopped"
    assert child.pid is None


async def test_output_goes_to_the_terminal_and_the_log(tmp_path: Path) -> None:
    terminal = io.StringIO()
    supervisor = Supervisor(Output(terminal), lambda: None)
    wanted = spec(tmp_path, "print('x' * 200_000); print('last words', end='', flush=True); " + SLEEPS)
    await supervisor.start_ready([wanted], DEADLINE_S)
    await until(lambda: "last words" in terminal.getvalue())
    await supervisor.stop()
    assert "thing.1    | " in terminal.getvalue()
    log = wanted.log.read_text()
    assert log.count("x") == 200_000
    assert "last words" in log


async def test_dying_again_and_again_at_the_start_is_told_with_the_last_lines(tmp_path: Path) -> None:
    supervisor = Supervisor(Output(io.StringIO()), lambda: None)
    broken = spec(tmp_path, "import sys; print('no such table'); sys.exit(3)", ready=never)
    with pytest.raises(
        UpError, match=r"thing\.1 died 3 times .*exited with status 3.*thing\.1\.log.*no such table"
    ):
        await supervisor.start_ready([broken], DEADLINE_S)
    await supervisor.stop()


async def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    supervisor = Supervisor(Output(io.StringIO()), lambda: None)
    missing = Spec(
        name="a.1",
        role="a",
        command=["/no/such/program"],
        env={},
        log=tmp_path / "a.log",
        ready=never,
    )
    with pytest.raises(UpError, match="cannot run /no/such/program"):
        await supervisor.start_ready([missing], DEADLINE_S)
    await supervisor.stop()


async def test_one_that_is_never_ready_is_told(tmp_path: Path) -> None:
    supervisor = Supervisor(Output(io.StringIO()), lambda: None)
    with pytest.raises(UpError, match="runs but is not ready"):
        await supervisor.start_ready([spec(tmp_path, SLEEPS, ready=never)], 0.01)
    await supervisor.stop()
    assert supervisor.children[0].pid is None


async def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    terminal = io.StringIO()
    supervisor = Supervisor(Output(terminal), lambda: None)
    deaf = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
        "signal.pause()"
    )
    await supervisor.start_ready([spec(tmp_path, deaf, stop_s=0.05)], DEADLINE_S)
    await until(lambda: "deaf" in terminal.getvalue())
    await supervisor.stop()
    assert "did not stop within" in terminal.getvalue()


async def test_a_stop_right_after_the_start_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(Output(io.StringIO()), lambda: None)
    child = supervisor.start(spec(tmp_path, SLEEPS))
    await supervisor.stop()
    assert child.pid is None
    assert child.state == "stopped"


async def test_children_have_a_session_of_their_own_and_default_signals(tmp_path: Path) -> None:
    terminal = io.StringIO()
    supervisor = Supervisor(Output(terminal), lambda: None)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        program = (
            "import os, signal; print('own session', os.getsid(0) == os.getpid(), flush=True); "
            "print('sigint', signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True); "
            + SLEEPS
        )
        await supervisor.start_ready([spec(tmp_path, program)], DEADLINE_S)
        await until(lambda: "sigint" in terminal.getvalue())
    finally:
        signal.signal(signal.SIGINT, before)
    await supervisor.stop()
    assert "own session True" in terminal.getvalue()
    assert "sigint True" in terminal.getvalue()


def test_gateways_stop_first_and_stores_last(tmp_path: Path) -> None:
    output = Output(io.StringIO())
    children = [
        Child(spec(tmp_path, "", name=f"{role}.1", role=role), output, lambda: None)
        for role in ("kafka", "redis", "postgres", "fanout", "gateway", "archiver")
    ]
    assert [[child.spec.role for child in group] for group in stop_order(children)] == [
        ["gateway"],
        ["fanout", "archiver"],
        ["kafka", "redis", "postgres"],
    ]


def test_a_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanfare.embedded.output.LOG_BYTES", 100)
    log = LogFile(tmp_path / "a.log")
    for number in range(100):
        log.write(b"line %d" % number)
    log.close()
    assert (tmp_path / "a.log").stat().st_size <= 120
    assert (tmp_path / "a.log.1").exists()
    assert list(log.tail)[-1] == "line 99"
