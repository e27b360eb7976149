"""Starts and ends `fanfare demo load` for who asks by the control socket; there is one at a time."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from typing import Any, Final, Self

from fanfare.embedded.control import Handlers
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.output import Output

__all__ = ["DemoLoad"]

_MOST_PER_S: Final = 2000
_MOST_S: Final = 600
_LEAVE_S: Final = 5.0


class DemoLoad:
    """`async with DemoLoad(folder, output) as load`; `load.handlers` answer."""

    def __init__(self, folder: DataFolder, output: Output) -> None:
        self._folder = folder
        self._output = output
        self._process: Process | None = None
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def handlers(self) -> Handlers:
        """What the control socket is to answer."""
        return {"load": self.load}

    async def load(self, request: dict[str, Any]) -> Any:
        """`{"rate": MESSAGES A SECOND, "seconds": HOW LONG}`: begin; a rate of 0 ends the one that goes on.

        Raises:
            UpError: one goes on already, or it is too much.

        """
        try:
            rate, seconds = int(request["rate"]), int(request.get("seconds", 30))
        except (KeyError, TypeError, ValueError):
            raise UpError("say `rate`, messages a second, and `seconds`") from None
        if not 0 <= rate <= _MOST_PER_S or not 1 <= seconds <= _MOST_S:
            raise UpError(f"0 to {_MOST_PER_S} messages a second, for 1 to {_MOST_S} s")
        if rate == 0:
            await self._end()
            return {"rate": 0, "seconds": 0}
        if self._process is not None and self._process.returncode is None:
            raise UpError("people talk already: wait until they have done, or stop them")
        self._output.say(f"asked for {rate} messages a second for {seconds} s")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fanfare.cli", "demo", "load"),
            *("--rate", str(rate), "--seconds", str(seconds)),
            env=os.environ | {"FANFARE_HOME": str(self._folder.home)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        self._telling = asyncio.create_task(self._tell(self._process), name="demo load")
        return {"rate": rate, "seconds": seconds}

    async def _tell(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._output.say(line.decode(errors="replace").rstrip())
        await process.wait()

    async def _end(self) -> None:
        """End the one that goes on, if there is one; it deletes its guild before it leaves."""
        if self._process is None or self._telling is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(self._telling), _LEAVE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._telling
