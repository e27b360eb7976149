"""The life of a service process, as its parent sees it."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanfare.clock import now_s
from fanfare.service import Service
from fanfare.settings import Settings
from fanfare.telemetry.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
HEAD = """
import asyncio
from fanfare.errors import FatalError
from fanfare.service import State, run

async def main(service):
    {body}

run("tester", main)
"""
PATIENT = "service.state = State.RUNNING; await service.stopping.wait()"


@asynccontextmanager
async def service(body: str, **settings: str) -> Any:
    """A process whose main is `body`; gone at the end whatever happened."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "FANFARE_INTERNAL_PORT": "0",
        "FANFARE_LOG_FORMAT": "json",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HEAD.format(body=body),
        env=environment | {f"FANFARE_{name.upper()}": value for name, value in settings.items()},
        stderr=asyncio.subprocess.PIPE,
        # As under a shell's background job.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Any, event: str) -> dict[str, Any]:
    """Read the log up to the line that says `event`."""
    async for raw in process.stderr:
        if raw.startswith(b"{") and (found := json.loads(raw))["event"] == event:
            return dict(found)
    raise AssertionError(f"it ended without saying {event!r}")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stops_when_asked(number: signal.Signals) -> None:
    async with service(PATIENT) as process:
        await line(process, "running")
        process.send_signal(number)
        assert await process.wait() == 0


async def test_shows_how_it_is() -> None:
    body = """
    ready = asyncio.Event()
    service.problem = lambda: "" if ready.is_set() else "chat.events/3 is held"
    service.facts = lambda: {"sessions": 3}
    service.state = State.RUNNING
    asyncio.get_running_loop().add_signal_handler(10, ready.set)
    await service.stopping.wait()
"""
    async with service(body, process="tester.4") as process:
        base = (await line(process, "starting"))["internal"]
        await line(process, "running")
        assert (await asyncio.to_thread(get, base + "/healthz"))[0] == 200
        assert await asyncio.to_thread(get, base + "/readyz") == (503, "not ready: chat.events/3 is held\n")
        process.send_signal(signal.SIGUSR1)
        while (await asyncio.to_thread(get, base + "/readyz"))[0] != 200:
            pass
        _, status = await asyncio.to_thread(get, base + "/status")
        assert json.loads(status) == {
            "role": "tester",
            "name": "tester.4",
            "pid": process.pid,
            "state": "running",
            "ready": True,
            "why": "",
            "sessions": 3,
        }
        _, text = await asyncio.to_thread(get, base + "/metrics")
        assert 'fanfare_state{state="running"} 1.0' in text


async def test_a_process_that_was_told_to_stop_says_when_it_is_to_be_done() -> None:
    told = Service(Settings(unready_s=10, drain_s=60), "tester")
    before = now_s()
    told.stop("SIGTERM")
    until = REGISTRY.get_sample_value("fanfare_drain_until_seconds")
    assert until is not None
    assert before + 70 <= until <= now_s() + 70


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('broken')", "broken"),
        ("return", "nobody asked"),
        ("raise FatalError('set this')", "set this"),
        ("_ = service.supervise(asyncio.sleep(0), 'short'); " + PATIENT, "short ended too early"),
        ("service.supervise(asyncio.sleep(99), 'gone').cancel(); " + PATIENT, "task gone was cancelled"),
        ("_ = service.supervise(asyncio.open_connection('', 0), 'bad'); " + PATIENT, "task bad died"),
    ],
)
async def test_dies_loudly(body: str, why: str) -> None:
    async with service(body) as process:
        assert why in (await line(process, "failed"))["why"]
        assert await process.wait() == 1


async def test_a_failed_part_lets_the_rest_drain() -> None:
    body = (
        "_ = service.supervise(asyncio.sleep(0), 'short'); await service.stopping.wait(); "
        "service.log.info('drained')"
    )
    async with service(body) as process:
        await line(process, "drained")
        assert await process.wait() == 1


async def test_settings_that_cannot_be_used() -> None:
    async with service(PATIENT, no_such_thing="1") as process:
        _, said = await process.communicate()
        assert process.returncode == 2
        assert said.count(b"\n") == 1
        assert b"FANFARE_NO_SUCH_THING" in said


async def test_a_busy_port_names_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        async with service(PATIENT, internal_port=str(busy.getsockname()[1])) as process:
            _, said = await process.communicate()
            assert process.returncode == 2
            assert b"FANFARE_INTERNAL_PORT" in said


async def test_setting_up_can_be_given_up() -> None:
    body = "service.log.info('waiting'); done = await service.until_stopped(asyncio.sleep(3600)); assert not done"
    async with service(body) as process:
        await line(process, "waiting")
        process.terminate()
        assert await process.wait() == 0
