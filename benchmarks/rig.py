"""A system to measure: real stores and real gateways, with processes pinned to cores."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from msgspec.structs import replace
from pydantic import SecretStr
from redis.asyncio import Redis

from benchmarks.native_tools import LAST_CORE, compiled, ended, pinned
from fanfare.permissions import P
from fanfare.presence import inboxes
from fanfare.presence.client import connect
from fanfare.record import Record
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tokens import Tokens
from torture.client import Rest

__all__ = ["Crowd", "InboxOf", "Rig", "cpu_s", "hold", "rig", "started"]

_PORTS = ("REST", "GATEWAY", "INTERNAL", "KAFKA", "REDIS", "POSTGRES")


def cpu_s(pid: int) -> float:
    """CPU time that all threads of a process have used, in seconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


@dataclass(slots=True)
class Crowd:
    """Sessions held by the compiled receiver."""

    process: asyncio.subprocess.Process

    async def counts(self) -> tuple[int, int]:
        """Frames and bytes received since the last call."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self._answer()

    async def _answer(self) -> tuple[int, int]:
        assert self.process.stdout is not None
        words = (await self.process.stdout.readline()).split()
        return int(words[1]), int(words[3])

    async def received(self, frames: int, timeout_s: float = 60) -> tuple[int, int]:
        """Wait until so many frames came since the last call; frames and bytes."""
        got = size = 0
        async with asyncio.timeout(timeout_s):
            while got < frames:
                more, more_size = await self.counts()
                got, size = got + more, size + more_size
                await asyncio.sleep(0.003)
        return got, size

    async def cut(self) -> None:
        """Cut all connections."""
        await ended(self.process)

    async def close(self) -> None:
        """End all sessions, so that nothing is kept of them, and wait until the server has closed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 40)
        except TimeoutError:
            await ended(self.process)


class Rig:
    """A running system."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.run: dict[str, Any] = json.loads((folder / ".fanfare" / "run.json").read_text())
        self._processes: dict[str, dict[str, Any]] = {}
        self._files = itertools.count()
        self._offsets = itertools.count()
        # Ids of people and roles made here: far from those of the demo.
        self._ids = itertools.count(2_000_000_000_000_000_000)
        self._tokens = Tokens((folder / ".fanfare" / "secret").read_text().strip())

    def command(self, *arguments: str) -> str:
        """Run `fanfare ARGUMENTS`; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "fanfare.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def processes(self, *, again: bool = False) -> dict[str, dict[str, Any]]:
        """The processes by name, as they were when they were first asked for, or as they are now."""
        if again or not self._processes:
            found: list[dict[str, Any]] = json.loads(self.command("status", "--json"))["processes"]
            self._processes = {process["name"]: process for process in found}
        return self._processes

    def settings(self) -> Settings:
        """Settings that reach this system's stores."""
        return Settings(
            home=self.folder / ".fanfare",
            kafka=self.run["kafka"],
            redis=SecretStr(self.run["redis"]),
            postgres=SecretStr(self.run["postgres"]),
            secret=SecretStr((self.folder / ".fanfare" / "secret").read_text().strip()),
        )

    def pin(self, *measured: str) -> None:
        """Put these processes on the last core and everything else, children included, on the others."""
        if LAST_CORE == 0:
            return
        for name, process in self.processes().items():
            cores = {LAST_CORE} if name in measured else set(range(LAST_CORE))
            for task in Path(f"/proc/{process['pid']}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)
        os.sched_setaffinity(0, set(range(LAST_CORE)))

    async def people(self, guild: int, count: int, channel: int = 0, roles: int = 1) -> list[str]:
        """Make members of a guild that nobody has looked at yet; their tokens.

        Args:
            guild: which.
            count: how many.
            channel: a channel to which each role has an overwrite of its own.
            roles: so many roles are made and shared out in turn.

        """
        ids = list(itertools.islice(self._ids, count))
        made = list(itertools.islice(self._ids, roles))
        connection = await asyncpg.connect(self.run["postgres"])
        try:
            async with connection.transaction():
                await connection.execute(
                    "INSERT INTO users (id, username) SELECT id, 'bench' || id FROM unnest($1::bigint[]) AS id",
                    ids,
                )
                await connection.execute(
                    "INSERT INTO members (guild_id, user_id, joined_at, roles) "
                    "SELECT $1, id, now(), ARRAY[($3::bigint[])[1 + id % $4]] FROM unnest($2::bigint[]) AS id",
                    guild,
                    ids,
                    made,
                    roles,
                )
                await connection.executemany(
                    "INSERT INTO roles (id, guild_id, name, permissions, position) VALUES ($1, $2, $3, 0, $4)",
                    [(role, guild, f"role {at}", at + 1) for at, role in enumerate(made)],
                )
                if channel:
                    await connection.executemany(
                        "INSERT INTO overwrites (channel_id, target_id, type, allow, deny) VALUES ($1, $2, 0, $3, $4)",
                        [(channel, role, P.VIEW_CHANNEL | 1 << at, 0) for at, role in enumerate(made)],
                    )
                await connection.execute(
                    "UPDATE guilds SET member_count = member_count + $2 WHERE id = $1", guild, count
                )
        finally:
            await connection.close()
        return [self._tokens.issue(user) for user in ids]

    async def guild(self, name: str) -> tuple[int, int]:
        """Make a guild with a channel, owned by the demo's alice; their ids."""
        store = await Store.connect(self.settings())
        try:
            alice = await store.user(int(self.run["users"]["alice"]["id"]))
            assert alice is not None
            guild = (await store.create_guild(lambda: next(self._ids), alice, name, ("bench",))).value
        finally:
            await store.close()
        return guild.id, next(iter(guild.channels))

    def rest(self, process: str) -> Rest:
        """REST of one gateway, as the demo's alice."""
        return Rest(self.processes()[process]["api"], self.run["users"]["alice"]["token"])

    async def crowd(self, process: str, tokens: list[str], query: str = "", *intents: int) -> Crowd:
        """Hold a session on one gateway for each token; returns when all have their guild.

        Args:
            process: name of the gateway.
            tokens: of members of one guild each.
            query: goes behind the address.
            intents: each in turn.

        """
        return await hold(
            self.processes()[process]["address"], self.file("\n".join(tokens)), query, *map(str, intents)
        )

    def file(self, text: str) -> Path:
        """A file with this text."""
        path = self.folder / f"file-{next(self._files)}"
        path.write_text(text)
        return path

    @asynccontextmanager
    async def inbox(self, process: str) -> AsyncIterator["InboxOf"]:
        """The inbox of one gateway."""
        redis = connect(self.settings())
        try:
            yield InboxOf(redis, self.processes()[process]["inbox"], self._offsets)
        finally:
            await redis.aclose()


class InboxOf:
    """The inbox of a gateway, to put into what a notifier would."""

    def __init__(self, redis: Redis, name: str, offsets: Iterator[int]) -> None:
        self._redis = redis
        self._name = name
        self._offsets = offsets

    async def append(self, records: list[Record]) -> None:
        """Append a batch at once; each record gets a position of its own in a partition that nobody reads."""
        placed = [replace(record, source=("benchmark", 0, next(self._offsets))) for record in records]
        async with self._redis.pipeline(transaction=False) as pipe:
            inboxes.append(pipe, self._name, [(record, record.pack()) for record in placed])
            answer = (await pipe.execute())[0]
        if answer[2] != len(records):
            raise RuntimeError(f"the inbox answered {answer}")

    async def record(self, message: int) -> Record:
        """The record of a message that has come, among the newest."""
        newest = await inboxes.last_s(self._redis, self._name)
        for entry in await inboxes.read_between(
            self._redis, self._name, newest - (10 << 12 << 10), None, count=10_000
        ):
            if entry.record is not None and entry.record.id == message:
                return entry.record
        raise LookupError(f"no message {message} in the inbox")


async def hold(address: str, tokens: Path, *options: str) -> Crowd:
    """Hold a connection for each token in a file; returns when all have begun."""
    receiver = compiled("receiver")
    assert receiver is not None
    url = urlsplit(address)
    process = await asyncio.create_subprocess_exec(
        *pinned(0, receiver, str(url.hostname), str(url.port), str(tokens), *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 300)
    if not line.startswith(b"ready"):
        raise RuntimeError(f"the receiver said {line!r}")
    return Crowd(process)


@asynccontextmanager
async def started(*options: str, **settings: object) -> AsyncIterator[Rig]:
    """`fanfare up` in a folder of its own, with these options and each setting by its name; stopped in the end.

    At SIGTERM too.
    """
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as name:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FANFARE_")}
        environment |= {f"FANFARE_{port}_PORT": "0" for port in _PORTS}
        environment |= {f"FANFARE_{key.upper()}": str(value) for key, value in settings.items()}
        environment |= {"FANFARE_HOME": str(Path(name) / ".fanfare")}
        up = [sys.executable, "-m", "fanfare.cli", "up", "--detach", *options]
        done = await asyncio.to_thread(
            subprocess.run, up, cwd=name, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        found = Rig(Path(name), environment)
        try:
            yield found
        finally:
            await asyncio.to_thread(found.command, "down")


@asynccontextmanager
async def rig(scale: str) -> AsyncIterator[Rig]:
    """A whole system."""
    async with started("--scale", scale, drain_s=0.1) as found:
        yield found
