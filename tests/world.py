"""Guilds, channels and people of a test's own, and the processes of a running stack as a test meets them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis.asyncio import Redis

from fanfare import probe
from fanfare.embedded.folder import DataFolder
from fanfare.presence.barrier import barrier
from fanfare.presence.client import connect
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tokens import Tokens
from tests.integration.store_fixtures import eventually, snowflakes
from tests.stack import Stack
from torture.client import Rest, Session

next_id = snowflakes()
# A killed process is back long before; this only ends what hangs.
BACK_S = 60


@dataclass(frozen=True)
class Person:
    """A user with a token."""

    id: int
    name: str
    token: str

    def session(self, **fields: Any) -> Session:
        """A new session of the user."""
        return Session(self.token, **fields)


@dataclass(frozen=True)
class World:
    """A guild that nobody else has."""

    guild: int
    channels: list[int]
    people: list[Person]
    """The first one owns the guild."""


@dataclass(frozen=True)
class Node:
    """A gateway node by its own addresses."""

    name: str
    pid: int
    gateway: str
    api: str
    internal: str

    def rest(self, person: Person) -> Rest:
        """REST of somebody through this node."""
        return Rest(self.api, person.token)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)


def settings_of(stack: Stack) -> Settings:
    """Settings for code in this process that works on the stores of the stack."""
    run = stack.run
    return Settings(
        kafka=run["kafka"],
        redis=SecretStr(run["redis"]),
        postgres=SecretStr(run["postgres"]),
        secret=SecretStr((stack.home / "secret").read_text().strip()),
    )


@asynccontextmanager
async def store_of(stack: Stack) -> AsyncIterator[Store]:
    """The database of the stack."""
    store = await Store.connect(settings_of(stack))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def redis_of(stack: Stack) -> AsyncIterator[Redis]:
    """The Redis of the stack."""
    redis = connect(settings_of(stack), client_name="test")
    try:
        yield redis
    finally:
        await redis.aclose()


async def make_people(stack: Stack, count: int, *, bot: bool = False) -> list[Person]:
    """New users."""
    tokens = Tokens(settings_of(stack).secret.get_secret_value())
    people = []
    async with store_of(stack) as store:
        for _ in range(count):
            ident = next_id()
            user = await store.create_user(ident, f"user{ident}", bot)
            people.append(Person(user.id, user.username, tokens.issue(user.id)))
    return people


async def make_world(stack: Stack, people: int, channels: int = 1, *, bot: bool = False) -> World:
    """A new guild with new members."""
    made = await make_people(stack, people, bot=bot)
    async with store_of(stack) as store:
        users = await store.users(person.id for person in made)
        names = [f"channel-{number}" for number in range(channels)]
        change = await store.create_guild(next_id, users[made[0].id], "a guild of a test", names)
        version = change.version
        for person in made[1:]:
            version = (await store.add_member(change.guild_id, users[person.id])).version
    await _passed_on(stack, change.guild_id, version)
    return World(change.guild_id, list(change.value.channels), made)


async def make_world_with_bot(stack: Stack, people: int) -> World:
    """A new guild with new members and a bot, which comes after the owner."""
    made = await make_world(stack, people)
    bot = (await make_people(stack, 1, bot=True))[0]
    async with store_of(stack) as store:
        user = await store.user(bot.id)
        assert user is not None
        await store.add_member(made.guild, user)
    return World(made.guild, made.channels, [made.people[0], bot, *made.people[1:]])


async def _passed_on(stack: Stack, guild: int, version: int) -> None:
    """Wait until what happened in a guild is on its way to nobody any more."""
    async with redis_of(stack) as redis:
        await barrier(redis, guild, version, BACK_S)


async def processes_of(stack: Stack) -> list[dict[str, Any]]:
    """The processes of `fanfare status --json`, without starting a process for it."""
    known = DataFolder(stack.home).read_state()["processes"]
    said = await asyncio.gather(*(_ask(process) for process in known))
    return [process | answer for process, answer in zip(known, said, strict=True)]


async def _ask(process: dict[str, Any]) -> dict[str, Any]:
    if not process["internal"]:
        return {"ready": process["state"] == "running"}
    said = await probe.get_json(process["internal"] + "/status") or {"ready": False}
    return {name: value for name, value in said.items() if name != "pid"}


async def nodes_of(stack: Stack) -> list[Node]:
    """The gateway nodes, in the order of their names."""
    return [
        Node(entry["name"], entry["pid"], entry["address"], entry["api"], entry["internal"])
        for entry in await processes_of(stack)
        if entry["role"] == "gateway"
    ]


async def kill(stack: Stack, *names: str) -> None:
    """kill -9 of processes, such as `notifier.1`."""
    pids = {entry["name"]: entry["pid"] for entry in await processes_of(stack)}
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


async def whole_again(stack: Stack) -> None:
    """Wait until every process of the stack is ready and every partition has its worker."""

    async def ready() -> bool:
        return all(entry["ready"] for entry in await processes_of(stack))

    await eventually(ready, BACK_S)


async def metric(internal: str, name: str, **labels: str) -> float:
    """The sum of a metric of a process over its labels, those given excepted."""
    async with aiohttp.ClientSession() as http, http.get(f"{internal}/metrics") as answer:
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def metric_of_role(stack: Stack, role: str, name: str, **labels: str) -> float:
    """The sum of a metric over all processes of a role."""
    internals = [entry["internal"] for entry in await processes_of(stack) if entry["role"] == role]
    return sum(await asyncio.gather(*(metric(internal, name, **labels) for internal in internals)))


async def settled(read: Callable[[], Awaitable[float]], wanted: float, within_s: float = 30) -> None:
    """Wait until a number that another process counts is what it should become."""

    async def there() -> bool:
        return await read() == wanted

    await eventually(there, within_s)
