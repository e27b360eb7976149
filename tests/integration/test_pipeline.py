"""The whole pipeline: what is said reaches everybody once and in the order of the log, whatever is killed."""

import asyncio
import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import pytest
import yarl
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from discord.gateway import DiscordWebSocket
from discord.http import Route

from archiver.postgres import PostgresSink
from fanfare.bus.client import admin, connection
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.record import BadRecordError, Position, Record
from fanfare.store.database import Database
from tests.integration.store_fixtures import eventually
from tests.integration.test_archiver import read_all
from tests.stack import Stack
from tests.world import Node, Person, World, kill, make_world, nodes_of, settings_of, whole_again
from torture.client import Client, Compression, SendError, Session
from torture.client.rest import Rest, RestError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CHANNELS = 10
RAW = 20
LIBRARY = 5
PER_SENDER = 100  # one by REST and one by op 128 in each channel: 2,000 in all
TOTAL = 2 * CHANNELS * PER_SENDER
KILL_AT = TOTAL // 3
TRANSPORTS = [Compression.NONE, Compression.ZLIB, Compression.NONE, Compression.ZLIB, Compression.ZSTD]
PATIENCE_S = 120


class Seen:
    """What one client has seen, per channel in its order."""

    def __init__(self) -> None:
        self.channels: dict[str, list[str]] = defaultdict(list)
        self.contents: dict[str, list[str]] = defaultdict(list)
        self.count = 0
        self._more = asyncio.Event()

    def take(self, channel: str, ident: str, content: str) -> None:
        self.channels[channel].append(ident)
        self.contents[channel].append(content)
        self.count += 1
        self._more.set()

    async def until(self, count: int) -> None:
        while self.count < count:
            self._more.clear()
            await self._more.wait()


async def watch(client: Client, seen: Seen) -> None:
    """Take the events of a raw client until it is closed."""
    async for event in client:
        if event.t == "MESSAGE_CREATE":
            seen.take(event.d["channel_id"], event.d["id"], event.d["content"])


class Bot(discord.Client):
    """A discord.py client that writes down what it sees."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(intents=discord.Intents.all())
        self.seen = seen

    async def on_message(self, message: discord.Message) -> None:
        self.seen.take(str(message.channel.id), str(message.id), message.content)


@asynccontextmanager
async def library_client(node: Node, person: Person, seen: Seen) -> AsyncIterator[Bot]:
    """A discord.py client on that node. Its addresses are class attributes, so only one may start at a time."""
    Route.BASE = node.api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(node.gateway)
    bot = Bot(seen)
    running = asyncio.create_task(bot.start(person.token))
    try:
        ready = asyncio.create_task(bot.wait_until_ready())
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield bot
    finally:
        await bot.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Progress:
    """Counts what was accepted, and lets somebody wait for a number."""

    def __init__(self) -> None:
        self.ids: dict[int, list[str]] = defaultdict(list)
        self.count = 0
        self.third = asyncio.Event()

    def accepted(self, channel: int, ident: str) -> None:
        self.ids[channel].append(ident)
        self.count += 1
        if self.count >= KILL_AT:
            self.third.set()


async def send_by_rest(rest: Rest, reader: Rest, channel: int, progress: Progress) -> None:
    """Send, and find each message at once in the history of the other gateway."""
    for number in range(PER_SENDER):
        sent = await again_if_refused(lambda n=number: rest.send(channel, f"rest {n}", f"rest {n}"))
        page = await reader.messages(channel, limit=20)
        assert sent["id"] in [message["id"] for message in page], f"rest {number} is not in the history"
        progress.accepted(channel, sent["id"])


async def send_by_socket(client: Client, channel: int, progress: Progress) -> None:
    for number in range(PER_SENDER):
        sent = await again_if_refused(lambda n=number: client.send(channel, f"op {n}", f"op {n}"))
        progress.accepted(channel, sent["id"])


async def again_if_refused(send: Any) -> Any:
    """What a client does that is told to come again; anything else fails the test."""
    while True:
        try:
            return await send()
        except (RestError, SendError) as refused:
            error = refused.body if isinstance(refused, RestError) else refused.error
            if "retry_after" not in error:
                raise
            await asyncio.sleep(error["retry_after"])


async def log_of(stack: Stack, channels: list[int]) -> dict[str, list[str]]:
    """The messages of channels in the order of their offsets in chat.events."""
    settings = settings_of(stack)
    async with admin(settings) as client:
        topic = (await client.describe_topics([CHAT_EVENTS]))[0]
    partitions = [KafkaPartition(CHAT_EVENTS, each["partition"]) for each in topic["partitions"]]
    found: dict[str, list[str]] = defaultdict(list)
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = {p: end for p, end in (await consumer.end_offsets(partitions)).items() if end}
        while left:
            for partition, messages in (await consumer.getmany(timeout_ms=1000)).items():
                for each in messages:
                    position = Position(partition.topic, partition.partition, each.offset)
                    try:
                        record = Record.from_kafka(each.headers, each.value, position)
                    except BadRecordError:
                        continue  # tests of poison share the topic
                    finally:
                        if each.offset + 1 >= left.get(partition, 0):
                            left.pop(partition, None)
                    if record.type == "MESSAGE_CREATE" and record.channel in channels:
                        found[str(record.channel)].append(str(record.id))
    finally:
        await consumer.stop()
    return found


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "discord")


async def test_everybody_sees_everything_once_and_in_order(stack: Stack) -> None:
    nodes = await nodes_of(stack)
    world = await make_world(stack, people=RAW + LIBRARY, channels=CHANNELS, bot=True)
    raw, library = world.people[:RAW], world.people[RAW:]
    seen: list[Seen] = []
    progress = Progress()
    async with contextlib.AsyncExitStack() as clients:
        for number, person in enumerate(library):
            seen.append(Seen())
            await clients.enter_async_context(library_client(nodes[number % 2], person, seen[-1]))
        sockets: list[Client] = []
        for number, person in enumerate(raw):
            client = await Client.connect(
                nodes[number % 2].gateway, Session(person.token), compress=TRANSPORTS[number // 2 % 5]
            )
            await clients.enter_async_context(client)
            await client.start()
            sockets.append(client)
            seen.append(Seen())
            clients.enter_context(_running(watch(client, seen[-1])))
        rests = [
            await clients.enter_async_context(nodes[number % 2].rest(person))
            for number, person in enumerate(raw)
        ]
        async with asyncio.TaskGroup() as senders:
            for number, channel in enumerate(world.channels):
                sender, reader = rests[number], rests[number + 1]
                assert sender._api != reader._api
                senders.create_task(send_by_rest(sender, reader, channel, progress))
                senders.create_task(send_by_socket(sockets[number + CHANNELS], channel, progress))
            senders.create_task(_kill_in_the_middle(stack, progress))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(each.until(TOTAL) for each in seen))
            # Whatever came twice has come before the last word of its channel.
            for channel in world.channels:
                progress.accepted(channel, (await rests[0].send(channel, "the end"))["id"])
            await asyncio.gather(*(each.until(TOTAL + CHANNELS) for each in seen))

        order = await log_of(stack, world.channels)
        assert {int(c): sorted(ids) for c, ids in order.items()} == {
            c: sorted(ids) for c, ids in progress.ids.items()
        }
        for each in seen:
            assert each.channels == order
        for contents in seen[0].contents.values():
            for kind in ("rest", "op"):
                assert [c for c in contents if c.startswith(kind)] == [
                    f"{kind} {n}" for n in range(PER_SENDER)
                ]

        for rest in rests[:2]:
            for channel, ids in order.items():
                history = [message["id"] async for message in rest.history(channel)]
                assert history == sorted(ids, key=int, reverse=True)
    await whole_again(stack)
    await _replay_changes_nothing(stack, world)


async def _kill_in_the_middle(stack: Stack, progress: Progress) -> None:
    await progress.third.wait()
    await kill(stack, "fanout.1", "notifier.1")


@contextlib.contextmanager
def _running(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Run something beside the test; if it fails, so does the test."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()


async def _replay_changes_nothing(stack: Stack, world: World) -> None:
    """The log is read again from its beginning by a new archiver group, into the same database."""
    database = await Database.connect(settings_of(stack))
    counted = "SELECT count(*) FROM messages WHERE channel_id = ANY($1::bigint[])"
    table = "SELECT *, xmin::text FROM messages ORDER BY channel_id, id"
    try:

        async def archived() -> bool:
            return bool(await database.value(counted, world.channels) == TOTAL + CHANNELS)

        await eventually(archived)
        before = [tuple(row) for row in await database.fetch(table)]
        sink = PostgresSink(database, settings_of(stack))
        await read_all(settings_of(stack), f"replay-{uuid.uuid4()}", sink.handle)
        assert [tuple(row) for row in await database.fetch(table)] == before
    finally:
        await database.close()
