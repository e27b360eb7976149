"""Fixtures of the tests that talk to running gateways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.integration.moving import App, Socket
from tests.stack import Stack
from tests.world import Node, Person, World, make_people, make_world, nodes_of
from torture.client import Client, Compression, Session

Connect = Callable[..., Awaitable[Client]]
Dial = Callable[[Node, Session], Awaitable[Client]]


@pytest.fixture
async def nodes(stack: Stack) -> list[Node]:
    """The two gateway nodes."""
    return await nodes_of(stack)


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    """A guild with three people and two channels. A test that changes the guild makes one of its own."""
    return asyncio.run(make_world(stack, people=3, channels=2))


@pytest.fixture
async def online() -> AsyncIterator[Connect]:
    """`await online(node, who)`: a started client, READY and guilds taken; closed after the test."""
    async with AsyncExitStack() as clients:

        async def connect(
            node: Node, who: Person | Session, compress: Compression = Compression.NONE
        ) -> Client:
            session = who.session() if isinstance(who, Person) else who
            client = await clients.enter_async_context(
                await Client.connect(node.gateway, session, compress=compress)
            )
            await client.start()
            return client

        yield connect


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """`await dial(node, session)`: a connected client that has not identified; cut after the test, if it still is."""
    clients: list[Client] = []

    async def connect(node: Node, session: Session) -> Client:
        clients.append(await Client.connect(node.gateway, session))
        return clients[-1]

    yield connect
    for client in clients:
        await client.cut()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def apps(stack, nodes, http):
    """The app through each node."""
    return [App(http, node.api.removesuffix("/api/v10"), stack.run["admin_key"]) for node in nodes]


@pytest.fixture
async def people(stack):
    return await make_people(stack, 3)


@pytest.fixture
async def sockets(http):
    async with AsyncExitStack() as opened:

        async def connect(node, person) -> Socket:
            ws = await opened.enter_async_context(http.ws_connect(f"{node.gateway}?v=10&encoding=json"))
            await ws.send_json({"op": 2, "d": {"token": person.token, "intents": 0, "properties": {}}})
            socket = Socket(ws)
            await socket.until(lambda said: said["t"] == "READY")
            return socket

        yield connect
