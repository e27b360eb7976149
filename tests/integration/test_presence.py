"""The one ordered writer of a node's registrations, on a real Valkey."""

import asyncio
import itertools
import random
import uuid

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from fanfare.presence import inboxes, keys
from fanfare.presence.client import connect
from fanfare.tasks import end
from gateway.registrations import PresenceWriter
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system
_ids = itertools.count(5_000_000)


class Node:
    """A writer with an inbox, that can be looked at from outside."""

    def __init__(self, redis, inbox: str) -> None:
        self.redis, self.inbox = redis, inbox
        self.writer = PresenceWriter(redis, inbox)

    async def has(self, guild: int) -> bool:
        return bool(await self.redis.hexists(keys.guild_nodes(guild), self.inbox))

    async def sessions(self, user: int) -> set[str]:
        found = await self.redis.hkeys(keys.user_sessions(user))
        return {name.decode().removesuffix(f"@{self.inbox}") for name in found}

    async def written(self) -> None:
        """Everything asked for so far stands in Redis: the writer works in order."""
        async with asyncio.timeout(30):
            await self.writer.hold(0 - next(_ids))

    async def marks(self) -> list[str]:
        found = await inboxes.read_between(self.redis, self.inbox, 0, None, count=1000)
        return [entry.marker for entry in found[1:]]


@pytest.fixture
async def node(stores):
    redis = connect(settings_of(stores.run))
    name = uuid.uuid4().hex
    inbox = f"{name}.1"
    await inboxes.create(redis, name, inbox, floor=0, token="t", is_open=True)
    node = Node(redis, inbox)
    task = asyncio.create_task(node.writer.run())
    yield node
    await end((task,))
    await redis.aclose()


async def test_a_registration_is_done_when_redis_has_it(node):
    guild, user = next(_ids), next(_ids)
    await node.writer.hold(guild)
    assert await node.has(guild)
    await node.writer.add(user, "s")
    assert await node.sessions(user) == {"s"}


async def test_another_node_learns_the_guilds_of_a_session(node):
    user = next(_ids)
    await node.writer.add(user, "s")
    assert await node.writer.guilds_of(user, "s", node.inbox) is None, "not known yet"
    await node.writer.add(user, "s", {7, 5})
    await node.writer.add(user, "s")
    assert await node.writer.guilds_of(user, "s", node.inbox) == [5, 7]
    await node.writer.add(user, "none", ())
    assert await node.writer.guilds_of(user, "none", node.inbox) == []
    await node.writer.add(user, "many", range(1001))
    assert await node.writer.guilds_of(user, "many", node.inbox) is None
    assert await node.writer.guilds_of(user, "s", "other.1") is None


async def test_what_is_released_is_marked_in_the_inbox(node):
    guild, user = next(_ids), next(_ids)
    await node.writer.hold(guild)
    await node.writer.add(user, "s")
    await node.writer.add(user, "t")
    node.writer.remove(user, "s")
    node.writer.release(guild)
    await node.written()
    assert not await node.has(guild)
    assert await node.sessions(user) == {"t"}
    assert await node.marks() == [f"UNREG g:{guild}"]
    node.writer.remove(user, "t")
    await node.written()
    assert await node.marks() == [f"UNREG g:{guild}", f"UNREG u:{user}"]


async def test_an_old_removal_does_not_land_after_a_new_registration(node):
    guild, user = next(_ids), next(_ids)
    await asyncio.gather(node.writer.hold(guild), node.writer.add(user, "s"))
    node.writer.release(guild)
    node.writer.remove(user, "s")
    held, added = node.writer.hold(guild), node.writer.add(user, "s")
    await asyncio.gather(held, added)
    await node.written()
    assert await node.has(guild)
    assert await node.sessions(user) == {"s"}
    assert await node.marks() == [], "it never stopped receiving"


async def test_any_sequence_ends_as_wanted(node):
    guilds, users = [next(_ids) for _ in range(5)], [next(_ids) for _ in range(5)]
    wanted, dice, pending = set(), random.Random(7), []
    for _ in range(600):
        thing, on = dice.choice([*guilds, *users]), dice.random() < 0.5
        if thing in guilds and on:
            pending.append(node.writer.hold(thing))
        elif thing in guilds:
            node.writer.release(thing)
        elif on:
            pending.append(node.writer.add(thing, "s"))
        else:
            node.writer.remove(thing, "s")
        wanted = wanted | {thing} if on else wanted - {thing}
        if dice.random() < 0.1:
            await pending[-1] if pending else None
    await node.written()
    assert all(one.done() for one in pending)
    assert {guild for guild in guilds if await node.has(guild)} == wanted & {*guilds}
    assert {user for user in users if await node.sessions(user)} == wanted & {*users}


async def test_it_goes_on_after_redis_was_away(node, monkeypatch):
    refused = []

    def away(*_args, **_options):
        refused.append(1)
        if len(refused) < 3:
            raise RedisConnectionError("away")
        monkeypatch.undo()
        return node.redis.pipeline(transaction=False)

    monkeypatch.setattr(node.redis, "pipeline", away)
    guilds = [next(_ids) for _ in range(3)]
    await asyncio.gather(*(node.writer.hold(guild) for guild in guilds))
    assert len(refused) == 3
    assert [await node.has(guild) for guild in guilds] == [True] * 3


async def test_all_that_is_wanted_moves_to_another_inbox(node):
    guild, left, user = next(_ids), next(_ids), next(_ids)
    await asyncio.gather(node.writer.hold(guild), node.writer.hold(left), node.writer.add(user, "s"))
    node.writer.release(left)
    await node.written()
    name = uuid.uuid4().hex
    other = f"{name}.2"
    await inboxes.create(node.redis, name, other, floor=0, token="t", is_open=True)
    await node.writer.move(other)
    node.inbox = other
    assert await node.has(guild)
    assert not await node.has(left)
    assert f"s@{other}".encode() in await node.redis.hkeys(keys.user_sessions(user))
    assert {f"g:{guild}", f"u:{user}"} <= node.writer.scopes()
    assert f"g:{left}" not in node.writer.scopes()
