"""discord.py, unmodified, as its documentation shows it: it is told two addresses and nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import discord
import pytest
import yarl
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.stack import Stack
from tests.world import (
    Person,
    World,
    kill,
    make_people,
    make_world_with_bot,
    nodes_of,
    processes_of,
    store_of,
    whole_again,
)
from torture.client import Client

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

WAIT_S = 60


@pytest.fixture(autouse=True)
def addresses(stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The two addresses. What the library logs when its node dies is not the test's."""
    monkeypatch.setattr(Route, "BASE", stack.run["api"])
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(stack.run["gateway"]))
    caplog.set_level(logging.CRITICAL, "discord")


@pytest.fixture
async def world(stack: Stack) -> World:
    """A guild whose owner is a person and whose second member is a bot."""
    return await make_world_with_bot(stack, people=2)


@asynccontextmanager
async def online(client: discord.Client, person: Person) -> AsyncIterator[None]:
    """The client, connected and ready; if it stops by itself, so does the test."""
    running = asyncio.create_task(client.start(person.token))
    try:
        # Before `start` there is nothing to wait for yet.
        ready = asyncio.create_task(_ready(client))
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_S)
        if running.done():
            ready.cancel()
            running.result()
        assert client.is_ready()
        yield
    finally:
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _ready(client: discord.Client) -> None:
    while client._ready is discord.utils.MISSING:
        await asyncio.sleep(0)
    await client.wait_until_ready()


def heard(client: discord.Client, event: str, check: Callable[..., bool] | None = None) -> Awaitable[Any]:
    """What the client hears next, from this call on."""
    return client.wait_for(event, check=check, timeout=WAIT_S)


async def test_the_bot_of_the_documentation_answers(stack: Stack, world: World) -> None:
    owner, robot, _ = world.people
    intents = discord.Intents.default()
    intents.message_content = True
    bot = commands.Bot(command_prefix="!", intents=intents)

    @bot.command()
    async def ping(ctx: commands.Context[commands.Bot]) -> None:
        await ctx.send("pong")

    nodes = await nodes_of(stack)
    async with online(bot, robot), await Client.connect(nodes[1].gateway, owner.session()) as human:
        await human.start()
        asked = await human.send(world.channels[0], "!ping")
        answer = await human.until("MESSAGE_CREATE", content="pong")
        assert answer.d["author"]["id"] == str(robot.id)
        assert answer.d["author"]["bot"] is True
        assert human.session.messages == [asked["id"], answer.d["id"]]


async def test_what_a_client_knows_when_it_is_ready(world: World) -> None:
    owner, robot, other = world.people
    client = discord.Client(intents=discord.Intents.all())
    readies = []

    @client.event
    async def on_ready() -> None:
        readies.append(client.user)

    async with online(client, robot):
        assert client.user is not None
        assert client.user.id == robot.id
        guild = client.get_guild(world.guild)
        assert guild is not None
        assert guild.owner_id == owner.id
        assert {member.id for member in guild.members} == {owner.id, robot.id, other.id}
        assert guild.member_count == 3
        assert [channel.id for channel in guild.text_channels] == world.channels
        assert guild.me.guild_permissions.send_messages
        info = await client.application_info()
        assert info.id == robot.id
        assert (await client.fetch_guild(world.guild)).name == guild.name
        assert (await client.fetch_channel(world.channels[0])).id == world.channels[0]
        assert (await guild.fetch_member(owner.id)).name == owner.name
        assert {m.id async for m in guild.fetch_members()} == {owner.id, robot.id, other.id}
    assert len(readies) == 1


async def test_edit_delete_reply_typing_and_history(world: World) -> None:
    owner, robot, _ = world.people
    bot = discord.Client(intents=discord.Intents.all())
    human = discord.Client(intents=discord.Intents.all())
    async with online(bot, robot), online(human, owner):
        theirs, ours = human.get_channel(world.channels[0]), bot.get_channel(world.channels[0])
        assert isinstance(theirs, discord.TextChannel)
        assert isinstance(ours, discord.TextChannel)

        hears = heard(bot, "typing")
        await theirs.typing()
        channel, user, _ = await hears
        assert (channel.id, user.id) == (theirs.id, owner.id)

        hears = heard(bot, "message")
        first = await theirs.send("first", embed=discord.Embed(title="a title", description="text"))
        seen = await hears
        assert (seen.id, seen.content, seen.embeds[0].title) == (first.id, "first", "a title")

        hears = heard(human, "message", lambda m: m.author.id == robot.id)
        await seen.reply("an answer")
        reply = await hears
        assert reply.reference.message_id == first.id
        assert reply.reference.resolved.content == "first"
        assert [member.id for member in reply.mentions] == [owner.id]

        hears = heard(bot, "message_edit")
        await first.edit(content="better")
        before, after = await hears
        assert (before.content, after.content) == ("first", "better")
        assert after.edited_at is not None

        assert [m.content async for m in ours.history(limit=10)] == ["an answer", "better"]
        assert [m.content async for m in ours.history(limit=10, oldest_first=True)] == ["better", "an answer"]
        assert (await ours.fetch_message(first.id)).content == "better"

        hears = heard(bot, "message_delete")
        await first.delete()
        assert (await hears).id == first.id
        assert [m.content async for m in ours.history(limit=10)] == ["an answer"]
        with pytest.raises(discord.NotFound):
            await ours.fetch_message(first.id)
        with pytest.raises(discord.Forbidden):
            await (await theirs.fetch_message(reply.id)).edit(content="not mine")


async def test_direct_messages_both_ways(world: World) -> None:
    owner, robot, _ = world.people
    bot = discord.Client(intents=discord.Intents.all())

    @bot.event
    async def on_message(message: discord.Message) -> None:
        if message.guild is None and message.author != bot.user:
            await message.channel.send(f"you said {message.content}")

    human = discord.Client(intents=discord.Intents.all())
    async with online(bot, robot), online(human, owner):
        hears = heard(human, "message", lambda m: m.author.id == robot.id)
        user = human.get_user(robot.id)
        assert user is not None
        await user.send("psst")
        answer = await hears
        assert answer.guild is None
        assert answer.content == "you said psst"
        assert [m.content async for m in answer.channel.history()] == ["you said psst", "psst"]


async def test_a_guild_that_a_bot_joins_and_a_channel_that_is_made(stack: Stack, world: World) -> None:
    owner = world.people[0]
    late = (await make_people(stack, 1, bot=True))[0]
    bot = discord.Client(intents=discord.Intents.all())
    async with online(bot, late):
        assert not bot.guilds
        joins = heard(bot, "guild_join")
        async with store_of(stack) as store:
            user = await store.user(late.id)
            assert user is not None
            await store.add_member(world.guild, user)
        guild = await joins
        assert guild.id == world.guild
        makes = heard(bot, "guild_channel_create")
        hears = heard(bot, "message")
        node = (await nodes_of(stack))[1]
        async with node.rest(owner) as rest:
            path = f"/guilds/{world.guild}/channels"
            made = await rest.request("POST", path, {"name": "new-channel", "type": 0})
            await rest.send(made["id"], "welcome")
        assert (await makes).name == "new-channel"
        message = await hears
        assert (message.content, message.channel.name) == ("welcome", "new-channel")


async def test_the_gateway_is_killed_and_nothing_is_missed(stack: Stack, world: World) -> None:
    """The library resumes on the public address; what was said while it was away comes once."""
    owner, robot, _ = world.people
    bot = discord.Client(intents=discord.Intents.all())
    contents: list[str] = []
    enough = asyncio.Event()

    @bot.event
    async def on_message(message: discord.Message) -> None:
        contents.append(message.content)
        if message.content == "the end":
            enough.set()

    async with AsyncExitStack() as clients:
        await clients.enter_async_context(online(bot, robot))
        nodes = await nodes_of(stack)
        served = [node for node in nodes if await _connections(stack, node.name)]
        assert len(served) == 1
        other = next(node for node in nodes if node is not served[0])
        resumes = heard(bot, "resumed")
        async with other.rest(owner) as rest:
            await rest.send(world.channels[0], "before")
            await kill(stack, served[0].name)
            for number in range(5):
                await rest.send(world.channels[0], f"{number}")
            await resumes
            await rest.send(world.channels[0], "the end")
            async with asyncio.timeout(WAIT_S):
                await enough.wait()
    assert contents == ["before", "0", "1", "2", "3", "4", "the end"]
    await whole_again(stack)


async def _connections(stack: Stack, name: str) -> int:
    return next(entry["sessions"] for entry in await processes_of(stack) if entry["name"] == name)


async def test_threads_as_the_library_keeps_them(stack: Stack, world: World) -> None:
    owner, robot, other = world.people
    [node, *_] = await nodes_of(stack)
    client = discord.Client(intents=discord.Intents.all())
    async with online(client, robot):
        channel = client.get_channel(world.channels[0])
        assert isinstance(channel, discord.TextChannel)
        message = await channel.send("a subject")
        made = heard(client, "thread_create")
        thread = await message.create_thread(name="on it", auto_archive_duration=60)
        assert (await made).id == thread.id == message.id
        assert thread.owner_id == robot.id
        async with node.rest(other) as rest:
            said = heard(client, "message", lambda one: one.channel.id == thread.id)
            joined = heard(client, "thread_member_join", lambda one: one.id == other.id)
            await rest.send(thread.id, "in it")
            assert isinstance((await said).channel, discord.Thread)
            await joined
        assert [one.content async for one in thread.history()] == ["in it"]
        assert {one.id for one in await thread.fetch_members()} == {robot.id, other.id}
        renamed = heard(client, "thread_update")
        await thread.edit(name="renamed")
        assert (await renamed)[1].name == "renamed"
        gone = heard(client, "thread_update", lambda _, after: after.archived)
        await thread.edit(archived=True)
        await gone
        assert [one.id async for one in channel.archived_threads()] == [thread.id]
        await thread.send("open again")
        assert client.get_channel(thread.id) is not None
        opened = await client.fetch_channel(thread.id)
        assert isinstance(opened, discord.Thread)
        assert not opened.archived
        deleted = heard(client, "raw_thread_delete", lambda one: one.thread_id == thread.id)
        async with node.rest(owner) as rest:
            await rest.request("DELETE", f"/channels/{thread.id}")
        await deleted
