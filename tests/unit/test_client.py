"""The client of tests and benchmarks, against a server that only says HELLO."""

from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from torture.client import Client, ClosedError, Session

HELLO = '{"op":10,"d":{"heartbeat_interval":41250},"s":null,"t":null}'


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def hang_up_when_told(connection: ServerConnection) -> None:
        await connection.send(HELLO)
        await connection.recv()
        connection.transport.abort()

    async with serve(hang_up_when_told, "127.0.0.1", 0) as server:
        yield "ws://{}:{}/".format(*server.sockets[0].getsockname())


async def test_a_client_can_be_paused_when_the_server_has_hung_up(url: str) -> None:
    client = await Client.connect(url, Session("token", intents=0))
    await client.heartbeat()
    with pytest.raises(ClosedError):
        await client.next()
    client.pause()
    assert client.paused
    await client.cut()
