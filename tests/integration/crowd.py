"""A crowd of light clients: as little as it takes to hold a session each, so that one process holds thousands.

They speak plain JSON and look for what a test waits for in the bytes that come; nothing is decoded.
"""

import asyncio
import base64
import contextlib
import os
import resource
from typing import Final
from urllib.parse import urlsplit

from typing_extensions import override

__all__ = ["Crowd", "Member"]

# Connections that are being opened at one time.
_AT_ONCE: Final = 64
_MASK: Final = b"\x00\x00\x00\x00"  # a mask that changes nothing
_START_S: Final = 120.0
# The server closes what is silent for 82 s.
_BEAT_S: Final = 20.0


class Member(asyncio.Protocol):
    """One websocket with an identified session."""

    __slots__ = ("_crowd", "_frames", "_token", "_transport", "received", "started")

    def __init__(self, crowd: "Crowd", token: str) -> None:
        self._crowd = crowd
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._frames = b""
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        """Messages that hold what the crowd looks for."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._crowd.handshake)

    @override
    def data_received(self, data: bytes) -> None:
        data = self._frames + data
        if data.startswith(b"HTTP/1.1 101 "):
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._frames = head
                return
        elif data.startswith(b"HTTP/"):
            self._fail(f"the handshake was answered with {data[:80]!r}")
            return
        at = 0
        while (end_at := _end(data, at)) <= len(data) and end_at > 0:
            self._take(data[at:end_at])
            at = end_at
        self._frames = data[at:]

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc!r}")

    def beat(self) -> None:
        """Send a heartbeat."""
        if self.started.done() and self._transport is not None and not self._transport.is_closing():
            self._write(b'{"op":1,"d":null}')

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: bytes) -> None:
        if self._crowd.wanted and self._crowd.wanted in frame:
            self.received += 1
            self._crowd.took()
        elif b'"t":"GUILD_CREATE"' in frame and not self.started.done():
            self.started.set_result(None)
        elif b'"op":10,' in frame:
            self._write(b'{"op":2,"d":{"token":"%b","intents":33281,"properties":{}}}' % self._token.encode())
        elif frame[0] == 0x88:
            self._fail(f"the server closed: {frame[2:]!r}")

    def _write(self, message: bytes) -> None:
        assert self._transport is not None
        size = len(message)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + _MASK + message)

    def _fail(self, why: str) -> None:
        if not self.started.done():
            self.started.set_exception(ConnectionError(why))
        elif not self._crowd.closing:
            self._crowd.lost += 1


class Crowd:
    """Members on several nodes; an asynchronous context manager."""

    def __init__(self, urls: list[str]) -> None:
        """Args: urls: of the nodes, in turn."""
        self._urls = [urlsplit(url) for url in urls]
        self.members: list[Member] = []
        self.wanted = b""
        """What a frame must hold to be counted."""
        self.lost = 0
        """Connections lost after their start."""
        self.closing = False
        key = base64.b64encode(os.urandom(16)).decode()
        self.handshake = (
            f"GET {self._urls[0].path}?v=10&encoding=json HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._took = 0
        self._enough = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Crowd":
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        if self._beating is not None:
            self._beating.cancel()
        for member in self.members:
            member.close()
        await asyncio.sleep(0)

    async def gather(self, tokens: list[str]) -> None:
        """Start one session per token, spread evenly over the nodes."""
        room(len(tokens) + 1000)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def start(at: int, token: str) -> None:
            url = self._urls[at % len(self._urls)]
            async with gate:
                loop = asyncio.get_running_loop()
                _, member = await loop.create_connection(lambda: Member(self, token), url.hostname, url.port)
                self.members.append(member)
                await asyncio.wait_for(member.started, _START_S)

        await asyncio.gather(*(start(at, token) for at, token in enumerate(tokens)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            for member in self.members:
                member.beat()

    def took(self) -> None:
        """A member has received what is wanted."""
        self._took += 1
        if self._took >= len(self.members):
            self._enough.set()

    async def all_received(self, within_s: float) -> None:
        """Wait until so many wanted frames came as there are members, each time anew."""
        async with asyncio.timeout(within_s):
            await self._enough.wait()
        self._took = 0
        self._enough.clear()


def room(files: int) -> None:
    """Let this process have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))


def _end(data: bytes, at: int) -> int:
    """Where the websocket frame that begins there ends; 0 if that is not known yet."""
    if len(data) < at + 2:
        return 0
    size = data[at + 1] & 0x7F
    if size < 126:
        return at + 2 + size
    wide = 2 if size == 126 else 8
    if len(data) < at + 2 + wide:
        return 0
    return at + 2 + wide + int.from_bytes(data[at + 2 : at + 2 + wide], "big")
