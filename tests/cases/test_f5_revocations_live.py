"""F5: how a node hears of revoked tokens, while PostgreSQL comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.store.migrate import migrate
from fanfare.store.revocations import follow
from fanfare.tasks import end
from tests.integration.store_fixtures import Gate, eventually, own_database, settings_of, snowflakes

pytestmark = pytest.mark.system
next_id = snowflakes()


class Node:
    """What a node has heard, and how often it was told that it had all."""

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self.caught_up = 0

    def learn(self, user: int, generation: int) -> None:
        self.heard[user] = max(generation, self.heard.get(user, 0))

    def told(self) -> None:
        self.caught_up += 1

    async def knows(self, wanted: dict[int, int]) -> None:
        """Wait until it has heard of these."""
        await eventually(lambda: asyncio.sleep(0, self.heard.items() >= wanted.items()))


@pytest.fixture
async def settings(stores) -> Settings:
    own = await own_database(settings_of(stores.run))
    await asyncio.to_thread(migrate, own)
    return own


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.connect(settings)
    yield store
    await store.close()


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[Node]:
    """A node that follows."""
    node = Node()
    own = await Store.connect(settings)
    task = asyncio.create_task(follow(own, node.learn, node.told))
    try:
        yield node
        assert not task.done()
    finally:
        await end((task,))
        await own.close()


async def test_f5_all_of_before_and_each_further_one(settings, store):
    people = [(await store.create_user(next_id(), f"f{number}")).id for number in range(3)]
    await store.revoke_tokens(people[0])
    await store.revoke_tokens(people[0])
    async with following(settings) as one, following(settings) as other:
        for node in (one, other):
            await eventually(lambda node=node: asyncio.sleep(0, node.caught_up == 1))
            assert node.heard == {people[0]: 2}
        assert await store.revoke_tokens(people[1]) == 1
        for node in (one, other):
            await node.knows({people[0]: 2, people[1]: 1})
    assert await store.token_generation(people[1]) == 1
    assert await store.token_generation(people[2]) == 0


@pytest.mark.parametrize("how", ["closed", "silent"])
async def test_f5_what_was_revoked_while_a_node_was_cut_off_is_heard_when_it_is_back(settings, store, how):
    """The connection is lost; or nothing comes over it any more, and nobody says so."""
    user = (await store.create_user(next_id(), "cut-off")).id
    gate = Gate(settings)
    await gate.open()
    try:
        async with following(gate.settings) as node:
            await eventually(lambda: asyncio.sleep(0, node.caught_up == 1))
            before = set(gate._tasks)
            if how == "silent":
                gate.hang()
            else:
                await gate.shut()
            await store.revoke_tokens(user)
            if how == "silent":
                # It does not wait for word over the old one.
                await eventually(lambda: asyncio.sleep(0, bool(gate._tasks - before)))
            await gate.open()
            await node.knows({user: 1})
    finally:
        await gate.shut()
