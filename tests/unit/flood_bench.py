"""The public ports without stores, in this process, for tests of what the unidentified may do; with and without TLS."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import trustme
from aiohttp import web

from gateway.connection import Connection
from gateway.listening.admission import Admission, Bounds, Room
from gateway.listening.listener import Listener
from gateway.rest.server import RestServer, identified, start_rest
from gateway.timers import Wheel

LIMIT_S = 20
_AUTHORITY = trustme.CA()
# Of any path and with any header.
HANDSHAKE = (
    b"GET /?v=10&encoding=json HTTP/1.1\r\nHost: fanfare\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def server_tls() -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def client_tls() -> ssl.SSLContext:
    """What a client believes."""
    context = ssl.create_default_context()
    _AUTHORITY.configure_trust(context)
    return context


class Bench:
    """A gateway's port, and a REST port."""

    def __init__(self, tls: ssl.SSLContext | None, bounds: Bounds) -> None:
        self.said: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.tls = client_tls() if tls else None
        room = Room(10_000)
        self.gateway = Admission("gateway", bounds, room, self.said.append)
        self.node = SimpleNamespace(
            wheel=Wheel(), connections=set(), healthy=True, open=True, admission=self.gateway, hub=None
        )
        self.listener = Listener(_bound(), lambda: Connection(self.node), self.gateway, tls)
        self.rest: RestServer
        self.rest_admission = Admission("rest", bounds, room, self.said.append)

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client."""
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.tls, limit=1 << 20)
        self.writers.append(writer)
        return reader, writer

    async def connect_plainly(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that knows nothing of TLS."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(writer)
        return reader, writer


def _bound() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


async def _hello(request: web.Request) -> web.Response:
    identified(request)
    await request.read()
    return web.Response(body=b"x" * int(request.query.get("size", 1)))


@asynccontextmanager
async def bench(*, tls: bool, bounds: Bounds | None = None) -> AsyncIterator[Bench]:
    """Both ports."""
    context = server_tls() if tls else None
    made = Bench(context, bounds or Bounds(64, 64, 0))
    app = web.Application()
    app.router.add_route("*", "/hello", _hello)
    made.rest = await start_rest(app, [_bound()], made.rest_admission, context)
    await made.listener.start()
    try:
        yield made
    finally:
        for writer in made.writers:
            writer.transport.abort()
        made.listener.close()
        for connection in list(made.node.connections):
            connection.abort()
        await made.rest.stop()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes."""
    async with asyncio.timeout(LIMIT_S):
        data = b""
        while True:
            try:
                more = await reader.read(65536)
            except (ConnectionError, ssl.SSLError):
                return data
            if not more:
                return data
            data += more


async def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.01)
