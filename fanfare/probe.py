"""Small questions to running processes: is the port open, what does the internal server say."""

import asyncio
import contextlib
import json
from typing import Any

__all__ = ["get", "get_json", "port_open"]

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
    host, _, port = host_port.rpartition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {host_port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(request.encode())
                answer = await reader.read(MOST_BYTES)
                while chunk := await reader.read(MOST_BYTES):
                    answer += chunk
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        return None
    return int(words[1]), body


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
