"""Small questions to running processes: is the port open, what does the internal server say."""

import asyncio
import contextlib
import json
from typing import Any

__all__ = ["Line", "get", "get_json", "port_open"]

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


class Line:
    """A connection to an internal server, kept between questions: who asks each second pays little."""

    def __init__(self, url: str) -> None:
        """Args: url: `http://HOST:PORT`."""
        self._host_port = url.removeprefix("http://")
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes] | None:
        """Status and body of an HTTP GET, or None if there was no answer."""
        kept = self._open is not None
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._ask(path)
                except (OSError, EOFError):
                    if not kept:
                        raise
                    # It was closed meanwhile, as one that nobody used.
                    self.close()
                    return await self._ask(path)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            self.close()
            return None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    async def _ask(self, path: str) -> tuple[int, bytes]:
        if self._open is None:
            host, _, port = self._host_port.rpartition(":")
            self._open = await asyncio.open_connection(host.strip("[]"), int(port), limit=MOST_BYTES)
        reader, writer = self._open
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host_port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        length = next((int(one[15:]) for one in fields if one.lower().startswith("content-length:")), 0)
        return int(first.split(" ", 2)[1]), await reader.readexactly(min(length, MOST_BYTES))
