"""Search: by words, author, channel and time, and only where one may read."""

import pytest

from fanfare.permissions import P
from tests.integration.store_fixtures import eventually
from tests.world import make_world
from torture.client import Rest, RestError

pytestmark = pytest.mark.system


async def found(rest: Rest, guild: int, query: str = "") -> list[str]:
    answer = await rest.request("GET", f"/guilds/{guild}/messages/search?{query}")
    # A deletion that is not archived yet is not shown, and still counted.
    assert answer["total_results"] >= len(answer["messages"])
    return [message["content"] for (message,) in answer["messages"]]


async def test_messages_are_found_by_those_who_may_read_them(stack, nodes):
    world = await make_world(stack, people=2, channels=2)
    guild, (open_, hidden) = world.guild, world.channels
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:

        async def say(rest: Rest, channel: int, text: str) -> dict:
            return await rest.request("POST", f"/channels/{channel}/messages", {"content": text})

        first = await say(owner, open_, "The parcel is at the north gate")
        second = await say(bob, open_, "Which gate? NORTH or south?")
        await say(owner, hidden, "the code of the north gate is 4711")
        gone = await say(bob, open_, "north north")

        async def archived() -> bool:
            return len(await found(owner, guild)) == 4

        await eventually(archived)
        await owner.request("DELETE", f"/channels/{open_}/messages/{gone['id']}")
        texts = [first["content"], second["content"]]

        async def forgets() -> bool:
            return len(await found(owner, guild, "content=north")) == 3

        await eventually(forgets)
        rule = {"type": 0, "deny": str(int(P.READ_MESSAGE_HISTORY)), "allow": "0"}
        await owner.request("PUT", f"/channels/{hidden}/permissions/{guild}", rule)
        assert await found(bob, guild, "content=north") == texts[::-1]
        assert await found(bob, guild, "content=north&sort_order=asc") == texts
        assert await found(bob, guild, "content=%22north%20gate%22") == texts[:1]
        assert await found(bob, guild, "content=north%20-south") == texts[:1]
        assert await found(bob, guild, f"author_id={world.people[1].id}") == texts[1:]
        both = "&".join(f"author_id={person.id}" for person in world.people)
        assert await found(bob, guild, f"{both}&channel_id={open_}&min_id={first['id']}") == texts[1:]
        assert await found(bob, guild, f"max_id={second['id']}") == texts[:1]
        assert await found(bob, guild, "content=4711") == []
        assert len(await found(owner, guild, "content=4711")) == 1
        with pytest.raises(RestError) as caught:
            await found(bob, guild, f"channel_id={open_}&channel_id={hidden}")
        assert (caught.value.status, caught.value.code) == (403, 50001)
        for wrong, field in {
            "limit=26": "limit",
            "min_id=x": "min_id",
            "sort_order=up": "sort_order",
        }.items():
            with pytest.raises(RestError) as caught:
                await found(bob, guild, wrong)
            assert (caught.value.status, list(caught.value.body["errors"])) == (400, [field])
