"""Stores without services, worker processes one by one, and a log that is filled before it is read."""

import asyncio
import json
import logging
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import CommitFailedError
from redis.asyncio import Redis

from benchmarks import rig
from benchmarks.native_tools import pinned
from benchmarks.rig import Crowd, Rig, cpu_s, started
from fanfare.bus.client import connection
from fanfare.bus.producer import partition_of
from fanfare.constants import OWN_UNANSWERED, SNOWFLAKE_EPOCH_MS
from fanfare.embedded.ports import free_port
from fanfare.presence import keys
from fanfare.presence.client import connect
from fanfare.presence.loss_token import loss_token
from fanfare.record import Record
from fanfare.settings import Settings
from fanfare.tokens import Tokens
from torture.client import Client

__all__ = [
    "CLIENT_CORES",
    "LAST_CORE",
    "Progress",
    "Worker",
    "channels",
    "children_s",
    "commits",
    "fill",
    "guild",
    "hold",
    "members",
    "message",
    "metric",
    "pid_of",
    "processes",
    "redis_of",
    "rss_bytes",
    "send",
    "settle",
    "stores",
    "worker",
]

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what it tries again

LAST_CORE: Final = (os.cpu_count() or 1) - 1
CLIENT_CORES: Final = set(range(LAST_CORE)) or {0}
_READY_S: Final = 60.0
_DAY_S: Final = 86_400
# Guilds, messages and their content.
_INTENTS: Final = (1 << 0) | (1 << 9) | (1 << 15)
_COMMIT_TRIES: Final = 50
_CHANNEL: Final = 3_000_000_000_000_000_000
_GUILD: Final = 3_100_000_000_000_000_000
_AUTHOR: Final = 3_200_000_000_000_000_000


@asynccontextmanager
async def stores(**settings: object) -> AsyncIterator[Rig]:
    """Start Kafka, Redis and PostgreSQL alone, on all cores but the last; each setting by its name."""
    async with started("--stores-only", **settings) as found:
        found.pin("")
        await settle(found.settings())
        yield found


def redis_of(settings: Settings) -> Redis:
    """A client of the system's Redis."""
    return connect(settings, client_name="benchmark")


async def settle(settings: Settings) -> None:
    """As if Redis had been there for a day: workers need not wait for nodes to register, nor for nonces."""
    async with redis_of(settings) as redis:
        await redis.set(keys.epoch(), f"{int((time.time() - _DAY_S) * 1000)}.benchmark")
        await redis.set(keys.nonces_ready(), await loss_token(redis))


@dataclass(slots=True)
class Worker:
    """A process that is measured."""

    role: str
    process: asyncio.subprocess.Process
    internal: str

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def cpu_s(self) -> float:
        """CPU time used so far."""
        return cpu_s(self.pid)

    async def ready(self) -> None:
        """Wait until it takes work.

        Raises:
            RuntimeError: it ended.
            TimeoutError: not within a minute.

        """
        async with asyncio.timeout(_READY_S), aiohttp.ClientSession() as http:
            while self.process.returncode is None:
                try:
                    async with http.get(f"{self.internal}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)
        raise RuntimeError(f"the {self.role} ended with {self.process.returncode}")

    async def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def metric(internal: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels, of the process with that internal address."""
    async with aiohttp.ClientSession() as http, http.get(f"{internal}/metrics") as answer:
        text = await answer.text()
    total = 0.0
    for line in text.splitlines():
        if match := re.match(rf"{re.escape(name)}(\{{(.*)\}})? (\S+)$", line):
            there = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if labels.items() <= there.items():
                total += float(match[3])
    return total


async def worker(
    system: Rig, role: str, *, core: int | None = None, name: str = "", **settings: object
) -> Worker:
    """Start `python -m ROLE`, the real one, on one core if that is said; each setting by its name."""
    internal = free_port("127.0.0.1")
    secret = (system.folder / ".fanfare" / "secret").read_text().strip()
    found = system.settings()
    environment = system.environment | {
        "FANFARE_KAFKA": found.kafka,
        "FANFARE_REDIS": found.redis.get_secret_value(),
        "FANFARE_POSTGRES": found.postgres.get_secret_value(),
        "FANFARE_SECRET": secret,
        "FANFARE_INTERNAL_PORT": str(internal),
        "FANFARE_PROCESS": name or f"{role}.bench",
        **{f"FANFARE_{key.upper()}": str(value) for key, value in settings.items()},
    }
    command = [sys.executable, "-m", role]
    with (system.folder / f"{name or role}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(pinned(core, *command) if core is not None else command),
            env=environment,
            cwd=system.folder,
            stdout=log,
            stderr=log,
        )
    return Worker(role, process, f"http://127.0.0.1:{internal}")


async def hold(system: Rig, address: str, users: Iterable[int]) -> Crowd:
    """Hold a session of each of these members, in a compiled reader; returns when all have their guilds."""
    tokens = Tokens((system.folder / ".fanfare" / "secret").read_text().strip())
    file = system.file("\n".join(tokens.issue(user) for user in users))
    return await rig.hold(address, file, "", str(_INTENTS))


async def guild(system: Rig, name: str) -> tuple[int, int]:
    """Make a guild with a channel, owned by the demo's alice; their ids."""

    async def run(*command: str) -> int:
        # In a thread: what else runs here goes on.
        return int(json.loads(await asyncio.to_thread(system.command, *command, "--json"))["id"])

    made = await run("guild", "create", name, "--owner", "alice")
    return made, await run("channel", "create", str(made), "bench")


async def send(sender: Client, channels: Sequence[int], count: int, rate: float) -> None:
    """Send messages of 100 characters to channels in turn, at an even pace; returns when all are accepted.

    Not more of them are unanswered than a socket may have.
    """
    room = asyncio.Semaphore(OWN_UNANSWERED - 4)
    began = time.monotonic()

    async def one(channel: int) -> None:
        try:
            await sender.send(channel, secrets.token_hex(50))
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            if (early := began + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await room.acquire()
            group.create_task(one(channels[number % len(channels)]))


async def members(system: Rig, guild_id: int, first: int, count: int) -> range:
    """Make members of a guild that nobody has looked at yet, in bulk; their ids."""
    connection = await asyncpg.connect(system.run["postgres"])
    last = first + count - 1
    try:
        async with connection.transaction():
            # No checks of foreign keys, of a million rows that are right.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "INSERT INTO users (id, username) SELECT id, 'bulk' || id "
                "FROM generate_series($1::bigint, $2::bigint) AS id",
                first,
                last,
            )
            await connection.execute(
                "INSERT INTO members (guild_id, user_id, joined_at) "
                "SELECT $3, id, now() FROM generate_series($1::bigint, $2::bigint) AS id",
                first,
                last,
                guild_id,
            )
            await connection.execute(
                "UPDATE guilds SET member_count = member_count + $2 WHERE id = $1", guild_id, count
            )
        await connection.execute("ANALYZE users, members")
    finally:
        await connection.close()
    return range(first, last + 1)


def rss_bytes(pid: int) -> int:
    """Memory that a process has resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory")


def children_s(pid: int) -> float:
    """CPU time that the children of a process have used, of those that there are now."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                total += cpu_s(int(stat.parent.name))
        except OSError:
            continue
    return total


async def processes(system: Rig) -> dict[str, dict[str, Any]]:
    """The processes by name, with their pids and addresses; waits until each gateway has said its own."""
    async with asyncio.timeout(_READY_S):
        while True:
            said = await asyncio.to_thread(system.command, "status", "--json")
            found = {each["name"]: each for each in json.loads(said)["processes"]}
            if all(each["address"] for each in found.values() if each["role"] == "gateway"):
                return found
            await asyncio.sleep(0.1)


async def pid_of(system: Rig, name: str) -> int:
    """The pid of a process that the system started."""
    return int((await processes(system))[name]["pid"])


def channels(count: int, partitions: int, first: int = _CHANNEL) -> list[int]:
    """Ids of channels from `first` on, in turn in each partition."""
    found: list[int] = []
    ident = first
    while len(found) < count:
        if partition_of(ident, partitions) == len(found) % partitions:
            found.append(ident)
        ident += 1
    return found


def message(number: int, channel: int, guild: int = 0, size: int = 300) -> Record:
    """A message as a gateway would have put it into chat.events, its payload of about `size` bytes."""
    now_ms = int(time.time() * 1000)
    ident = (now_ms - SNOWFLAKE_EPOCH_MS) << 22 | number & 0x3FFFFF
    gated = b'"content":"%s","embeds":[],"attachments":[],"components":[]'
    rest = b',"id":"%d","channel_id":"%d","type":0,"author":{"id":"%d","username":"bench"},"nonce":"%x"}' % (
        ident,
        channel,
        _AUTHOR,
        number,
    )
    content = b"x" * max(size - len(gated) - len(rest), 1)
    head = gated % content
    return Record(
        type="MESSAGE_CREATE",
        id=ident,
        at=now_ms,
        guild=guild or _GUILD + channel % 10,
        channel=channel,
        author=_AUTHOR,
        nonce=f"{ident:x}",
        gated=(1, 1 + len(head)),
        payload=b"{" + head + rest,
    )


async def fill(
    settings: Settings, topic: str, records: Iterable[Record], partitions: int
) -> dict[int, tuple[int, int]]:
    """Write records to a topic by their channels; per partition the first offset and the one after the last."""
    producer = AIOKafkaProducer(**connection(settings), acks="all", linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    try:
        waiting = []
        for record in records:
            partition = partition_of(record.channel, partitions)
            waiting.append(
                await producer.send(
                    topic,
                    record.payload,
                    key=str(record.channel).encode(),
                    partition=partition,
                    headers=record.headers(),
                )
            )
        written = await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    bounds: dict[int, tuple[int, int]] = {}
    for each in written:
        first, end = bounds.get(each.partition, (each.offset, 0))
        bounds[each.partition] = (min(first, each.offset), max(end, each.offset + 1))
    return bounds


async def commits(settings: Settings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Say where a group without members shall go on."""
    client = AIOKafkaConsumer(**connection(settings), group_id=group, enable_auto_commit=False)
    client.assign([KafkaPartition(topic, partition) for partition in offsets])
    await client.start()
    try:
        for left in reversed(range(_COMMIT_TRIES)):
            try:
                await client.commit(
                    {KafkaPartition(topic, number): offset for number, offset in offsets.items()}
                )
            except CommitFailedError:  # it still has a member, who is about to be gone
                if not left:
                    raise
                await asyncio.sleep(0.1)
            else:
                return
    finally:
        await client.stop()


class Progress:
    """How many records a topic got, asked of the broker: costs the process that writes them nothing."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        self._client: Any = AIOKafkaConsumer(**connection(settings))
        self._partitions = [KafkaPartition(topic, number) for number in range(partitions)]
        self._base = 0

    async def __aenter__(self) -> Self:
        await self._client.start()
        self._base = await self._ends()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.stop()

    async def _ends(self) -> int:
        return sum((await self._client.end_offsets(self._partitions)).values())

    async def count(self) -> int:
        """Records since the beginning."""
        return await self._ends() - self._base

    async def ends(self) -> dict[int, int]:
        """Per partition the offset that its next record gets."""
        found = await self._client.end_offsets(self._partitions)
        return {each.partition: end for each, end in found.items()}
