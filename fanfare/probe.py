"""Small questions to running processes: is the port open, what does the internal server say."""

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "ask_all", "get", "get_json", "port_open"]

TIMEOUT_S = 1.0
MOST_BYTES = 1024 * 1024


async def port_open(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def get(url: str, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes] | None:
    """Status and body of an HTTP GET on this machine, or None if there was no answer.

    An HTTP library would do it too, but takes longer to import than the whole start may.
    """
    host_port, _, path = url.removeprefix("http://").partition("/")
    line = Line(host_port)
    try:
        return await line.get(f"/{path}", timeout_s)
    finally:
        line.close()


async def get_json(url: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any] | None:
    """The JSON object that a 200 answer holds, or None."""
    answer = await get(url, timeout_s)
    if answer is None or answer[0] != 200:
        return None
    try:
        value = json.loads(answer[1])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


async def ask_all(
    lines: "Sequence[Line]", path: str, timeout_s: float = TIMEOUT_S
) -> list[tuple[int, bytes] | None]:
    """Ask many processes the same at once: status and body of each answer, or None where there was none in time."""
    asked = [line.ask(path) for line in lines]
    try:
        if asked:
            await asyncio.wait(asked, timeout=timeout_s)
        return [one.result() if one.done() else None for one in asked]
    finally:
        for line, one in zip(lines, asked, strict=True):
            if not one.done():
                line.close()


class Line(asyncio.Protocol):
    """A connection to an internal server, kept between questions, of which it takes one at a time.

    Who watches asks a hundred processes each second. So an answer costs no task, no timer and no stream of its own.
    """

    def __init__(self, url: str) -> None:
        """Args: url: `http://HOST:PORT`."""
        self._host_port = url.removeprefix("http://")
        self._transport: asyncio.WriteTransport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._request = b""
        self._again = False
        """Whether it is asked once more if it hangs up: it may have closed a connection that nobody used."""
        self._read = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes] | None] | None = None

    async def get(self, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes] | None:
        """Status and body of an HTTP GET, or None if there was no answer."""
        return (await ask_all((self,), path, timeout_s))[0]

    def ask(self, path: str) -> "asyncio.Future[tuple[int, bytes] | None]":
        """Done with status and body of an HTTP GET, or with None. Who waits no longer calls `close`."""
        self._request = f"GET {path} HTTP/1.1\r\nHost: {self._host_port}\r\n\r\n".encode()
        self._answer = asyncio.get_running_loop().create_future()
        self._again = self._transport is not None
        self._send()
        return self._answer

    def close(self) -> None:
        """Hang up; what was asked for has no answer."""
        if self._opening is not None:
            self._opening.cancel()
        transport, self._transport, self._again = self._transport, None, False
        if transport is not None:
            # At once, so that its end is not taken for that of the next connection.
            transport.abort()
        self._end(None)

    def _send(self) -> None:
        self._read.clear()
        if self._transport is not None:
            self._transport.write(self._request)
        else:
            self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        host, _, port = self._host_port.rpartition(":")
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, host.strip("[]"), int(port))
        except (OSError, ValueError):
            self._end(None)

    def _end(self, answer: tuple[int, bytes] | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It accepts: ask."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass
        self._send()

    @override
    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        self._again = False
        self._read += data
        try:
            answer = _answer_in(self._read)
        except ValueError:
            self.close()
        else:
            if answer is not None:
                self._end(answer)

    @override
    def connection_lost(self, _: Exception | None) -> None:
        """It has hung up, or this side has."""
        if self._transport is None:
            return
        self._transport = None
        if self._again and self._answer is not None and not self._answer.done():
            self._again = False
            self._send()
        else:
            self._end(None)


def _answer_in(read: bytearray) -> tuple[int, bytes] | None:
    """Status and body; None: there is more to come. Raises: ValueError: it is no HTTP, or too much."""
    begin = read.find(b"\r\n\r\n") + 4
    if len(read) > MOST_BYTES:
        raise ValueError("an answer larger than any of ours")
    if begin < 4:
        return None
    first, *fields = read[:begin].decode("latin-1").split("\r\n")
    length = next((int(one[15:]) for one in fields if one.lower().startswith("content-length:")), 0)
    status = first.split(" ", 2)
    if len(status) < 2 or length < 0:
        raise ValueError(f"no HTTP: {first[:20]!r}")
    return (int(status[1]), bytes(read[begin : begin + length])) if len(read) >= begin + length else None
