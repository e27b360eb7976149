"""The way into a running `fanfare up`: a socket in its data folder, which only its owner can open.

One request a connection, one line of JSON each way: `{"do": "scale", ...}`, answered by `{"ok": ...}` or
`{"error": "..."}`.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from fanfare import control
from fanfare.control import NAME, ControlError, short
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError

__all__ = ["Handlers", "ask", "serve"]

_LINE_BYTES: Final = 64 * 1024
_READ_S: Final = 5.0

Handlers = dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]


@asynccontextmanager
async def serve(folder: DataFolder, handlers: Handlers) -> AsyncIterator[None]:
    """Answer requests until the block ends; what is under way then is cancelled."""
    path = folder.home / NAME
    path.unlink(missing_ok=True)
    busy: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        try:
            await _answer(reader, writer, handlers)
        finally:
            busy.discard(task)
            writer.close()

    before = os.umask(0o177)
    try:
        with short(folder.home) as near:
            server = await asyncio.start_unix_server(connected, near / NAME, limit=_LINE_BYTES)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        for task in list(busy):
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        path.unlink(missing_ok=True)


async def ask(folder: DataFolder, request: dict[str, Any]) -> Any:
    """Ask the `fanfare up` of this folder; waits until it has done so.

    Raises:
        NotRunningError: none runs here.
        UpError: it says why not.

    """
    try:
        return await control.ask(folder.home, request)
    except ControlError as error:
        raise UpError(str(error)) from None
    except OSError:
        if folder.holder() is None:
            said = f"fanfare is not running in {folder.home}: start it with `fanfare up`"
            raise NotRunningError(said) from None
        raise UpError("`fanfare up` does not listen yet: try again when it is ready") from None


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Handlers) -> None:
    if _peer(writer) not in {0, os.getuid()}:
        return
    said: dict[str, Any]
    try:
        async with asyncio.timeout(_READ_S):
            request = json.loads(await reader.readline())
        if handler := handlers.get(request["do"]):
            said = {"ok": await handler(request)}
        else:
            said = {"error": f"{request['do']!r} is none of {', '.join(handlers)}: is this another version?"}
    except UpError as error:
        said = {"error": str(error)}
    except (ValueError, KeyError, TypeError, TimeoutError):
        said = {"error": "a request is one line of JSON with `do`"}
    except Exception as error:  # noqa: BLE001 - who asked has to learn of it, and `fanfare up` goes on
        said = {"error": f"it failed: {error!r}"}
    with contextlib.suppress(OSError):
        writer.write(msgspec.json.encode(said) + b"\n")
        await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> int:
    """The user on the other side, from the kernel."""
    raw = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    return int(struct.unpack("3i", raw)[1])
