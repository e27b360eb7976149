"""What bots may do how often, and what they may ask for."""

import asyncio
from typing import Any

import pytest

from fanfare.presence import keys
from tests.integration.conftest import Connect, Dial
from tests.stack import Stack
from tests.world import Node, make_people, make_world_with_bot, redis_of, store_of
from torture.client import CALM_INTENTS, PRESENCES, ClosedError, InvalidSessionError, Op, Session

pytestmark = pytest.mark.system


async def limit_of(node: Node, bot: Any) -> dict[str, Any]:
    async with node.rest(bot) as rest:
        found = await rest.request("GET", "/gateway/bot")
    assert found["shards"] == 1
    return found["session_start_limit"]


async def refused(dial: Dial, node: Node, session: Session) -> int:
    client = await dial(node, session)
    with pytest.raises(ClosedError) as closed:
        await client.identify()
    return closed.value.code


async def test_sessions_of_a_bot_are_counted(nodes: list[Node], stack: Stack, online: Connect, dial: Dial):
    bot, person = (await make_people(stack, 1, bot=True))[0], (await make_people(stack, 1))[0]
    assert (await limit_of(nodes[0], bot)) == {
        "total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 16,
    }  # fmt: skip
    await asyncio.gather(*(online(nodes[number % 2], bot) for number in range(3)))
    left = await limit_of(nodes[1], bot)
    assert left["remaining"] == 997
    assert 0 < left["reset_after"] <= 86_400_000
    async with redis_of(stack) as redis:
        await redis.set(keys.session_starts(bot.id), 1000, ex=60)
        await redis.set(keys.session_starts(person.id), 1000, ex=60)
    assert await refused(dial, nodes[0], bot.session()) == 4008
    assert (await limit_of(nodes[0], bot))["remaining"] == 0
    await online(nodes[0], person)


async def test_too_many_that_begin_at_one_time_may_begin_later(nodes: list[Node], stack: Stack, dial: Dial):
    bot = (await make_people(stack, 1, bot=True))[0]
    async with redis_of(stack) as redis:
        await redis.set(keys.session_starts_now(bot.id), 16, ex=60)
    client = await dial(nodes[0], bot.session())
    with pytest.raises(InvalidSessionError):
        await client.identify()
    async with redis_of(stack) as redis:
        await redis.delete(keys.session_starts_now(bot.id))
    again = await dial(nodes[0], bot.session())
    await again.identify()


async def test_intents_that_a_bot_is_denied(nodes: list[Node], stack: Stack, online: Connect, dial: Dial):
    world = await make_world_with_bot(stack, people=1)
    bot = world.people[1]
    async with store_of(stack) as store:
        await store.deny_intents(bot.id, PRESENCES)
    assert await refused(dial, nodes[0], bot.session(intents=CALM_INTENTS | PRESENCES)) == 4014
    await online(nodes[0], bot.session(intents=CALM_INTENTS))
    async with nodes[1].rest(bot) as rest:
        assert (await rest.request("GET", "/applications/@me"))["flags"] == 1 << 15 | 1 << 19
    async with store_of(stack) as store:
        await store.deny_intents(bot.id, 0)
    await online(nodes[0], bot.session(intents=CALM_INTENTS | PRESENCES))


async def test_who_asks_for_everybody_too_often_is_told_to_wait(
    nodes: list[Node], stack: Stack, online: Connect
):
    world = await make_world_with_bot(stack, people=1)
    client = await online(nodes[0], world.people[1])
    ask = {"guild_id": str(world.guild), "query": "", "limit": 0, "nonce": "n"}
    for _ in range(11):
        await client.write(Op.REQUEST_GUILD_MEMBERS, ask)
    for _ in range(10):
        await client.until("GUILD_MEMBERS_CHUNK")
    told = (await client.until("RATE_LIMITED")).d
    assert told["meta"] == {"guild_id": str(world.guild), "nonce": "n"}
    assert told["opcode"] == Op.REQUEST_GUILD_MEMBERS
    assert 0 < told["retry_after"] <= 5
