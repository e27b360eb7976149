"""Op 8 with what should not be in it, and with a database that does not answer."""

import asyncpg
import pytest

from torture.client import Op


@pytest.mark.parametrize(
    "odd",
    [
        {"user_ids": ["99999999999999999999"]},
        {"user_ids": ["a", "\u0663", "-1"]},
        {"user_ids": [None, {}, [], 1.5]},
        {"user_ids": "99999999999999999999"},
        {"query": "user\0", "limit": 5},
        {"query": "\U0001f701" * 200, "limit": 5},
        {"query": None, "user_ids": None, "limit": None, "presences": None},
        {"query": "", "limit": 1e308},
        {"guild_id": "99999999999999999999"},
        {"guild_id": "not a guild"},
    ],
    ids=str,
)
async def test_b4_every_request_is_answered(nodes, world, online, odd):
    client = await online(nodes[0], world.people[0])
    await client.write(Op.REQUEST_GUILD_MEMBERS, {"guild_id": str(world.guild), "nonce": "odd"} | odd)
    chunk = await client.until("GUILD_MEMBERS_CHUNK", nonce="odd")
    asked = odd.get("user_ids")
    if asked and isinstance(asked, str):
        asked = [asked]
    assert chunk.d["not_found"] == [one for one in asked or () if isinstance(one, str)]


async def test_b4_a_database_that_does_not_answer(stack, nodes, world, online):
    client = await online(nodes[0], world.people[0])
    blocker = await asyncpg.connect(stack.run["postgres"])
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE members IN ACCESS EXCLUSIVE MODE")
            d = {"guild_id": str(world.guild), "user_ids": [str(world.people[1].id)], "nonce": "blocked"}
            await client.write(Op.REQUEST_GUILD_MEMBERS, d)
            told = await client.until("RATE_LIMITED")
    finally:
        await blocker.close()
    assert told.d["opcode"] == 8
    assert told.d["retry_after"] > 0
    assert told.d["meta"] == {"guild_id": str(world.guild), "nonce": "blocked"}
    await client.write(Op.REQUEST_GUILD_MEMBERS, d)
    chunk = await client.until("GUILD_MEMBERS_CHUNK", nonce="blocked")
    assert [member["user"]["id"] for member in chunk.d["members"]] == [str(world.people[1].id)]
