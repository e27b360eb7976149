"""`fanfare up` with real stores: start, status, restarts, stop, and that nothing is ever left behind.

The services are stand-ins, so that these tests are about the supervisor alone.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.system

DEADLINE_S = 60
FAKE = Path(__file__).with_name("fake_service.py")


def until(condition: Callable[[], Any]) -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def alive_in(folder: Path) -> set[int]:
    """Processes that work in the folder or were given it."""
    found = set()
    mark = str(folder).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            texts = [(entry / name).read_bytes() for name in ("environ", "cmdline")]
            if any(mark in text for text in texts) or str((entry / "cwd").readlink()).startswith(str(folder)):
                found.add(int(entry.name))
    return found


def procfile(folder: Path) -> Path:
    path = folder / "Procfile"
    path.write_text(f"gateway: python '{FAKE}'\nfanout: python '{FAKE}'\n")
    return path


def make_stack(folder: Path, *options: str, **settings: str) -> Stack:
    return Stack(
        folder,
        options=["--procfile", str(procfile(folder)), "--scale", "gateway=2", *options],
        settings=settings,
    )


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = make_stack(tmp_path_factory.mktemp("a path with spaces"))
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def light(fakes: Stack, tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own that borrows the other one's stores: quick to start."""
    run = fakes.run
    given = {name: run[name] for name in ("kafka", "redis", "postgres")}
    stack = make_stack(tmp_path, **given, secret=(fakes.home / "secret").read_text().strip())
    yield stack
    stack.stop()


def test_run_json_tells_all_and_only_us(fakes: Stack) -> None:
    run = fakes.run
    assert stat.S_IMODE((fakes.home / "run.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(fakes.home.stat().st_mode) == 0o700
    assert list(run) == [
        "version", "pid", "gateway", "api", "web", "admin_key", "kafka", "redis", "postgres",
        "guild_id", "channel_id", "users", "bot",
    ]  # fmt: skip
    assert run["version"] == 1
    os.kill(run["pid"], 0)
    for person in [run["bot"], *run["users"].values()]:
        assert set(person) == {"id", "token"}


def test_status_lists_every_process(fakes: Stack) -> None:
    status = fakes.status()
    assert status["ready"] is True
    names = [entry["name"] for entry in status["processes"]]
    assert sorted(names) == ["fanout.1", "gateway.1", "gateway.2", "kafka.1", "postgres", "redis"]
    for entry in status["processes"]:
        assert entry["state"] == "running"
        command = Path(f"/proc/{entry['pid']}/cmdline").read_bytes()
        assert b"launch.py" not in command, "the pid is the worker itself"
    assert status["sessions"] == 4
    table = fakes.command("status").stdout
    assert "gateway.2" in table
    assert "4 sessions" in table


def test_a_second_up_is_refused(fakes: Stack) -> None:
    for options in (["--detach"], []):
        refused = fakes.command("up", *options, check=False)
        assert refused.returncode == 1
        assert "already running in this folder" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_reset_is_refused_while_it_runs(fakes: Stack) -> None:
    refused = fakes.command("reset", check=False)
    assert refused.returncode == 1
    assert "already running" in refused.stderr
    assert fakes.status()["ready"]


@pytest.mark.parametrize("name", ["gateway.2", "redis", "postgres", "kafka.1"])
def test_a_killed_process_is_started_again(fakes: Stack, name: str) -> None:
    before = fakes.process(name)
    os.kill(before["pid"], signal.SIGKILL)

    def again() -> bool:
        status = fakes.status()
        entry = next(entry for entry in status["processes"] if entry["name"] == name)
        return entry["pid"] not in {None, before["pid"]} and status["ready"]

    until(again)
    assert (
        f"{name} was killed by SIGKILL; starting it again in" in (fakes.home / "logs" / "up.log").read_text()
    )
    assert fakes.process(name)["address"] == before["address"]


async def test_stores_keep_their_data_when_they_are_killed(fakes: Stack) -> None:
    import asyncpg
    from redis.asyncio import Redis

    run = fakes.run
    async with Redis.from_url(run["redis"]) as redis:
        await redis.set("kept", "yes")
        # The append-only file is written before the answer; the disk gets it within a second.
        await redis.execute_command("WAITAOF", 1, 0, 5000)
    os.kill(fakes.process("redis")["pid"], signal.SIGKILL)
    await asyncio.to_thread(until, lambda: fakes.status()["ready"])
    async with Redis.from_url(run["redis"]) as redis:
        assert await redis.get("kept") == b"yes"
    connection = await asyncpg.connect(run["postgres"])
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


def test_passwords_are_asked_for(fakes: Stack) -> None:
    port = int(fakes.process("redis")["address"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_addresses_replace_the_embedded_parts(light: Stack) -> None:
    light.start()
    status = light.status()
    assert {entry["name"]: entry["state"] for entry in status["processes"]} == {
        "gateway.1": "running",
        "gateway.2": "running",
        "fanout.1": "running",
        "kafka": "external",
        "redis": "external",
        "postgres": "external",
    }
    assert status["ready"] is True
    assert not (light.home / "kafka").exists()


def test_down_stops_everything_and_a_restart_finds_the_data(fakes: Stack) -> None:
    before = fakes.run
    assert alive_in(fakes.folder)
    fakes.stop()
    assert alive_in(fakes.folder) == set()
    assert not (fakes.home / "run.json").exists()
    gone = fakes.command("status", "--json", check=False)
    assert gone.returncode == 3
    assert json.loads(gone.stdout) == {"ready": False, "processes": [], "groups": {}, "sessions": 0}
    assert "not running" in fakes.command("status", check=False).stderr
    after = fakes.start()
    for name in ("guild_id", "channel_id", "users", "bot"):
        assert after[name] == before[name]


def test_a_killed_up_leaves_nothing_behind(fakes: Stack) -> None:
    os.kill(fakes.run["pid"], signal.SIGKILL)
    until(lambda: not alive_in(fakes.folder))
    assert fakes.command("status", check=False).returncode == 3
    fakes.start()
    assert fakes.status()["ready"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_stops_what_was_started(tmp_path: Path, number: signal.Signals) -> None:
    stack = make_stack(tmp_path)
    process = subprocess.Popen(
        # As a shell does for a background job: SIGINT ignored.
        [
            "/bin/sh",
            "-c",
            'trap "" INT; exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "fanfare.cli",
            "up",
            *stack.options,
        ],
        cwd=tmp_path,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: any(entry["pid"] for entry in stack.status()["processes"]))
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "stopping before everything was started" in output
    assert "Traceback" not in output
    assert alive_in(tmp_path) == set()


def test_a_process_that_dies_at_start_is_told_in_one_line(light: Stack) -> None:
    (light.folder / "Procfile").write_text("gateway: python -c 'print(\"no such table\"); exit(3)'\n")
    failed = light.command("up", "--detach", "--procfile", str(light.folder / "Procfile"), check=False)
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1
    assert "gateway.1 died 3 times before it was ready" in failed.stderr
    assert "gateway.1.log: no such table" in failed.stderr
    assert alive_in(light.folder) == set()


def refusal(stack: Stack) -> str:
    """The one line with which `up` ends."""
    failed = stack.command("up", "--detach", *stack.options, check=False)
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1, failed.stderr
    assert alive_in(stack.folder) == set()
    return failed.stderr


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    assert "unknown setting FANFARE_REST_PROT" in refusal(make_stack(tmp_path, rest_prot="1"))


@pytest.mark.parametrize("name", ["rest_port", "gateway_port", "kafka_port", "redis_port", "postgres_port"])
def test_a_port_in_use_is_told_by_its_setting(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        said = refusal(make_stack(tmp_path, **{name: str(port)}))
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert f"FANFARE_{name.upper()}" in said


def test_an_internal_port_in_use_is_told(light: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        light.settings["internal_port"] = str(busy.getsockname()[1])
        assert "FANFARE_INTERNAL_PORT" in refusal(light)


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("secret", "x", "secret is damaged"),
        ("redis.secret", "", "redis.secret is damaged"),
        ("postgres/data/PG_VERSION", "17\n", "was made by PostgreSQL 17 and this is 18"),
        ("postgres/data/PG_VERSION", "", "postgres/data is damaged"),
        ("kafka/cluster.json", "{", "cluster.json is damaged"),
        ("kafka/cluster.json", '{"cluster_id": "a", "brokers": 3}', "set it to 3"),
        ("kafka/1/meta.properties", "version=1\n", "1/meta.properties is damaged"),
    ],
)
def test_a_damaged_data_folder_is_told(
    fakes: Stack, tmp_path: Path, path: str, content: str, words: str
) -> None:
    # The parts that are not looked at are borrowed: nothing is started for them.
    given = {name: fakes.run[name] for name in ("kafka", "redis", "postgres") if not path.startswith(name)}
    stack = make_stack(tmp_path, **given)
    file = stack.home / path
    file.parent.mkdir(parents=True)
    file.write_text(content)
    if path.endswith("meta.properties"):
        (stack.home / "kafka" / "cluster.json").write_text('{"cluster_id": "a", "brokers": 1}')
    assert words in refusal(stack)


def test_a_corrupted_jar_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fanfare.embedded import jars, kafka
    from fanfare.embedded.errors import UpError
    from fanfare.embedded.folder import DataFolder

    copies = tmp_path / "jars"
    copies.mkdir()
    for path in jars.default_folder().glob("*.jar"):
        (copies / path.name).symlink_to(path)
    broken = next(path for path in copies.iterdir() if path.name.startswith("kafka-raft"))
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 1
    broken.unlink()
    broken.write_bytes(content)
    monkeypatch.setattr(kafka, "default_folder", lambda: copies)
    folder = DataFolder(tmp_path / "home")
    folder.make()
    with pytest.raises(UpError, match="kafka-raft"):
        asyncio.run(kafka.prepare_kafka(folder, 1, 0))
    assert not (folder.home / "kafka").exists()
