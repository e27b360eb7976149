"""TCP links that can be cut, in a process of their own so that a busy load does not slow them down.

    python -m torture.proxy LISTEN:TARGET [LISTEN:TARGET...]

Ports of loopback. Lines on stdin: `drop PORT` (a network that swallows everything: what is connected hangs, what
connects gets no answer), `reset PORT` (what is connected is cut off, what connects too) and `heal PORT`, with the
port listened on; and `target PORT OTHER [OTHER...]`: from now on new connections lead to other ports in turn, and old
ones stay. It ends with its stdin.
"""

import asyncio
import contextlib
import itertools
import sys
from enum import StrEnum
from typing import Any

from typing_extensions import override

__all__ = ["Mode", "Proxies"]

HOST = "127.0.0.1"
READ_BYTES = 64 * 1024
_TARGET = "target"


class Mode(StrEnum):
    """What a link does."""

    HEAL = "heal"
    DROP = "drop"
    RESET = "reset"


class _Link:
    """One listening port and what goes through it."""

    def __init__(self, target: int) -> None:
        self.targets = itertools.cycle((target,))
        self.mode = Mode.HEAL
        self.open = asyncio.Event()
        self.open.set()
        self.connections: set[asyncio.StreamWriter] = set()

    def turn(self, mode: Mode) -> None:
        """Change what it does. A connection that has lost data never goes on."""
        hung = self.mode is Mode.DROP
        self.mode = mode
        if mode is Mode.HEAL:
            self.open.set()
        else:
            self.open.clear()
        if mode is Mode.RESET or (hung and mode is Mode.HEAL):
            for writer in list(self.connections):
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.mode is Mode.RESET:
            writer.transport.abort()
            return
        self.connections.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self.open.wait()
            back, there = await asyncio.open_connection(HOST, next(self.targets))
            self.connections.add(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there))
                both.create_task(self._pump(back, writer))
        except* OSError:
            pass
        finally:
            for each in (writer, there):
                if each is not None:
                    self.connections.discard(each)
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            if self.mode is Mode.DROP:
                await self.open.wait()
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


async def _serve(pairs: list[tuple[int, int]]) -> None:
    links = {}
    async with contextlib.AsyncExitStack() as stack:
        for port, target in pairs:
            links[port] = link = _Link(target)
            await stack.enter_async_context(await asyncio.start_server(link.serve, HOST, port))
        print("ready", flush=True)
        stdin = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        while line := await stdin.readline():
            word, which, *others = line.decode().split()
            if word == _TARGET:
                links[int(which)].targets = itertools.cycle([int(other) for other in others])
            else:
                links[int(which)].turn(Mode(word))


class Proxies:
    """The process with the links, from its parent's side; an asynchronous context manager."""

    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        """Args: pairs: port to listen on, port behind it."""
        self._pairs = pairs
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Proxies":
        """Start, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "torture.proxy",
            *(f"{port}:{target}" for port, target in self._pairs),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise RuntimeError("the proxies did not start")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def turn(self, port: int, mode: Mode) -> None:
        """Change what a link does."""
        self._say(f"{mode} {port}")

    def lead(self, port: int, *targets: int) -> None:
        """Lead new connections of a link to other ports in turn; those that are open stay where they are."""
        self._say(f"{_TARGET} {port} {' '.join(map(str, targets))}")

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    @override
    def __repr__(self) -> str:
        return f"Proxies({self._pairs})"


def _main(words: list[str]) -> None:
    pairs: list[Any] = [tuple(map(int, word.split(":"))) for word in words]
    asyncio.run(_serve(pairs))


if __name__ == "__main__":
    _main(sys.argv[1:])
