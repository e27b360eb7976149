"""Members who go and come back, roles and categories that go, and changes at once on two nodes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanfare.model import Role
from fanfare.permissions import P
from fanfare.presence.barrier import barrier
from tests.cases.test_a_hidden_channels import VIEW, Place, away, make_place, until_resumed, until_said
from tests.cases.test_a_rights_live import tries
from tests.integration.conftest import Connect, Dial
from tests.stack import Stack
from tests.world import Node, Person, next_id, redis_of, store_of
from torture.client import Client, ClosedError, Event, InvalidSessionError, Op, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


async def kick(place: Place, who: Person) -> None:
    await place.rest("DELETE", f"/guilds/{place.world.guild}/members/{who.id}")


async def let_in(place: Place, who: Person) -> None:
    """Make somebody a member again; no route does."""
    async with store_of(place.stack) as store, redis_of(place.stack) as redis:
        user = await store.user(who.id)
        change = await store.add_member(place.world.guild, user)
        await barrier(redis, change.guild_id, change.version, 30)


async def members(client: Client, place: Place, **asked: Any) -> list[str]:
    """The members that op 8 finds."""
    await client.write(Op.REQUEST_GUILD_MEMBERS, {"guild_id": str(place.world.guild)} | asked)
    chunk = await client.until("GUILD_MEMBERS_CHUNK")
    return [one["user"]["id"] for one in chunk.d["members"]]


def forms(place: Place) -> list[dict[str, Any]]:
    owner = str(place.world.people[0].id)
    return [{"query": "", "limit": 0}, {"query": "user", "limit": 9}, {"user_ids": [owner]}]


async def test_a_members_are_not_shown_to_who_has_left(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    live = [await online(node, place.carol) for node in nodes]
    sleeping = [await away(dial, nodes[1], place.carol.session()) for _ in range(6)]
    for client in live:
        assert all([await members(client, place, **form) for form in forms(place)])
    await kick(place, place.carol)
    for client in live:
        await client.until("GUILD_DELETE")
        assert [await members(client, place, **form) for form in forms(place)] == [[], [], []]
    for at, session in enumerate(sleeping):
        client = await dial(nodes[at % 2], session)
        await client.ask_to_resume()
        await client.until("RESUMED")
        assert await members(client, place, **forms(place)[at // 2]) == [], at


def seen(events: list[Event]) -> list[str]:
    return [event.d["content"] if event.t == "MESSAGE_CREATE" else event.t for event in events]


async def come_back(dial: Dial, node: Node, session: Session) -> list[str]:
    client = await dial(node, session)
    await client.ask_to_resume()
    events = await until_resumed(client, "end")
    await client.close()
    return [one for one in seen(events) if one != "GUILD_MEMBER_ADD"]


async def test_a_what_is_said_between_a_kick_and_a_return_is_not_for_who_was_away(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    """By every way of resuming; roles are gone with the kick, and what they showed."""
    place = await make_place(stack, nodes[0])
    guild = place.world.guild
    await place.overwrite(place.role, 0, allow=VIEW)
    await place.rest("PUT", f"/guilds/{guild}/members/{place.carol.id}/roles/{place.role}")
    live = [await online(node, place.carol) for node in nodes]
    ring, other, stream = [await away(dial, nodes[0], place.carol.session()) for _ in range(3)]
    began = stream.seq
    async with await Client.connect(nodes[1].gateway, stream) as client:
        await client.resume()
        await client.cut()
    stream.seq = began

    await place.say("inside", place.open)
    await place.say("inside secret", place.secret)
    await kick(place, place.carol)
    await place.say("between", place.open)
    await place.rest("PATCH", f"/channels/{place.open}", {"topic": "between"})
    await let_in(place, place.carol)
    await place.say("back secret", place.secret)
    await place.say("end", place.open)
    wanted = ["inside", "inside secret", "GUILD_DELETE", "GUILD_CREATE", "end"]
    for client in live:
        assert [one for one in seen(await until_said(client, "end")) if one != "GUILD_MEMBER_ADD"] == wanted
    for node, session in ((nodes[0], ring), (nodes[1], other), (nodes[1], stream)):
        assert await come_back(dial, node, session) == wanted, (node.name, session is stream)


async def test_a_what_was_said_before_a_kick_is_not_lost(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    for node in nodes:
        await online(node, place.world.people[0])
    ring, other, stream = [await away(dial, nodes[0], place.carol.session()) for _ in range(3)]
    began = stream.seq
    async with await Client.connect(nodes[1].gateway, stream) as client:
        await client.resume()
        await client.cut()
    stream.seq = began
    await place.say("inside", place.open)
    await place.say("secret", place.secret)
    await place.rest("PATCH", f"/channels/{place.open}", {"topic": "inside"})
    await kick(place, place.carol)
    await place.say("outside", place.open)
    await place.rest("PATCH", f"/channels/{place.open}", {"topic": "outside"})
    for node, session in ((nodes[0], ring), (nodes[1], other), (nodes[1], stream)):
        client = await dial(node, session)
        found = [one for one in seen(await client.resume()) if one != "GUILD_MEMBER_REMOVE"]
        assert found == ["inside", "CHANNEL_UPDATE", "GUILD_DELETE"], (node.name, session is stream)


async def test_a_twice_kicked_and_back_is_in_the_guild_as_it_is_now(
    stack: Stack, nodes: list[Node], dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    sessions = [await away(dial, nodes[0], place.carol.session()) for _ in range(2)]
    for number in range(2):
        await kick(place, place.carol)
        await place.say(f"between {number}", place.open)
        await let_in(place, place.carol)
    await place.say("end", place.open)
    for node, session in zip(nodes, sessions, strict=True):
        found = await come_back(dial, node, session)
        assert found[0] == "GUILD_DELETE", node.name
        assert found[-2:] == ["GUILD_CREATE", "end"]
        assert {*found} == {"GUILD_DELETE", "GUILD_CREATE", "end"}


async def test_a_who_was_kicked_acts_by_no_way(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    carol = place.carol
    live = [await online(node, carol) for node in nodes]
    said = [await client.send(place.open, "hello") for client in live]
    await kick(place, carol)
    for node, client, made in zip(nodes, live, said, strict=True):
        await client.until("GUILD_DELETE")
        with pytest.raises(Exception, match="50001"):
            await client.send(place.open, "again")
        async with node.rest(carol) as rest:
            path = f"/channels/{place.open}/messages"
            for method, route, body in (
                ("GET", path, None),
                ("PATCH", f"{path}/{made['id']}", {"content": "x"}),
                ("PATCH", f"{path}/{made['id']}", {"flags": 4}),
                ("DELETE", f"{path}/{made['id']}", None),
            ):
                assert await tries(rest, method, route, body) == (403, 50001), (method, route)


async def test_a_a_session_is_its_users_alone_and_ends_with_their_tokens(
    stack: Stack, nodes: list[Node], dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    owner, carol = place.world.people
    for node in nodes:
        session = await away(dial, nodes[0], owner.session())
        session.token = carol.token
        client = await dial(node, session)
        await client.ask_to_resume()
        with pytest.raises(InvalidSessionError):
            await client.next()
    live = [await dial(node, carol.session()) for node in nodes]
    for client in live:
        await client.start()
    sleeping = [await away(dial, nodes[0], carol.session()) for _ in nodes]
    await kick(place, carol)
    async with store_of(stack) as store:
        await store.revoke_tokens(carol.id)
    for client in live:
        assert (await client.closed()).code == 4004
    await place.say("after", place.open)
    for node, session in zip(nodes, sleeping, strict=True):
        client = await dial(node, session)
        await client.ask_to_resume()
        with pytest.raises(ClosedError, match="4004"):
            await client.next()
        async with node.rest(carol) as rest:
            assert (await tries(rest, "GET", f"/guilds/{place.world.guild}"))[0] == 401


async def test_a_managed_roles_are_nobodys_to_give(stack: Stack, nodes: list[Node]) -> None:
    place = await make_place(stack, nodes[0])
    guild = place.world.guild
    role = Role(id=next_id(), name="bot", permissions=0, position=1, managed=True)
    async with store_of(stack) as store, redis_of(stack) as redis:
        change = await store.create_role(guild, role)
        change = await store.set_member(guild, place.carol.id, roles=[role.id])
        await barrier(redis, guild, change.version, 30)
    mine = f"/guilds/{guild}/members/{place.carol.id}"
    for node in nodes:
        async with node.rest(place.world.people[0]) as owner:
            for method, path, body in (
                ("DELETE", f"/guilds/{guild}/roles/{role.id}", None),
                ("DELETE", f"{mine}/roles/{role.id}", None),
                ("PATCH", mine, {"roles": []}),
                ("PATCH", mine, {"roles": [place.role]}),
                ("PUT", f"/guilds/{guild}/members/{place.world.people[0].id}/roles/{role.id}", None),
            ):
                assert await tries(owner, method, path, body) == (400, 50028), (method, path)
            assert await tries(owner, "PATCH", mine, {"roles": [str(role.id), place.role]}) == (200, 0)
            assert await tries(owner, "PATCH", mine, {"roles": [str(role.id)]}) == (200, 0)
            assert await tries(owner, "PATCH", f"/guilds/{guild}/roles/{role.id}", {"name": "r2"}) == (200, 0)


async def test_a3_a_deleted_role_that_hid_a_channel_shows_it(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    guild = place.world.guild
    await place.rest("DELETE", f"/channels/{place.secret}/permissions/{guild}")
    await place.rest("PUT", f"/guilds/{guild}/members/{place.carol.id}/roles/{place.role}")
    await place.overwrite(place.role, 0, deny=VIEW)
    live = [await online(node, place.carol) for node in nodes]
    sleeping = [await away(dial, nodes[0], place.carol.session()) for _ in nodes]
    await place.say("hidden", place.secret)
    await place.rest("DELETE", f"/guilds/{guild}/roles/{place.role}")
    await place.say("shown", place.secret)
    await place.say("end", place.open)
    for client in live:
        found = seen(await until_said(client, "end"))
        assert (found.count("CHANNEL_CREATE"), "hidden" in found, found[-2:]) == (1, False, ["shown", "end"])
    for node, session in zip(nodes, sleeping, strict=True):
        found = await come_back(dial, node, session)
        assert (found.count("CHANNEL_CREATE"), "hidden" in found, found[-2:]) == (1, False, ["shown", "end"])


async def test_a5_a_deleted_category_lets_its_channels_go_as_they_are(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial
) -> None:
    """The hidden ones stay hidden; who sees none of it is told nothing; what was in step stands alone."""
    place = await make_place(stack, nodes[0])
    guild = place.world.guild
    make, denied = f"/guilds/{guild}/channels", {"id": str(guild), "type": 0, "allow": "0", "deny": VIEW}
    category = await place.rest("POST", make, {"name": "c", "type": 4, "permission_overwrites": [denied]})
    synced = await place.rest("POST", make, {"name": "synced", "parent_id": category["id"]})
    open_ = await place.rest(
        "POST", make, {"name": "open", "parent_id": category["id"], "permission_overwrites": []}
    )
    live = [await online(node, place.carol) for node in nodes]
    sleeping = [await away(dial, nodes[0], place.carol.session()) for _ in nodes]
    async with nodes[1].rest(place.carol) as carol:
        assert await tries(carol, "DELETE", f"/channels/{category['id']}") == (403, 50001)
    await place.rest("DELETE", f"/channels/{category['id']}")
    for one, overwrites in ((synced, [denied]), (open_, [])):
        now = await place.rest("GET", f"/channels/{one['id']}")
        assert (now["parent_id"], now["permission_overwrites"]) == (None, overwrites)
    await place.say("secret", int(synced["id"]))
    await place.say("end", place.open)
    clients = [(client, False) for client in live]
    for node, session in zip(nodes, sleeping, strict=True):
        client = await dial(node, session)
        await client.ask_to_resume()
        clients.append((client, True))
    for client, _ in clients:
        events = await until_said(client, "end")
        told = [
            (event.t, event.d["id"], event.d.get("parent_id"))
            for event in events[:-1]
            if event.t != "RESUMED"
        ]
        assert told == [("CHANNEL_UPDATE", open_["id"], None)]


# Races


async def racing(
    stack: Stack,
    nodes: list[Node],
    online: Connect,
    bits: int,
    act: Callable[[Place, Any, int], Awaitable[tuple[int, int]]],
) -> tuple[list[Event], list[tuple[int, int]], int]:
    """Carol acts without end through the other node while her role's bits are taken.

    Returns what the owner saw, her answers, and how many of them were asked for after the taking was answered.
    """
    place = await make_place(stack, nodes[0])
    roles = f"/guilds/{place.world.guild}/roles"
    await place.rest("PATCH", f"{roles}/{place.role}", {"permissions": str(bits)})
    await place.rest("PUT", f"/guilds/{place.world.guild}/members/{place.carol.id}/roles/{place.role}")
    watching = await online(nodes[0], place.world.people[0])
    taken = asyncio.Event()
    answers: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []
    begun = asyncio.Event()

    async def loop(rest: Any, at: int) -> None:
        number = 0
        while len(late) < 40:
            after = taken.is_set()
            answer = await act(place, rest, at * 1000 + number)
            answers.append(answer)
            begun.set()
            number += 1
            if after:
                late.append(answer)

    async with nodes[1].rest(place.carol) as rest:
        tasks = [asyncio.create_task(loop(rest, at)) for at in range(4)]
        await begun.wait()
        await place.rest("PATCH", f"{roles}/{place.role}", {"permissions": "0"})
        taken.set()
        await asyncio.gather(*tasks)
    await place.say("end", place.open)
    events = await until_said(watching, "end")
    return events, late, sum(answer[0] == 200 for answer in answers)


def after_taking(events: list[Event]) -> list[str]:
    at = max(
        i
        for i, event in enumerate(events)
        if event.t == "GUILD_ROLE_UPDATE" and event.d["role"]["permissions"] == "0"
    )
    return [event.t for event in events[at + 1 :]]


async def test_a2_a_right_that_is_taken_changes_no_overwrite_after_it(
    stack: Stack, nodes: list[Node], online: Connect
) -> None:
    async def act(place: Place, rest: Any, number: int) -> tuple[int, int]:
        body = {"type": 0, "deny": str(number << 33)}
        return await tries(rest, "PUT", f"/channels/{place.open}/permissions/{place.role}", body)

    bits = int(P.ADMINISTRATOR)
    events, late, good = await racing(stack, nodes, online, bits, act)
    assert good
    assert {*late} == {(403, 50013)}
    assert "CHANNEL_UPDATE" not in after_taking(events)


async def test_a_right_to_say_that_is_taken_says_nothing_more(
    stack: Stack, nodes: list[Node], online: Connect
) -> None:
    async def act(place: Place, rest: Any, number: int) -> tuple[int, int]:
        return await tries(rest, "POST", f"/channels/{place.secret}/messages", {"content": str(number)})

    _, late, good = await racing(stack, nodes, online, int(P.ADMINISTRATOR), act)
    assert good
    print("LATE", late)
    assert {*late} == {(403, 50001)}
