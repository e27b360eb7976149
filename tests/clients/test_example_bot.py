"""The bots of examples/ as their pages say, with a user who does everything that they are for."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.stack import Stack
from tests.world import World, make_world_with_bot, nodes_of
from torture.client import Client

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
UP = quote("\N{THUMBS UP SIGN}")


def _python() -> list[str]:
    return [sys.executable, str(ROOT / "examples" / "bot.py")]


def _node() -> list[str]:
    node, folder = shutil.which("node"), ROOT / ".venv" / "clients" / "discordjs"
    if node is None or not (folder / "node_modules").exists():
        pytest.skip("THE BOT FOR DISCORD.JS IS NOT TESTED: there is no Node, or npm could not install it")
    # Node looks for packages beside the file.
    return [node, shutil.copy(ROOT / "examples" / "bot.mjs", folder)]


@pytest.fixture(params=[_python, _node])
async def world(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A guild with a person and a bot, which runs."""
    made = await make_world_with_bot(stack, people=1)
    addresses = {
        "FANFARE_API": stack.run["api"],
        "FANFARE_GATEWAY": stack.run["gateway"],
        "FANFARE_TOKEN": made.people[1].token,
    }
    process = await asyncio.create_subprocess_exec(
        *request.param(), env=os.environ | addresses, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert b"ready" in await process.stdout.readline()
        yield made
    finally:
        process.terminate()
        await process.wait()


async def test_the_example_does_what_it_is_for(stack: Stack, world: World) -> None:
    owner, bot = world.people
    channel = world.channels[0]
    node = (await nodes_of(stack))[0]
    async with await Client.connect(node.gateway, owner.session()) as person, node.rest(owner) as rest:
        await person.start()

        async def does(kind: int, data: object, **more: object) -> str:
            where = {"application_id": str(bot.id), "channel_id": str(channel)}
            body = where | {"type": kind, "data": data} | more
            answer = await rest.request("POST", "/interactions", body)
            return str(answer["id"])

        options = [{"name": "whom", "value": str(owner.id)}, {"name": "often", "value": 2}]
        await does(2, {"name": "hello", "options": options})
        thinking = await person.until("MESSAGE_CREATE")
        assert thinking.d["flags"] == 128
        said = await person.until("MESSAGE_UPDATE", id=thinking.d["id"])
        assert said.d["content"] == f"Hello <@{owner.id}>! Hello <@{owner.id}>!"
        assert (said.d["flags"], [user["id"] for user in said.d["mentions"]]) == (0, [str(owner.id)])

        await does(2, {"name": "buttons"})
        message = (await person.until("MESSAGE_CREATE", content="Pressed 0 times.")).d["id"]
        for number in (1, 2):
            await does(3, {"custom_id": "count"}, message_id=message)
            assert (await person.until("MESSAGE_UPDATE", content=f"Pressed {number} times.")).d[
                "id"
            ] == message
        await does(3, {"custom_id": "say"}, message_id=message)
        opened = await person.until("INTERACTION_MODAL_CREATE")
        field = opened.d["components"][0]["components"][0]["custom_id"]
        await does(5, {"id": opened.d["id"], "components": [{"custom_id": field, "value": "fine"}]})
        thanks = await person.until("MESSAGE_CREATE", content="Thank you for “fine”.")
        assert thanks.d["flags"] == 64

        await does(2, {"name": "vote", "options": [{"name": "question", "value": "Shall we?"}]})
        question = (await person.until("MESSAGE_CREATE", content="Shall we?")).d["id"]
        for _ in range(2):
            await person.until("MESSAGE_REACTION_ADD", message_id=question)
        await rest.request("PUT", f"/channels/{channel}/messages/{question}/reactions/{UP}/@me")
        counted = await person.until("MESSAGE_CREATE", content="1 for it, 0 against.")
        assert counted.d["message_reference"]["message_id"] == question

        await does(2, {"name": "note", "options": [{"name": "words", "value": "in a file"}]})
        [file] = (await person.until("MESSAGE_CREATE", type=20)).d["attachments"]
        async with aiohttp.ClientSession() as http, http.get(file["url"]) as got:
            assert (file["filename"], await got.text()) == ("note.txt", "in a file")
