"""The discord.py clients of a run, and what they saw, in the history's words."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torture.history import History, Link, SessionLog
from torture.system import System
from torture.world import Person

__all__ = ["Bots"]


@dataclass
class _Seen:
    """One client program."""

    person: Person
    log: SessionLog | None = None
    count: int = 0
    live: bool = False
    why: str = ""


class Bots:
    """A process with a few real clients."""

    def __init__(self, system: System, people: Sequence[Person], history: History, skip: int) -> None:
        """Args: skip: a channel whose messages are not noted."""
        self._system = system
        self._history = history
        self._skip = skip
        self._clients = [_Seen(person) for person in people]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def away(self) -> int:
        """How many are not connected."""
        return sum(not client.live for client in self._clients)

    async def start(self) -> None:
        """Start them; they connect by themselves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "torture.bot",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        asked = {
            "api": self._system.run["api"],
            "gateway": self._system.run["gateway"],
            "tokens": [client.person.token for client in self._clients],
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._reader = asyncio.create_task(self._read(self._process), name="bots")

    async def stop(self) -> None:
        """End them."""
        process = self._process
        if process is None or self._reader is None:
            return
        assert process.stdin is not None
        # What they say on leaving is no news.
        self._reader.cancel()
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        with suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            number, kind, at, *facts = json.loads(line)
            self._take(self._clients[number], f"discord{number}", kind, at, facts)

    def _take(self, client: _Seen, name: str, kind: str, at: float, facts: list[Any]) -> None:
        log = client.log
        if kind == "ready":
            self._begin_anew(client, name, at)
        elif log is None:
            return
        elif kind == "got":
            if facts[2] == self._skip:
                return
            self._history.got(log, facts[0], facts[1], at)
        elif kind == "invalid":
            client.why = f"INVALID_SESSION, d={facts[0]}"
        elif kind == "resumed":
            client.live = True
            # Its link was noted with what came before RESUMED.
            log.links[-1].live = at
            self._history.event(log, "resumed", at)
        elif kind == "closed":
            client.live = False
            log.links[-1].closed = at
            # The next one is not told of before something comes over it; it began after this.
            log.links.append(Link(at))
            self._history.event(log, "closed", at)
        elif kind == "error":
            log.broken = str(facts)

    def _begin_anew(self, client: _Seen, name: str, at: float) -> None:
        old = client.log
        if old is not None:
            old.end, old.ended, old.said = "told", at, client.why or "discord.py began a new session"
            self._history.event(old, "told", at, said=old.said)
        client.count += 1
        client.why = ""
        client.live = True
        # It counts as ready a moment later: its guilds follow READY.
        client.log = SessionLog(
            f"{name}.{client.count}",
            client.person.id,
            slow=True,
            ready=time.monotonic(),
            links=[Link(at, live=at)],
        )
        self._history.began(client.log)
