"""Nodes that accept messages, in this process, on real stores; and a Kafka in front of which one can stand."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr
from redis.asyncio import Redis

from fanfare.bus import producer
from fanfare.bus.producer import Producer
from fanfare.bus.read_since import read_since
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.files.store import FileStore
from fanfare.model import DM, Channel, Guild, Member, Overwrite, Role, User
from fanfare.permissions import DEFAULT, P
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.presence.loss_token import LossToken
from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.store import Store
from gateway.guilds.cache import UnknownChannelError, UnknownGuildError
from gateway.ingress.assembly import assemble
from gateway.ingress.ingress import Ingress
from tests.integration.store_fixtures import snowflakes

next_id = snowflakes()


class Kafka:
    """The producer; what comes can be held back, or refused."""

    def __init__(self, inner: Producer) -> None:
        self._inner = inner
        self.open = asyncio.Event()
        self.open.set()
        self.refuses = False
        self.clock_ahead_s = 0.0
        self.posted: list[Record] = []
        self.arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def base_now(self, topic: str) -> int:
        return self._inner.base_now(topic)

    def ahead_s(self, at: Position) -> float:
        return self.clock_ahead_s or self._inner.ahead_s(at)

    def post(self, topic: str, record: Record, *, key: int) -> "asyncio.Future[Position]":
        if self.refuses:
            raise producer.NotHandedOverError("a test refuses")
        self.posted.append(record)
        self.arrived.set()
        if self.open.is_set():
            return self._inner.post(topic, record, key=key)
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()

        async def later() -> None:
            await self.open.wait()
            position = await self._inner.post(topic, record, key=key)
            if not done.done():
                done.set_result(position)

        task = asyncio.create_task(later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return done


class Ids:
    def __init__(self) -> None:
        self.back_ms = 0

    def next_id(self) -> int:
        return next_id() - (self.back_ms << 22)


@dataclass
class Known:
    """Guilds as a node would know them."""

    guilds: dict[int, Guild] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    known: dict[int, User] = field(default_factory=dict)

    async def get(self, guild_id: int) -> Guild:
        if guild_id not in self.guilds:
            raise UnknownGuildError(guild_id)
        return self.guilds[guild_id]

    async def channel(self, channel_id: int) -> Channel:
        if channel_id not in self.channels:
            raise UnknownChannelError(channel_id)
        return self.channels[channel_id]

    async def member(self, guild_id: int, user_id: int) -> Member | None:
        return self.guilds[guild_id].members.get(user_id)

    async def users(self, user_ids: Any) -> dict[int, User]:
        return {ident: self.known[ident] for ident in user_ids if ident in self.known}

    async def user(self, user_id: int) -> User | None:
        return self.known.get(user_id)


@dataclass
class Place:
    """A guild with people and channels, and the nodes that know it."""

    settings: Settings
    redis: Redis
    store: Store
    kafka: Kafka
    known: Known
    ids: Ids = field(default_factory=Ids)
    nodes: list[Ingress] = field(default_factory=list)
    redises: list[Redis] = field(default_factory=list)
    alice: User = field(default_factory=lambda: User(id=next_id(), username="alice"))
    bob: User = field(default_factory=lambda: User(id=next_id(), username="bob"))
    stranger: User = field(default_factory=lambda: User(id=next_id(), username="stranger"))
    channel: int = 0
    other: int = 0
    direct: int = 0
    role: int = 0

    async def node(self, name: str = "", **more: Any) -> Ingress:
        """A further node, alive. `redis`, `store` and `log` may be others."""
        name = name or f"n{next_id()}"
        await self.redis.set(keys.lease(name), "inbox", px=600_000)
        parts = {"log": self.kafka, "redis": self.redis, "store": self.store} | more
        made = assemble(
            self.settings,
            loss=LossToken(),
            ids=self.ids,
            guilds=self.known,
            files=FileStore(self.settings),
            node=name,
            **parts,
        )
        made.start()
        self.nodes.append(made)
        if "redis" not in more:
            await made.ready()
        return made

    async def die(self, name: str) -> None:
        """The lease of a node runs out."""
        await self.redis.delete(keys.lease(name))

    async def records(self, kind: str = "MESSAGE_CREATE", channel: int = 0) -> list[Record]:
        """What Kafka holds of a channel."""
        found = []
        async for batch in read_since(self.settings, CHAT_EVENTS, 0):
            found += [one.record for one in batch if one.record.channel == (channel or self.channel)]
        return [record for record in found if record.type == kind]

    def redis_at(self, port: int) -> Redis:
        """A client of something on another port."""
        url = urlsplit(self.settings.redis.get_secret_value())
        netloc = f"{url.netloc.rpartition(':')[0]}:{port}"
        there = SecretStr(urlunsplit(url._replace(netloc=netloc)))
        client = connect(self.settings.model_copy(update={"redis": there}), client_name="away")
        self.redises.append(client)
        return client


@asynccontextmanager
async def make_place(settings: Settings) -> AsyncIterator[Place]:
    """A new place."""
    redis = connect(settings, client_name="test")
    store = await Store.connect(settings)
    inner = Producer(settings)
    await inner.start()
    place = Place(settings, redis, store, Kafka(inner), Known())
    _furnish(place)
    try:
        yield place
    finally:
        place.kafka.open.set()
        for node in place.nodes:
            await node.close()
        await inner.stop()
        await store.close()
        for client in (redis, *place.redises):
            await client.aclose()


def _furnish(place: Place) -> None:
    guild, place.role = next_id(), next_id()
    place.channel, place.other, place.direct = next_id(), next_id(), next_id()
    joined = datetime(2026, 1, 1, tzinfo=UTC)
    people = (place.alice, place.bob)
    channels = [
        Channel(id=place.channel, guild_id=guild, name="general"),
        Channel(
            id=place.other,
            guild_id=guild,
            name="for reading",
            overwrites=(Overwrite(guild, 0, 0, int(P.SEND_MESSAGES)),),
        ),
        Channel(id=place.direct, type=DM, recipients=people),
    ]
    place.known.guilds[guild] = Guild(
        id=guild,
        name="g",
        owner_id=place.alice.id,
        member_count=2,
        roles={
            guild: Role(id=guild, name="@everyone", permissions=DEFAULT),
            place.role: Role(id=place.role, name="quiet", permissions=0),
        },
        channels={channel.id: channel for channel in channels[:2]},
        members={user.id: Member(user=user, joined_at=joined) for user in people},
    )
    place.known.channels = {channel.id: channel for channel in channels}
    place.known.known = {user.id: user for user in (*people, place.stranger)}


def nowhere() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """A port that takes connections and never answers."""
    over = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
