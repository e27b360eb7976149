"""A whole system under an even load: what flows through it, and the CPU time of each of its processes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from benchmarks.fleet import Fleet
from benchmarks.rig import Crowd, Rig, cpu_s
from benchmarks.stores import (
    channels,
    children_s,
    fill,
    guild,
    hold,
    members,
    message,
    metric,
    rss_bytes,
    send,
)
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.capacity.model import Flow
from torture.client import Client, Session

__all__ = ["GATEWAYS", "PARTITIONS", "Bench", "Place", "Seen"]

PARTITIONS: Final = 8
GATEWAYS: Final = 2
_FIRST: Final = 2_600_000_000_000_000_000
_CHANNELS: Final = 2_700_000_000_000_000_000
_ROLES: Final = 2_800_000_000_000_000_000
_SERVICES: Final = ("fanout", "notifier", "archiver", "redis", "kafka", "postgres")
_STUCK_S: Final = 60.0


@dataclass(slots=True)
class Place:
    """A guild to send to."""

    channels: list[int]
    people: range
    nodes: int
    """Nodes that only read, which it is on besides the gateways."""
    crowd: Crowd | None = None
    """Its sessions, while they are held."""
    session_bytes: float = 0.0
    """By how much the gateway grew for one of them."""


@dataclass(slots=True)
class Seen:
    """A stretch of a load: what went through in a second, and the CPU-seconds that each process used of it."""

    flow: Flow
    used: dict[str, float]
    """The gateways apart: gateway.1 has the sessions, gateway.2 accepts."""
    frame_bytes: float = 0.0
    took_s: float = 0.0

    def total(self) -> dict[str, float]:
        """With the gateways together."""
        found = {name: used for name, used in self.used.items() if not name.startswith("gateway")}
        return {"gateway": self.used["gateway.1"] + self.used["gateway.2"]} | found


class Bench:
    """A system with two gateways: the sessions are on the first, and the sender is on the second."""

    def __init__(self, system: Rig, nodes: Fleet, there: Mapping[str, Mapping[str, Any]]) -> None:
        """Args: there: the processes of the system."""
        self.system = system
        self.nodes = nodes
        self._first = _FIRST
        self._channels = _CHANNELS
        self._roles = _ROLES
        self._pids = {name: int(found["pid"]) for name, found in there.items()}
        self._addresses = {name: str(found["address"]) for name, found in there.items()}
        self.internal = {name: str(found["internal"]) for name, found in there.items()}
        self._sender: Client | None = None

    async def place(
        self, sessions: int, nodes: int = 0, *, rooms: int = PARTITIONS, classes: int = 1
    ) -> Place:
        """Make a guild.

        Args:
            sessions: so many people.
            nodes: it is on so many nodes that only read.
            rooms: channels, in turn in each partition.
            classes: so many roles, shared out in turn: people of one role are an audience class.

        """
        first, self._first = self._first, self._first + sessions
        made = channels(rooms, PARTITIONS, self._channels)
        self._channels = made[-1] + 1
        roles = [self._roles + at for at in range(classes)]
        self._roles += classes
        ident, _ = await guild(self.system, f"bench {sessions} {nodes} {rooms} {classes}")
        people = await members(self.system, ident, first, sessions)
        connection = await asyncpg.connect(self.system.run["postgres"])
        try:
            await connection.executemany(
                "INSERT INTO channels (id, guild_id, type, name) VALUES ($1, $2, 0, 'bench')",
                [(room, ident) for room in made],
            )
            if classes > 1:
                await connection.executemany(
                    "INSERT INTO roles (id, guild_id, name, permissions) VALUES ($1, $2, 'bench', 0)",
                    [(role, ident) for role in roles],
                )
                await connection.execute(
                    "UPDATE members SET roles = ARRAY[($2::bigint[])[1 + user_id % $3]] "
                    "WHERE guild_id = $1 AND user_id >= $4",
                    ident,
                    roles,
                    classes,
                    first,
                )
        finally:
            await connection.close()
        await self.nodes.register(ident, (), nodes)
        return Place(made, people, nodes)

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Hold the sender's socket; after the guilds were made."""
        session = Session(self.system.run["users"]["alice"]["token"], intents=1)
        async with await Client.connect(self._addresses["gateway.2"], session) as self._sender:
            await self._sender.start()
            yield

    def rss(self, name: str) -> int:
        """Memory of a process."""
        return rss_bytes(self._pids[name])

    def _cpu(self) -> dict[str, float]:
        """CPU time of every process so far; PostgreSQL's with its children."""
        found = {}
        for name, pid in self._pids.items():
            kind = next((each for each in _SERVICES if name.startswith(each)), name)
            found[kind] = cpu_s(pid) + (children_s(pid) if kind == "postgres" else 0)
        return found

    async def load(self, place: Place, rate: float, for_s: float, stretches: int = 1) -> list[Seen]:
        """Hold the sessions, and send at that pace for so long, so many times."""
        async with self.held(place):
            await self.stretch(place, rate, 1.0)  # warm
            return [await self.stretch(place, rate, for_s) for _ in range(stretches)]

    @contextlib.asynccontextmanager
    async def held(self, *places: Place) -> AsyncIterator[None]:
        """Hold the sessions of some guilds."""
        try:
            for place in places:
                before = self.rss("gateway.1")
                place.crowd = await hold(self.system, self._addresses["gateway.1"], place.people)
                await asyncio.sleep(0.5)
                place.session_bytes = (self.rss("gateway.1") - before) / len(place.people)
            yield
        finally:
            for place in places:
                if place.crowd is not None:
                    await place.crowd.close()
                    place.crowd = None

    async def stretch(self, place: Place, rate: float, for_s: float) -> Seen:
        """Send at that pace for so long to sessions that are held."""
        assert self._sender is not None
        assert place.crowd is not None
        await asyncio.sleep(0.2)
        count = max(1, int(rate * for_s))
        await place.crowd.counts()
        began, used = time.monotonic(), self._cpu()
        await send(self._sender, place.channels, count, rate)
        got, size = await place.crowd.received(count * len(place.people))
        took = time.monotonic() - began
        spent = {name: (after - used[name]) / took for name, after in self._cpu().items()}
        flow = Flow(
            messages=count / took,
            deliveries=count / took * len(place.people),
            appends=count / took * (place.nodes + GATEWAYS),
            partitions=PARTITIONS,
            elsewhere=count / took * place.nodes,
        )
        return Seen(flow, spent, size / got, took)

    async def idle(self, for_s: float) -> Seen:
        """Nothing, for so long."""
        began, used = time.monotonic(), self._cpu()
        await asyncio.sleep(for_s)
        took = time.monotonic() - began
        spent = {name: (after - used[name]) / took for name, after in self._cpu().items()}
        return Seen(Flow(0, 0, 0, PARTITIONS), spent)

    async def burst(self, count: int, idle: Seen) -> dict[str, float]:
        """Put so many messages into the log at once, of guilds that nobody is in; CPU-seconds of each process."""
        done = {name: await self._done(name) for name in ("fanout", "notifier", "archiver")}
        rooms = channels(40, PARTITIONS)
        records = [message(number, rooms[number % len(rooms)]) for number in range(count)]
        began, used = time.monotonic(), self._cpu()
        await fill(self.system.settings(), CHAT_EVENTS, records, PARTITIONS)
        async with asyncio.timeout(_STUCK_S):
            for name, before in done.items():
                while await self._done(name) < before + count:
                    await asyncio.sleep(0.2)
        took = time.monotonic() - began
        return {name: after - used[name] - idle.used[name] * took for name, after in self._cpu().items()}

    async def _done(self, name: str) -> float:
        return await metric(self.internal[f"{name}.1"], "fanfare_consumed_records_total", group=name)
