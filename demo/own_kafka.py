"""Three brokers of one's own for the tour: `fanfare up --stores-only` in a folder that is removed again."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from fanfare.embedded.folder import DataFolder
from fanfare.settings import Settings

__all__ = ["FailedError", "OwnKafka"]

BROKERS: Final = 3
_PORTS: Final = ("REST", "GATEWAY", "INTERNAL", "KAFKA", "REDIS", "POSTGRES")
_STOP_S: Final = 10.0


class FailedError(Exception):
    """A command of the tour did not do what it has to; the message says which, and what it said."""


class OwnKafka:
    """An asynchronous context manager: starts the brokers, stops them, and removes the folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fanfare-tour-"))
        self._data = DataFolder(self._folder / ".fanfare")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
        self._environment = clean | {
            "FANFARE_HOME": str(self._data.home),
            "FANFARE_BROKERS": str(BROKERS),
            **{f"FANFARE_{name}_PORT": "0" for name in _PORTS},
        }
        self._running: set[asyncio.subprocess.Process] = set()

    async def __aenter__(self) -> Self:
        try:
            await self.run("up", "--detach", "--stores-only")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in list(self._running):
            await self.stop(process)
        with contextlib.suppress(FailedError):
            await self.run("down")
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def settings(self) -> Settings:
        """For questions of our own to the brokers."""
        run = json.loads(self._data.run_file.read_text("utf-8"))
        return Settings(home=self._data.home, kafka=run["kafka"])

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Begin `fanfare WORDS`; to be ended by `stop`, or by itself."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fanfare.cli",
            *words,
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._running.add(process)
        return process

    async def stop(self, process: asyncio.subprocess.Process) -> None:
        """What Ctrl-C does."""
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_S)
        if process.returncode is None:
            process.kill()
            await process.wait()
        self._running.discard(process)

    async def run(self, *words: str, typed: Sequence[str] = ()) -> list[str]:
        """Run `fanfare WORDS` to its end; answers the lines that it prints.

        Args:
            words: the command.
            typed: lines for its standard input.

        Raises:
            FailedError: its exit status is not 0.

        """
        process = await self.start(*words)
        try:
            given = "".join(f"{line}\n" for line in typed).encode()
            output, _ = await process.communicate(given)
        except BaseException:
            await self.stop(process)
            raise
        self._running.discard(process)
        said = output.decode(errors="replace")
        if process.returncode:
            raise FailedError(f"fanfare {' '.join(words)} failed: {said.strip()[-1000:]}")
        return said.splitlines()

    def kill(self, name: str) -> int:
        """SIGKILL to a process of `fanfare up`; answers its pid."""
        processes: list[dict[str, Any]] = json.loads(self._data.state_file.read_text("utf-8"))["processes"]
        pid = next(int(process["pid"]) for process in processes if process["name"] == name)
        os.kill(pid, signal.SIGKILL)
        return pid
