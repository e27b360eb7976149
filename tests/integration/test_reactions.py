"""Reactions on real nodes: what is told, what is read, and that both say the same."""

import asyncio
from urllib.parse import quote

import pytest

from fanfare.permissions import P
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import make_world, store_of
from torture.client import Client, Event, Rest, RestError

pytestmark = pytest.mark.system

THUMB, PARTY = "👍", "🎉"


def path(channel: int, message: str, emoji: str = "", whose: str = "") -> str:
    found = f"/channels/{channel}/messages/{message}/reactions"
    return "/".join(filter(None, (found, quote(emoji), whose)))


async def code(rest: Rest, method: str, path: str) -> int:
    try:
        await rest.request(method, path)
    except RestError as error:
        return error.code
    return 0


async def told(client: Client, end: str) -> list[Event]:
    """The reactions that a client was told of before a message."""
    found = [await client.next()]
    while not (found[-1].t == "MESSAGE_CREATE" and found[-1].d["content"] == end):
        found.append(await client.next())
    return [event for event in found if "REACTION" in event.t]


def shown(message: dict) -> list[tuple[str, int, bool]]:
    return [(one["emoji"]["name"], one["count"], one["me"]) for one in message.get("reactions", [])]


async def test_everything_that_can_be_done_with_reactions(nodes, world, online):
    alice, bob, carol = world.people
    channel = world.channels[0]
    watching = await online(nodes[1], carol)
    async with nodes[0].rest(alice) as owner, nodes[1].rest(bob) as other:
        message = (await owner.send(channel, "react"))["id"]
        for rest in (owner, other):
            await rest.request("PUT", path(channel, message, THUMB, "@me"))
        await other.request("PUT", path(channel, message, PARTY, "@me"))
        assert shown((await owner.messages(channel, limit=1))[0]) == [(THUMB, 2, True), (PARTY, 1, False)]
        assert shown(await other.request("GET", f"/channels/{channel}/messages/{message}")) == [
            (THUMB, 2, True),
            (PARTY, 1, True),
        ]
        both = await other.request("GET", path(channel, message, THUMB))
        assert [user["id"] for user in both] == sorted([str(alice.id), str(bob.id)], key=int)
        later = await other.request("GET", path(channel, message, THUMB), query={"after": both[0]["id"]})
        assert later == both[1:]
        # Again, and what is not there: nothing happens.
        await owner.request("PUT", path(channel, message, THUMB, "@me"))
        await owner.request("DELETE", path(channel, message, PARTY, "@me"))
        await other.request("DELETE", path(channel, message, THUMB, "@me"))
        await owner.request("DELETE", path(channel, message, PARTY, str(bob.id)))
        assert shown((await other.messages(channel, limit=1))[0]) == [(THUMB, 1, False)]
        await owner.request("DELETE", path(channel, message, THUMB))
        await other.request("PUT", path(channel, message, PARTY, "@me"))
        await owner.request("DELETE", path(channel, message))
        assert shown((await other.messages(channel, limit=1))[0]) == []
        await owner.send(channel, "end of reactions")
    events = await told(watching, "end of reactions")
    assert [(event.t.removeprefix("MESSAGE_REACTION_"), event.d.get("user_id")) for event in events] == [
        ("ADD", str(alice.id)),
        ("ADD", str(bob.id)),
        ("ADD", str(bob.id)),
        ("REMOVE", str(bob.id)),
        ("REMOVE", str(bob.id)),
        ("REMOVE_EMOJI", None),
        ("ADD", str(bob.id)),
        ("REMOVE_ALL", None),
    ]
    assert events[0].d["member"]["user"]["id"] == str(alice.id)
    assert events[0].d["message_author_id"] == str(alice.id)
    assert all(event.d["message_id"] == message for event in events)


async def test_the_same_reaction_on_both_nodes_at_once_is_told_once(nodes, world, online):
    """Each client counts what it is told: told twice, it would count two."""
    alice, _, carol = world.people
    channel = world.channels[0]
    watching = await online(nodes[0], carol)
    async with nodes[0].rest(alice) as one, nodes[1].rest(alice) as other:
        messages = [(await one.send(channel, "both"))["id"] for _ in range(5)]
        for message in messages:
            await asyncio.gather(
                *(rest.request("PUT", path(channel, message, THUMB, "@me")) for rest in (one, other) * 2)
            )
        page = await other.messages(channel, limit=5)
        assert [shown(message) for message in page] == [[(THUMB, 1, True)]] * 5
        await one.send(channel, "end of both")
    assert [event.d["message_id"] for event in await told(watching, "end of both")] == messages


async def test_reactions_that_must_not_be(stack, nodes):
    world = await make_world(stack, people=2)
    channel = world.channels[0]
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:
        message = (await owner.send(channel, "react"))["id"]
        assert await code(bob, "PUT", path(channel, message, "no emoji", "@me")) == 10014
        assert await code(bob, "PUT", path(channel, message, "x:123456789012345678", "@me")) == 10014
        assert await code(bob, "PUT", path(channel, "5", THUMB, "@me")) == 10008
        kinds = [chr(0x1F600 + at) for at in range(21)]
        for emoji in kinds[:20]:
            await owner.request("PUT", path(channel, message, emoji, "@me"))
        assert await code(owner, "PUT", path(channel, message, kinds[20], "@me")) == 30010
        rule = f"/channels/{channel}/permissions/{world.guild}"
        await owner.request("PUT", rule, {"type": 0, "deny": str(int(P.ADD_REACTIONS))})
        assert await code(bob, "PUT", path(channel, message, kinds[0], "@me")) == 0, "it is there already"
        await owner.request("DELETE", path(channel, message, kinds[1]))
        assert await code(bob, "PUT", path(channel, message, kinds[1], "@me")) == 50013
        await owner.request("PUT", rule, {"type": 0, "deny": str(int(P.READ_MESSAGE_HISTORY))})
        for method, whose in (("PUT", "@me"), ("DELETE", "@me"), ("GET", "")):
            assert await code(bob, method, path(channel, message, kinds[0], whose)) == 50013
        await owner.request("DELETE", f"/channels/{channel}/messages/{message}")
        assert await code(owner, "PUT", path(channel, message, kinds[0], "@me")) == 10008


async def test_reactions_in_a_direct_conversation(nodes, world, online):
    alice, bob, _ = world.people
    watching = await online(nodes[1], bob)
    async with nodes[0].rest(alice) as one, nodes[1].rest(bob) as other:
        direct = int((await one.request("POST", "/users/@me/channels", {"recipient_id": str(bob.id)}))["id"])
        message = (await one.send(direct, "psst"))["id"]
        await other.request("PUT", path(direct, message, THUMB, "@me"))
        assert await code(other, "DELETE", path(direct, message, THUMB)) == 50003
        assert shown((await one.messages(direct, limit=1))[0]) == [(THUMB, 1, False)]
    event = await watching.until("MESSAGE_REACTION_ADD")
    assert (event.d["user_id"], event.d["channel_id"]) == (str(bob.id), str(direct))
    assert "member" not in event.d


async def test_what_the_archiver_has_is_read_the_same(stack, nodes, world):
    alice = world.people[0]
    channel = world.channels[1]
    async with nodes[0].rest(alice) as rest:
        message = (await rest.send(channel, "kept"))["id"]
        await rest.request("PUT", path(channel, message, THUMB, "@me"))
        await archived(stack, channel, int(message), 1)
        assert shown((await rest.messages(channel, limit=1))[0]) == [(THUMB, 1, True)]
        await rest.request("DELETE", path(channel, message, THUMB, "@me"))
        assert shown((await rest.messages(channel, limit=1))[0]) == []
        await archived(stack, channel, int(message), 0)
        await rest.request("PUT", path(channel, message, THUMB, "@me"))
        assert shown((await rest.messages(channel, limit=1))[0]) == [(THUMB, 1, True)]
        await rest.request("DELETE", f"/channels/{channel}/messages/{message}")


async def archived(stack: Stack, channel: int, message: int, number: int) -> None:
    """Wait until the table counts so many reactions."""
    async with store_of(stack) as store:

        async def there() -> bool:
            found = await store.reactions(channel, [message], 0)
            return bool(found) and found[0].number == number

        await eventually(there, 20)
