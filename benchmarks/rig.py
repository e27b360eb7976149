"""A system to measure: real stores and real gateways, with processes pinned to cores."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from fanfare.client import Rest
from fanfare.settings import Settings
from fanfare.tokens import Tokens

__all__ = ["Crowd", "Rig", "cpu_s", "rig"]

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
                await asyncio.sleep(0.05)
        return got, size

    async def close(self) -> None:
        """Cut all connections."""
        self.process.kill()
        await self.process.wait()


class Rig:
    """A running system."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.run: dict[str, Any] = json.loads((folder / ".fanfare" / "run.json").read_text())
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

    def processes(self) -> dict[str, dict[str, Any]]:
        """The processes by name."""
        found: list[dict[str, Any]] = json.loads(self.command("status", "--json"))["processes"]
        return {process["name"]: process for process in found}

    def settings(self) -> Settings:
        """Settings that reach this system's stores."""
        return Settings(
            home=self.folder / ".fanfare",
            kafka=self.run["kafka"],
            redis=SecretStr(self.run["redis"]),
            postgres=SecretStr(self.run["postgres"]),
            secret=SecretStr((self.folder / ".fanfare" / "secret").read_text().strip()),
        )

    def pin(self, measured: str) -> None:
        """Put one process on the last core and everything else, children included, on the others."""
        last = (os.cpu_count() or 1) - 1
        if last == 0:
            return
        for name, process in self.processes().items():
            cores = {last} if name == measured else set(range(last))
            for task in Path(f"/proc/{process['pid']}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)
        os.sched_setaffinity(0, set(range(last)))

    async def people(self, guild: int, count: int, first_id: int) -> list[str]:
        """Make members of a guild that nobody has looked at yet; their tokens."""
        ids = list(range(first_id, first_id + count))
        connection = await asyncpg.connect(self.run["postgres"])
        try:
            async with connection.transaction():
                await connection.execute(
                    "INSERT INTO users (id, username) SELECT id, 'bench' || id FROM unnest($1::bigint[]) AS id",
                    ids,
                )
                await connection.execute(
                    "INSERT INTO members (guild_id, user_id, joined_at) "
                    "SELECT $1, id, now() FROM unnest($2::bigint[]) AS id",
                    guild,
                    ids,
                )
                await connection.execute(
                    "UPDATE guilds SET member_count = member_count + $2 WHERE id = $1", guild, count
                )
        finally:
            await connection.close()
        return [self._tokens.issue(user) for user in ids]

    def guild(self, name: str) -> tuple[int, int]:
        """Make a guild with a channel, owned by the demo's alice; their ids."""
        guild = json.loads(self.command("guild", "create", name, "--owner", "alice", "--json"))
        channel = json.loads(self.command("channel", "create", str(guild["id"]), "bench", "--json"))
        return int(guild["id"]), int(channel["id"])

    def rest(self, process: str) -> Rest:
        """REST of one gateway, as the demo's alice."""
        return Rest(self.processes()[process]["api"], self.run["users"]["alice"]["token"])

    async def crowd(
        self, receiver: str, address: str, tokens: list[str], query: str = "", *intents: int
    ) -> Crowd:
        """Hold a session for each token; returns when all have their guilds."""
        path = self.folder / f"tokens-{len(tokens)}"
        path.write_text("\n".join(tokens))
        url = urlsplit(address)
        process = await asyncio.create_subprocess_exec(
            receiver,
            str(url.hostname),
            str(url.port),
            str(path),
            query,
            *map(str, intents),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 300)
        if not line.startswith(b"ready"):
            raise RuntimeError(f"the receiver said {line!r}")
        return Crowd(process)


@asynccontextmanager
async def rig(scale: str) -> AsyncIterator[Rig]:
    """Start a system in a folder of its own, and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as name:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FANFARE_")}
        environment |= {f"FANFARE_{port}_PORT": "0" for port in _PORTS}
        environment |= {"FANFARE_HOME": str(Path(name) / ".fanfare"), "FANFARE_DRAIN_S": "0.1"}
        up = [sys.executable, "-m", "fanfare.cli", "up", "--detach", "--scale", scale]
        started = await asyncio.to_thread(
            subprocess.run, up, cwd=name, env=environment, capture_output=True, text=True, check=False
        )
        if started.returncode:
            raise RuntimeError(started.stdout + started.stderr)
        found = Rig(Path(name), environment)
        try:
            yield found
        finally:
            await asyncio.to_thread(found.command, "down")
