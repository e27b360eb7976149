"""The programs of the README, as they stand there but for addresses and tokens."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.world import Node, Person, nodes_of
from torture.client import Client

pytestmark = pytest.mark.system

PROGRAMS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(), re.DOTALL
)


@asynccontextmanager
async def running(stack: Stack, program: str, token: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of the README on this stack, with the token of somebody."""
    run = stack.run
    for old, new in (
        ("http://127.0.0.1:8080/api/v10", run["api"]),
        ("ws://127.0.0.1:8081/gateway/", run["gateway"]),
        ("the bot's token", token),
        ("TOKEN_OF_ALICE", token),
        ("CHANNEL_ID", run["channel_id"]),
    ):
        program = program.replace(old, new)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


def _person(stack: Stack, name: str) -> Person:
    user = stack.run["users"][name]
    return Person(int(user["id"]), name, user["token"])


async def _started(node: Node, person: Person) -> Client:
    client = await Client.connect(node.gateway, person.session())
    await client.start()
    return client


async def test_the_bot_answers(stack: Stack) -> None:
    channel = stack.run["channel_id"]
    async with (
        running(stack, PROGRAMS[0], stack.run["bot"]["token"]) as bot,
        await _started((await nodes_of(stack))[1], _person(stack, "alice")) as alice,
    ):
        assert bot.stdout is not None
        while b"has connected to Gateway" not in (line := await bot.stdout.readline()):
            assert line, "the bot ended"
        await alice.send(channel, "!ping")
        answer = await alice.until("MESSAGE_CREATE", content="pong")
        assert answer.d["author"]["id"] == stack.run["bot"]["id"]


async def test_the_chat_client_sends_and_hears(stack: Stack) -> None:
    async with (
        await _started((await nodes_of(stack))[0], _person(stack, "bob")) as bob,
        running(stack, PROGRAMS[1], _person(stack, "alice").token) as chat,
    ):
        event = await bob.until("MESSAGE_CREATE", content="hello")
        assert chat.stdout is not None
        said = {(await chat.stdout.readline()).decode().strip() for _ in range(2)}
        assert "alice hello" in said
        assert any(line.startswith("accepted") and event.d["id"] in line for line in said)
