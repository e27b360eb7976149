"""A system of the torture's own: `fanfare up --detach` in a folder, its processes, and its gateway nodes."""

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from redis.asyncio import Redis

from fanfare import probe
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.ports import free_port
from fanfare.settings import Settings
from torture.child import FILE
from torture.proxy import Mode, Proxies

__all__ = ["BadSystemError", "Node", "Process", "Scale", "System", "eventually", "new_folder", "seeded"]

HOST: Final = "127.0.0.1"
_START_S: Final = 300.0
_POLL_S: Final = 0.02
_DISKS_MB: Final = {"kafka": 900, "postgres": 500}
_ROLES: Final = ("gateway", "fanout", "notifier", "archiver")


class BadSystemError(Exception):
    """The system under test does not do what a run needs; the message says what."""


@dataclass(frozen=True)
class Scale:
    """How large the system is."""

    brokers: int = 3
    gateway: int = 3
    fanout: int = 2
    notifier: int = 2
    archiver: int = 2

    @property
    def option(self) -> str:
        """As `--scale` wants it."""
        return ",".join(f"{role}={getattr(self, role)}" for role in _ROLES)


@dataclass(frozen=True)
class Process:
    """A process, as the supervisor knows it."""

    name: str
    role: str
    pid: int | None
    state: str
    internal: str
    address: str


@dataclass(frozen=True)
class Node:
    """A gateway node by its own addresses."""

    name: str
    pid: int
    gateway: str
    api: str


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """Wait until something is so. Raises: BadSystemError: it is not so in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        if time.monotonic() > deadline:
            raise BadSystemError(f"{what} within {within_s:.0f} s")
        await asyncio.sleep(_POLL_S)


class System:
    """A running system; an asynchronous context manager that starts and stops it."""

    def __init__(
        self,
        folder: Path,
        scale: Scale,
        *,
        plant: tuple[str, str] | None = None,
        small_disks: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: where everything is kept; must exist.
            scale: how large.
            plant: a bug and the role that gets it.
            small_disks: keep Kafka's and PostgreSQL's data on a small tmpfs each, where one can be mounted.
            settings: further ones for its services, by the names of their variables.

        """
        self.folder = folder
        self.scale = scale
        self.data = DataFolder(folder / ".fanfare")
        self.changes: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, Node] = {}
        self.run: dict[str, Any] = {}
        self._plant = plant
        self._settings = dict(settings or {})
        self._disks = _DISKS_MB if small_disks else {}
        self._ports = _ports_in_a_row(scale.brokers)
        self.redis_port = free_port()
        self.redis_link = free_port()
        """Port of the link to Redis that can be cut."""
        self.kafka_links = {port: free_port() for port in self._ports}
        self._proxies = Proxies(
            [(self.redis_link, self.redis_port), *((link, port) for port, link in self.kafka_links.items())]
        )
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "System":
        """Start everything; returns when it is ready."""
        procfile = self.folder / "Procfile"
        lines = [f"{role}: {' '.join(self._command(role))}\n" for role in _ROLES]
        procfile.write_text("".join(lines), "utf-8")
        self._write_changes()
        for name, size_mb in self._disks.items():
            (self.data.home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            await _quietly(
                "mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(self.data.home / name)
            )
        await self._proxies.__aenter__()
        try:
            await self._bring_up("--scale", self.scale.option, "--procfile", str(procfile))
            await self._look_for_nodes()
            await eventually(self._all_nodes, 30, "the gateways do not tell their addresses")
            self._watch = asyncio.create_task(self._keep_looking(), name="nodes")
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _bring_up(self, *options: str) -> None:
        await self.command("up", "--detach", *options)
        self.run = json.loads(self.data.run_file.read_text("utf-8"))

    async def _stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for process in self.processes().values():
            if process.pid is not None:
                _kill(process.pid, signal.SIGCONT)
        with suppress(BadSystemError):
            await self.command("down")
        await self._proxies.__aexit__()
        for name in self._disks:
            await _quietly("umount", "-l", str(self.data.home / name))

    def _command(self, role: str) -> list[str]:
        if self._plant is not None and self._plant[1] == role:
            return ["python", "-m", "torture.planted", self._plant[0], role]
        return ["python", "-m", "torture.child", role]

    @property
    def environment(self) -> dict[str, str]:
        """For `fanfare` commands on this system."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
        settings = {
            "HOME": str(self.data.home),
            "REST_PORT": "0",
            "GATEWAY_PORT": "0",
            "INTERNAL_PORT": "0",
            "POSTGRES_PORT": "0",
            "KAFKA_PORT": str(self._ports[0]),
            "REDIS_PORT": str(self.redis_port),
            "BROKERS": str(self.scale.brokers),
        }
        ours = {f"FANFARE_{name}": value for name, value in settings.items()}
        return clean | ours | self._settings | {FILE: str(self.folder / "changes.json")}

    async def command(self, *words: str, **variables: str) -> str:
        """Run `fanfare WORDS`, with further variables. Raises: BadSystemError: it failed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fanfare.cli",
            *words,
            cwd=self.folder,
            env=self.environment | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_START_S):
                output, _ = await process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        if process.returncode:
            raise BadSystemError(f"fanfare {' '.join(words)}: {output.decode(errors='replace')[-2000:]}")
        return output.decode()

    @property
    def settings(self) -> Settings:
        """For code in this process that reads the stores."""
        return Settings(
            home=self.data.home,
            kafka=self.run["kafka"],
            redis=SecretStr(self.run["redis"]),
            postgres=SecretStr(self.run["postgres"]),
            secret=SecretStr((self.data.home / "secret").read_text().strip()),
        )

    def redis(self, port: int = 0) -> "Redis":
        """A client that gives up soon. Args: port: of another server with the same password."""
        url = self._redis_at(port) if port else self.run["redis"]
        client: Redis = Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        return client

    @property
    def redis_password(self) -> str:
        """The password of Redis."""
        return str(urlsplit(self.run["redis"]).password)

    # Processes

    def processes(self) -> dict[str, Process]:
        """All processes by name, as they are now."""
        try:
            state = json.loads(self.data.state_file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        fields = Process.__dataclass_fields__
        return {
            entry["name"]: Process(**{key: value for key, value in entry.items() if key in fields})
            for entry in state["processes"]
        }

    def pid(self, name: str) -> int:
        """The pid of a running process. Raises: BadSystemError: it does not run."""
        process = self.processes().get(name)
        if process is None or process.pid is None:
            raise BadSystemError(f"{name} does not run")
        return process.pid

    def of_role(self, role: str) -> list[str]:
        """Names of the processes of a role."""
        return sorted(process.name for process in self.processes().values() if process.role == role)

    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a process; returns its pid."""
        pid = self.pid(name)
        _kill(pid, number)
        return pid

    async def replaced(self, name: str, pid: int, within_s: float = 30.0) -> int:
        """Wait for another process in the place of one; returns its pid."""
        found = pid

        async def other() -> bool:
            nonlocal found
            now = self.processes().get(name)
            found = now.pid if now is not None and now.pid is not None else pid
            return found != pid

        await eventually(other, within_s, f"{name} is not started again")
        return found

    async def ready(self, *names: str, within_s: float = 60.0) -> None:
        """Wait until processes are ready; by default, all."""

        async def all_ready() -> bool:
            processes = self.processes()
            wanted = [processes[name] for name in names or processes if name in processes]
            return all([await self._is_ready(process) for process in wanted])

        await eventually(all_ready, within_s, f"{', '.join(names) or 'the system'} is not ready")

    async def _is_ready(self, process: Process) -> bool:
        if process.pid is None or process.state != "running":
            return False
        if not process.internal:
            host, _, port = process.address.rpartition(":")
            return await probe.port_open(host, int(port))
        answer = await probe.get(process.internal + "/readyz")
        return answer is not None and answer[0] == 200

    async def restart(self, *names: str) -> None:
        """SIGTERM, and wait until they are ready again."""
        pids = {name: self.signal(name, signal.SIGTERM) for name in names}
        for name, pid in pids.items():
            await self.replaced(name, pid)
        await self.ready(*names)

    def change(self, name: str, **changes: Any) -> None:
        """What is different for a process from its next start on; nothing given: nothing is."""
        self.changes[name] = changes
        self._write_changes()

    def turn(self, port: int, mode: Mode) -> None:
        """Cut or heal a link."""
        self._proxies.turn(port, mode)

    def lead(self, port: int, target: int) -> None:
        """Lead new connections of a link to another port; those that are open stay."""
        self._proxies.lead(port, target)

    @property
    def redis_by_link(self) -> str:
        """URL of Redis through the link that can be cut."""
        return self._redis_at(self.redis_link)

    def _redis_at(self, port: int) -> str:
        return str(self.run["redis"]).replace(f":{self.redis_port}/", f":{port}/")

    def _write_changes(self) -> None:
        path = self.folder / "changes.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.changes), "utf-8")
        fresh.replace(path)

    # Nodes

    async def _keep_looking(self) -> None:
        while True:
            await self._look_for_nodes()
            await asyncio.sleep(0.25)

    async def _look_for_nodes(self) -> None:
        gateways = [process for process in self.processes().values() if process.role == "gateway"]
        said = await asyncio.gather(*(probe.get_json(process.internal + "/status") for process in gateways))
        self.nodes = {
            process.name: Node(process.name, process.pid or 0, status["address"], status["api"])
            for process, status in zip(gateways, said, strict=True)
            if status is not None and "api" in status and status["ready"]
        }

    async def _all_nodes(self) -> bool:
        await self._look_for_nodes()
        return len(self.nodes) == self.scale.gateway


async def _quietly(*command: str) -> None:
    """Run a program of the system that may not be allowed, or not be there."""
    with suppress(OSError):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _ports_in_a_row(count: int) -> list[int]:
    """Free ports next to each other, as the brokers take them."""
    while True:
        first = free_port()
        try:
            for port in range(first + 1, first + count):
                _check_free(port)
        except OSError:
            continue
        return list(range(first, first + count))


def _check_free(port: int) -> None:
    import socket  # noqa: PLC0415

    with socket.socket() as sock:
        sock.bind((HOST, port))


def new_folder() -> Path:
    """A folder for a system, where there is room for it."""
    return Path(tempfile.mkdtemp(prefix="fanfare-torture-"))


def seeded(seed: int, *names: object) -> random.Random:
    """The random numbers of one part of a run: they do not depend on what other parts take."""
    return random.Random(f"{seed}/{'/'.join(map(str, names))}")  # noqa: S311 - repeatable on purpose
