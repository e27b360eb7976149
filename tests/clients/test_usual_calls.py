"""What the usual bot does, with unmodified libraries: each robot in `robots` is told to do it, and tells what it hears.

docs/compatibility.md is made by this test: a library whose row is not true any more fails it.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from fanfare.permissions import P
from tests.stack import Stack
from tests.world import (
    Person,
    World,
    kill,
    make_world,
    make_world_with_bot,
    nodes_of,
    processes_of,
    whole_again,
)
from torture.client import CALM_INTENTS, PRESENCES, Client, Op, Rest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

_WAIT_S: Final = 60
_ROOT: Final = Path(__file__).parents[2]
_ROBOTS: Final = Path(__file__).parent / "robots"
_ENVIRONMENTS: Final = _ROOT / ".venv" / "clients"
_DOC: Final = _ROOT / "docs" / "compatibility.md"
_HEART: Final = "\N{HEAVY BLACK HEART}"

CALLS: Final = (
    "logs in, and its cache is right",
    "200 messages, in order",
    "sends",
    "edits",
    "deletes",
    "reacts",
    "sends a file",
    "replies",
    "writes a direct message",
    "makes a thread and writes in it",
    "types",
    "sees a reaction, an edit and a deletion",
    "sees somebody type",
    "sees somebody join and leave",
    "sees a change of roles",
    "sets its status, and sees that of others",
    "goes into a voice channel, and sees who is there",
    "answers a slash command",
    "answers a button",
    "makes an emoji",
    "times somebody out",
    "bans somebody",
    "makes a webhook and speaks by it",
    "waits when it is limited (429)",
    "resumes when its gateway is killed",
)


def _hikari() -> tuple[list[str], str]:
    python = _ENVIRONMENTS / "bin" / "python"
    if not python.exists():
        pytest.skip("HIKARI IS NOT TESTED: make .venv/.stamps/clients")
    said = subprocess.run(
        [python, "-c", "import hikari; print(hikari.__version__)"], capture_output=True, text=True, check=True
    )
    return [str(python), str(_ROBOTS / "with_hikari.py")], said.stdout.strip()


def _discord_js() -> tuple[list[str], str]:
    node, folder = shutil.which("node"), _ENVIRONMENTS / "discordjs"
    if node is None or not (folder / "node_modules").exists():
        pytest.skip("DISCORD.JS IS NOT TESTED: there is no Node, or npm could not install it")
    wanted = json.loads((_ROBOTS / "discordjs" / "package.json").read_text())
    return [node, str(folder / "robot.mjs")], wanted["dependencies"]["discord.js"]


def _discord_py() -> tuple[list[str], str]:
    return [sys.executable, str(_ROBOTS / "with_discord_py.py")], version("discord.py")


LIBRARIES: Final = {"discord.py": _discord_py, "hikari": _hikari, "discord.js": _discord_js}


class Robot:
    """A program that uses a library."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._told = process.stdin, process.stdout
        self._heard: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        """What it tells next."""
        line = await self._told.readline()
        assert line, "the robot has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    async def hears(self, event: str, **fields: Any) -> dict[str, Any]:
        """Take what it has told and tells, up to this. What it told while it did something else counts."""
        while True:
            told = self._heard.pop(0) if self._heard else await self.next()
            if told["event"] == event and all(told.get(key) == value for key, value in fields.items()):
                return told

    async def does(self, what: str, *, refused: int = 0, **order: Any) -> dict[str, Any]:
        """Let it do something; what came of it. Args: refused: the code with which it is refused."""
        self._orders.write(json.dumps({"do": what} | order).encode() + b"\n")
        async with asyncio.timeout(_WAIT_S):
            while (told := await self.next())["event"] != "done":
                self._heard.append(told)
        assert told.get("code", 0) == refused, (what, told)
        return told


@asynccontextmanager
async def running(stack: Stack, command: list[str], person: Person) -> AsyncIterator[Robot]:
    """A robot, until the end of the block."""
    addresses = {
        "FANFARE_API": stack.run["api"],
        "FANFARE_GATEWAY": stack.run["gateway"],
        "FANFARE_TOKEN": person.token,
    }
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = await asyncio.create_subprocess_exec(
        *command, env=kept | addresses, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Robot(process)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_usual_calls(stack: Stack, library: str) -> None:
    command, _ = LIBRARIES[library]()
    world = await make_world_with_bot(stack, people=2)
    done: list[str] = []

    @asynccontextmanager
    async def call(name: str) -> AsyncIterator[None]:
        async with asyncio.timeout(_WAIT_S):
            yield
        done.append(name)

    nodes = await nodes_of(stack)
    owner = world.people[0]
    async with (
        running(stack, command, world.people[1]) as robot,
        nodes[1].rest(owner) as rest,
        await Client.connect(nodes[1].gateway, owner.session(intents=CALM_INTENTS | PRESENCES)) as human,
    ):
        await human.start()
        async with call("logs in, and its cache is right"):
            await _logs_in(robot, rest, world)
        channel = str(world.channels[0])
        async with call("200 messages, in order"):
            for number in range(200):
                await human.send(world.channels[0], f"number {number}")
            for number in range(200):
                assert (await robot.hears("message"))["content"] == f"number {number}"
        await _it_does(call, robot, human, channel)
        await _it_sees(call, robot, rest, stack, world)
        await _it_is_there(call, robot, rest, human, world)
        await _it_answers(call, robot, rest, human, world)
        await _it_moderates(call, robot, rest, human, world)
        async with call("waits when it is limited (429)"):
            sent = await robot.does("burst", channel=channel, count=12)
            assert len(set(sent["ids"])) == 12
        async with call("resumes when its gateway is killed"):
            await _resumes(stack, robot, owner, world.channels[0])
    assert sorted(done) == sorted(CALLS)


async def _logs_in(robot: Robot, rest: Rest, world: World) -> None:
    guild = str(world.guild)
    ready = await robot.hears("ready")
    assert ready["user"] == str(world.people[1].id)
    assert ready["guilds"] == {
        guild: {
            "channels": sorted(str(one) for one in world.channels),
            "members": sorted(str(one.id) for one in world.people),
            "roles": [role["id"] for role in await rest.request("GET", f"/guilds/{guild}/roles")],
        }
    }


async def _it_does(call: Any, robot: Robot, human: Client, channel: str) -> None:
    async with call("sends"):
        ident = (await robot.does("send", channel=channel, content="by the library"))["id"]
        assert (await human.until("MESSAGE_CREATE", id=ident)).d["content"] == "by the library"
    async with call("edits"):
        await robot.does("edit", channel=channel, message=ident, content="changed")
        assert (await human.until("MESSAGE_UPDATE", id=ident)).d["content"] == "changed"
    async with call("reacts"):
        await robot.does("react", channel=channel, message=ident, emoji=_HEART)
        assert (await human.until("MESSAGE_REACTION_ADD", message_id=ident)).d["emoji"]["name"] == _HEART
    async with call("replies"):
        reply = (await robot.does("reply", channel=channel, message=ident, content="a reply"))["id"]
        assert (await human.until("MESSAGE_CREATE", id=reply)).d["referenced_message"]["id"] == ident
    async with call("sends a file"):
        sent = await robot.does("file", channel=channel, name="note.txt", text="in a file")
        async with aiohttp.ClientSession() as http, http.get(sent["url"]) as answer:
            assert await answer.text() == "in a file"
    async with call("makes a thread and writes in it"):
        thread = await robot.does("thread", channel=channel, message=ident, name="a thread", content="in it")
        assert (await human.until("THREAD_CREATE", id=thread["id"])).d["name"] == "a thread"
        assert (await human.until("MESSAGE_CREATE", id=thread["said"])).d["channel_id"] == thread["id"]
    async with call("types"):
        await robot.does("typing", channel=channel)
        await human.until("TYPING_START")
    async with call("deletes"):
        await robot.does("delete", channel=channel, message=ident)
        await human.until("MESSAGE_DELETE", id=ident)
    async with call("writes a direct message"):
        said = await robot.does("dm", user=human.session.ready["user"]["id"], content="between us")
        assert (await human.until("MESSAGE_CREATE", id=said["id"])).d["content"] == "between us"


async def _it_sees(call: Any, robot: Robot, rest: Rest, stack: Stack, world: World) -> None:
    channel, guild, other = world.channels[0], world.guild, world.people[2]
    async with call("sees a reaction, an edit and a deletion"):
        message = (await rest.send(channel, "to be changed"))["id"]
        path = f"/channels/{channel}/messages/{message}"
        await robot.hears("message", id=message)
        await rest.request("PUT", f"{path}/reactions/%E2%9D%A4/@me")
        await robot.hears("reaction", id=message, user=str(world.people[0].id))
        await rest.request("PATCH", path, {"content": "changed"})
        await robot.hears("edited", id=message, content="changed")
        await rest.request("DELETE", path)
        await robot.hears("deleted", id=message)
    async with call("sees somebody type"):
        await rest.request("POST", f"/channels/{channel}/typing")
        await robot.hears("typing", user=str(world.people[0].id))
    async with call("sees a change of roles"):
        role = await rest.request("POST", f"/guilds/{guild}/roles", {"name": "seen"})
        await rest.request("PUT", f"/guilds/{guild}/members/{other.id}/roles/{role['id']}")
        await robot.hears("roles", user=str(other.id), roles=[role["id"]])
    async with call("sees somebody join and leave"):
        new = (await make_world(stack, people=1)).people[0]
        code = (await rest.request("POST", f"/channels/{channel}/invites", {}))["code"]
        async with (await nodes_of(stack))[0].rest(new) as theirs:
            await theirs.request("POST", f"/invites/{code}", {})
            await robot.hears("joined", user=str(new.id))
            await theirs.request("DELETE", f"/users/@me/guilds/{guild}")
        await robot.hears("left", user=str(new.id))


async def _it_is_there(call: Any, robot: Robot, rest: Rest, human: Client, world: World) -> None:
    me, it, guild = str(world.people[0].id), str(world.people[1].id), str(world.guild)
    async with call("sets its status, and sees that of others"):
        await robot.does("status", status="idle", game="chess")
        told: dict[str, Any] = {}
        while told.get("user") != {"id": it} or told["status"] != "idle":
            told = (await human.until("PRESENCE_UPDATE")).d
        assert [one["name"] for one in told["activities"]] == ["chess"]
        await human.write(
            Op.PRESENCE_UPDATE, {"status": "dnd", "activities": [], "since": None, "afk": False}
        )
        await robot.hears("status", user=me, status="dnd")
    async with call("goes into a voice channel, and sees who is there"):
        voice = (await rest.request("POST", f"/guilds/{guild}/channels", {"name": "talk", "type": 2}))["id"]
        await robot.does("connect", guild=guild, channel=voice)
        assert (await human.until("VOICE_STATE_UPDATE")).d["user_id"] == it
        wish = {"guild_id": guild, "channel_id": voice, "self_mute": False, "self_deaf": False}
        await human.write(Op.VOICE_STATE_UPDATE, wish)
        await robot.hears("voice", user=me, channel=voice)


async def _it_answers(call: Any, robot: Robot, rest: Rest, human: Client, world: World) -> None:
    application = {"application_id": str(world.people[1].id), "channel_id": str(world.channels[0])}
    async with call("answers a slash command"):
        await robot.does("commands", guild=str(world.guild))
        asked = {"name": "ping", "options": [{"name": "often", "value": 2}]}
        await rest.request("POST", "/interactions", application | {"type": 2, "data": asked})
        answer = (await human.until("MESSAGE_CREATE", content="pongpong")).d
    async with call("answers a button"):
        [row] = answer["components"]
        pressed = {"component_type": 2, "custom_id": row["components"][0]["custom_id"]}
        body = application | {"type": 3, "message_id": answer["id"], "data": pressed}
        await rest.request("POST", "/interactions", body)
        assert (await human.until("MESSAGE_UPDATE", id=answer["id"])).d["content"] == "pressed"


async def _it_moderates(call: Any, robot: Robot, rest: Rest, human: Client, world: World) -> None:
    guild, robot_id, other = world.guild, world.people[1].id, str(world.people[2].id)
    await robot.does("ban", refused=50013, guild=str(guild), user=other)
    # Bans, timeouts and webhooks are not for everybody.
    bits = P.MODERATE_MEMBERS | P.MANAGE_WEBHOOKS | P.BAN_MEMBERS | P.CREATE_GUILD_EXPRESSIONS
    staff = {"name": "staff", "permissions": str(int(bits))}
    role = await rest.request("POST", f"/guilds/{guild}/roles", staff)
    moves = [{"id": role["id"], "position": 5}]
    await rest.request("PATCH", f"/guilds/{guild}/roles", moves)
    await rest.request("PUT", f"/guilds/{guild}/members/{robot_id}/roles/{role['id']}")
    await robot.hears("roles", user=str(robot_id), roles=[role["id"]])
    async with call("makes an emoji"):
        made = await robot.does("emoji", guild=str(guild), name="wave")
        told = await human.until("GUILD_EMOJIS_UPDATE")
        assert [(one["id"], one["name"]) for one in told.d["emojis"]] == [(made["id"], "wave")]
    async with call("times somebody out"):
        await robot.does("timeout", guild=str(guild), user=other, seconds=3600)
        member = await rest.request("GET", f"/guilds/{guild}/members/{other}")
        assert member["communication_disabled_until"] is not None
    async with call("bans somebody"):
        await robot.does("ban", guild=str(guild), user=other)
        [ban] = await rest.request("GET", f"/guilds/{guild}/bans")
        assert (ban["user"]["id"], ban["reason"]) == (other, "a test")
    async with call("makes a webhook and speaks by it"):
        channel = world.channels[0]
        said = await robot.does("webhook", channel=str(channel), name="by hook", content="hello")
        message = await rest.request("GET", f"/channels/{channel}/messages/{said['id']}")
        assert message["author"]["username"] == "by hook"


async def _resumes(stack: Stack, robot: Robot, owner: Person, channel: int) -> None:
    nodes = await nodes_of(stack)
    sessions = {entry["name"]: entry.get("sessions", 0) for entry in await processes_of(stack)}
    # The other client is on the second node.
    mine, other = nodes if sessions[nodes[0].name] else reversed(nodes)
    async with other.rest(owner) as rest:
        await rest.send(channel, "before")
        await robot.hears("message", content="before")
        await kill(stack, mine.name)
        for number in range(5):
            await rest.send(channel, f"{number}")
        async with asyncio.timeout(_WAIT_S):
            told = []
            while not told or told[-1]["event"] != "resumed":
                told.append(await robot.next())
            await rest.send(channel, "the end")
            while told[-1].get("content") != "the end":
                told.append(await robot.next())
    assert [one["content"] for one in told if one["event"] == "message"] == [
        "0",
        "1",
        "2",
        "3",
        "4",
        "the end",
    ]
    await whole_again(stack)


def _documented(versions: dict[str, str]) -> str:
    """docs/compatibility.md."""
    names = [f"{library} {versions[library]}" for library in LIBRARIES]
    rows = [
        ["a bot that", *names],
        ["---"] * (1 + len(names)),
        *([one, *["yes"] * len(names)] for one in CALLS),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""# Compatibility

What unmodified libraries do with Fanfare, told nothing but its address: `tests/clients/test_usual_calls.py`
has each of them do all of it, against real stores, and writes this page. How to give them the address, and
what is known of other libraries, is in [clients.md](clients.md).

{table}
"""


def test_the_page_says_what_was_tried() -> None:
    found = {library: LIBRARIES[library]()[1] for library in LIBRARIES}
    wanted = _documented(found)
    if not _DOC.exists() or _DOC.read_text() != wanted:
        _DOC.write_text(wanted)
        pytest.fail(f"{_DOC.name} said something else, and was written anew")
