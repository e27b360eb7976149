"""A connection leaves nothing behind that only a search for garbage would find."""

import asyncio
import gc
import struct
import weakref
from collections.abc import AsyncIterator, Callable
from socket import SO_LINGER, SOL_SOCKET, socket
from types import SimpleNamespace

import pytest

from gateway.connection import Connection
from gateway.listening.admission import Admission, Bounds, Room
from gateway.timers import Wheel

HANDSHAKE = (
    b"GET /?v=10&encoding=json HTTP/1.1\r\nHost: fanfare\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _nothing(connection: socket) -> None:
    """The client ends its side."""


def _reset(connection: socket) -> None:
    """The network drops it."""
    connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


def _close(connection: socket) -> None:
    """A close frame, as the protocol wants it."""
    connection.sendall(b"\x88\x82\x00\x00\x00\x00\x03\xe8")


def _nonsense(connection: socket) -> None:
    """Something that is no frame."""
    connection.sendall(b"\xff\xff\xff\xff")


@pytest.fixture
async def served() -> AsyncIterator[tuple[SimpleNamespace, tuple[str, int]]]:
    """A node that serves, as far as connections know it; and its address."""
    node = SimpleNamespace(
        wheel=Wheel(),
        connections=set(),
        healthy=True,
        open=True,
        admission=Admission("gateway", Bounds(8, 8, 0), Room(1024), lambda _: None),
    )
    server = await asyncio.get_running_loop().create_server(lambda: Connection(node), "127.0.0.1", 0)
    async with server:
        yield node, server.sockets[0].getsockname()


@pytest.mark.parametrize("leave", [_nothing, _reset, _close, _nonsense])
async def test_a_closed_connection_is_freed_at_once(
    served: tuple[SimpleNamespace, tuple[str, int]], leave: Callable[[socket], None]
) -> None:
    node, address = served
    gc.collect()
    gc.disable()
    try:
        with socket() as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, address)
            await asyncio.get_running_loop().sock_sendall(client, HANDSHAKE)
            await asyncio.get_running_loop().sock_recv(client, 4096)
            (protocol,) = (weakref.ref(connection._ws) for connection in node.connections)
            leave(client)
        while node.connections:
            await asyncio.sleep(0)
        node.wheel = Wheel()  # deadlines hold the connection until they have passed
        await asyncio.sleep(0)
        assert protocol() is None
    finally:
        gc.enable()
