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

from fanfare.client import Rest, Session
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.status import read_status
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tokens import Tokens
from tests.integration.store_fixtures import eventually, snowflakes
from tests.stack import Stack

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
        for person in made[1:]:
            await store.add_member(change.guild_id, users[person.id])
    return World(change.guild_id, list(change.value.channels), made)


async def status_of(stack: Stack) -> dict[str, Any]:
    """What `fanfare status --json` says, without starting a process for it."""
    settings = settings_of(stack).model_copy(update={"home": stack.home})
    return await read_status(settings, DataFolder(stack.home))


async def nodes_of(stack: Stack) -> list[Node]:
    """The gateway nodes, in the order of their names."""
    status = await status_of(stack)
    return [
        Node(entry["name"], entry["pid"], entry["address"], entry["api"], entry["internal"])
        for entry in status["processes"]
        if entry["role"] == "gateway"
    ]


async def kill(stack: Stack, *names: str) -> None:
    """kill -9 of processes, such as `notifier.1`."""
    status = await status_of(stack)
    pids = {entry["name"]: entry["pid"] for entry in status["processes"]}
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


async def whole_again(stack: Stack) -> None:
    """Wait until every process of the stack is ready and every partition has its worker."""

    async def ready() -> bool:
        return bool((await status_of(stack))["ready"])

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
    status = await status_of(stack)
    internals = [entry["internal"] for entry in status["processes"] if entry["role"] == role]
    return sum(await asyncio.gather(*(metric(internal, name, **labels) for internal in internals)))


async def settled(read: Callable[[], Awaitable[float]], wanted: float, within_s: float = 30) -> None:
    """Wait until a number that another process counts is what it should become."""

    async def there() -> bool:
        return await read() == wanted

    await eventually(there, within_s)
