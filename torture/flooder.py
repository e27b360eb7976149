"""`python -m torture.flooder GATEWAY API [CERTIFICATE]`: floods of those who never identify, each bounded.

A process of its own, so that whoever measures how others fare does not wait for it. Raw sockets, because a library
would keep to the rules. Only loopback. Ends with a line of JSON: per flood, how many connections the other side closed.
"""

import asyncio
import contextlib
import ipaddress
import json
import resource
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

__all__ = ["FLOODS", "Target", "flood"]

# Longer than every deadline for those who have not identified; only ends what hangs.
_LIMIT_S: Final = 75.0
_CONNECT_S: Final = 20.0
_UPGRADE: Final = (
    b"GET /?v=10&encoding=json HTTP/1.1\r\nHost: flood\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_HEADS: Final = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"y" * 8000) for at in range(127))
_PIECE: Final = 64 * 1024


@dataclass(frozen=True)
class Target:
    """A public port."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str, certificate: str = "") -> "Target":
        """The port of a URL. Raises: ValueError: it is not on loopback."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{host} is not this machine: floods are for loopback only")
        tls = ssl.create_default_context(cafile=certificate) if parts.scheme in {"wss", "https"} else None
        return cls(host, parts.port or 0, tls)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection."""
        async with asyncio.timeout(_CONNECT_S):
            return await asyncio.open_connection(self.host, self.port, ssl=self.tls)


async def _drain(reader: asyncio.StreamReader) -> None:
    """Read until the other side closes."""
    while await reader.read(_PIECE):
        pass


async def _one(target: Target, first: bytes, more: bytes, *, upgraded: bool, reads: bool) -> None:
    """A connection that sends `first`, then `more` for ever (nothing: stays silent), until it is closed."""
    reader, writer = await target.connect()
    try:
        if upgraded:
            writer.write(_UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        if not reads:
            # Its own side is full soon; the end is seen by the next write.
            cast("asyncio.Transport", writer.transport).pause_reading()
            while not writer.transport.is_closing():
                await asyncio.sleep(1)
                writer.write(b"\r\n")
            return
        draining = asyncio.create_task(_drain(reader))
        try:
            while more and not draining.done():
                writer.write(more)
                await asyncio.wait_for(writer.drain(), _LIMIT_S)
                await asyncio.sleep(0)
            await draining
        finally:
            draining.cancel()
    finally:
        writer.transport.abort()


Attack = Callable[[Target], Coroutine[Any, Any, None]]


def _flood(first: bytes, more: bytes = b"", *, upgraded: bool = False, reads: bool = True) -> Attack:
    async def run(target: Target) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await _one(target, first, more, upgraded=upgraded, reads=reads)

    return run


async def _drip(target: Target) -> None:
    """A body that comes a byte a second."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        reader, writer = await target.connect()
        draining = asyncio.create_task(_drain(reader))
        try:
            writer.write(
                b"POST /api/v10/users/@me/channels HTTP/1.1\r\nHost: flood\r\nContent-Length: 9000\r\n\r\n"
            )
            while not draining.done():
                writer.write(b" ")
                await asyncio.wait((draining,), timeout=1)
        finally:
            draining.cancel()
            writer.transport.abort()


FLOODS: Final[dict[str, tuple[str, int, Attack]]] = {
    "pings": ("gateway", 4, _flood(b"", b"\x89\x80\0\0\0\0" * 10_000, upgraded=True)),
    "continuations": ("gateway", 4, _flood(b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0" * 10_000, upgraded=True)),
    "heads": ("gateway", 1000, _flood(_HEADS)),
    "silent": ("gateway", 500, _flood(b"")),
    "half requests": ("rest", 2000, _flood(b"GET /api/v10/gat")),
    "slow bodies": ("rest", 500, _drip),
    "unread": (
        "rest",
        500,
        _flood(b"GET /api/v10/gateway HTTP/1.1\r\nHost: flood\r\n\r\n" * 2000, reads=False),
    ),
}
"""Of each: the port, how many connections, and one of them."""


async def flood(
    gateway: Target, rest: Target, names: list[str], scale: float = 1.0
) -> dict[str, dict[str, float]]:
    """All of them at once. Of each: connections, how many the other side ended, and seconds until the last of them."""

    async def of_one(name: str) -> dict[str, float]:
        port, number, attack = FLOODS[name]
        number = max(1, int(number * scale))
        began = time.monotonic()
        target = gateway if port == "gateway" else rest
        tasks = [asyncio.create_task(attack(target)) for _ in range(number)]
        done, hanging = await asyncio.wait(tasks, timeout=_LIMIT_S)
        for task in hanging:
            task.cancel()
        if hanging:
            await asyncio.wait(hanging)
        ended = sum(task.exception() is None for task in done)
        return {"connections": number, "ended": ended, "seconds": round(time.monotonic() - began, 1)}

    return dict(zip(names, await asyncio.gather(*map(of_one, names)), strict=True))


def main(gateway: str, api: str, certificate: str = "") -> None:
    """Flood, and say how it went."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ports = Target.of(gateway, certificate), Target.of(api, certificate)
    sys.stdout.write(json.dumps(asyncio.run(flood(*ports, list(FLOODS)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
