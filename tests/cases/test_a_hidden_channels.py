"""What somebody may not see is not there: at the start, live, and however a client comes back after rights changed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from fanfare.permissions import P
from fanfare.presence.barrier import barrier
from tests.integration.conftest import Connect, Dial
from tests.stack import Stack
from tests.world import Node, Person, World, kill, make_world, nodes_of, redis_of, store_of, whole_again
from torture.client import Client, Event, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

VIEW, HISTORY = str(int(P.VIEW_CHANNEL)), str(int(P.READ_MESSAGE_HISTORY))
BACK_S = 30


@dataclass
class Place:
    """A guild with an open channel and one that only its owner sees, and a role that is there to open it."""

    stack: Stack
    world: World
    node: Node
    role: str = ""

    @property
    def open(self) -> int:
        return self.world.channels[0]

    @property
    def secret(self) -> int:
        return self.world.channels[1]

    @property
    def carol(self) -> Person:
        return self.world.people[1]

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        """Ask as the owner."""
        async with self.node.rest(self.world.people[0]) as rest:
            return await rest.request(method, path, body)

    async def say(self, content: str, channel: int) -> None:
        async with self.node.rest(self.world.people[0]) as rest:
            await rest.send(channel, content)

    async def overwrite(self, target: object, kind: int, allow: str = "0", deny: str = "0") -> None:
        body = {"type": kind, "allow": allow, "deny": deny}
        await self.rest("PUT", f"/channels/{self.secret}/permissions/{target}", body)

    async def give(self, user: int) -> None:
        """Make somebody the owner; no route does."""
        async with store_of(self.stack) as store, redis_of(self.stack) as redis:
            change = await store.update_guild(self.world.guild, owner_id=user)
            await barrier(redis, change.guild_id, change.version, BACK_S)


async def make_place(stack: Stack, node: Node) -> Place:
    world = await make_world(stack, people=2, channels=2)
    place = Place(stack, world, node)
    await place.overwrite(world.guild, 0, deny=VIEW)
    role = await place.rest("POST", f"/guilds/{world.guild}/roles", {"name": "key", "permissions": "0"})
    place.role = role["id"]
    return place


def told(events: list[Event], place: Place) -> list[str]:
    """What events say of the two channels; the change itself is not among it."""
    return [
        event.d["content"] if event.t == "MESSAGE_CREATE" else event.t
        for event in events
        if event.t == "MESSAGE_CREATE"
        or (event.t.startswith("CHANNEL") and event.d["id"] == str(place.secret))
    ]


async def until_said(client: Client, content: str) -> list[Event]:
    events = [await client.next()]
    while events[-1].d.get("content") != content:
        events.append(await client.next())
    return events


async def until_resumed(client: Client, content: str) -> list[Event]:
    """All but RESUMED up to this message; what the node had not read yet when the client came follows RESUMED."""
    events: list[Event] = []
    resumed = said = False
    while not (resumed and said):
        event = await client.next()
        resumed |= event.t == "RESUMED"
        said |= event.d.get("content") == content
        events += [event] if event.t != "RESUMED" else []
    return events


Change = Callable[[Place], Awaitable[None]]


async def key_role(place: Place) -> None:
    await place.overwrite(place.role, 0, allow=VIEW)


async def nothing(_: Place) -> None:
    """It needs no preparation."""


def role_of_member(method: str) -> Change:
    async def change(place: Place) -> None:
        await place.rest(method, f"/guilds/{place.world.guild}/members/{place.carol.id}/roles/{place.role}")

    return change


def permissions_of_role(bits: int) -> Change:
    async def change(place: Place) -> None:
        body = {"permissions": str(bits)}
        await place.rest("PATCH", f"/guilds/{place.world.guild}/roles/{place.role}", body)

    return change


async def show_to_member(place: Place) -> None:
    await place.overwrite(place.carol.id, 1, allow=VIEW)


async def hide_from_member(place: Place) -> None:
    await place.rest("DELETE", f"/channels/{place.secret}/permissions/{place.carol.id}")


async def show_to_all(place: Place) -> None:
    body = {"permission_overwrites": [], "topic": "for all"}
    await place.rest("PATCH", f"/channels/{place.secret}", body)


async def hide_from_all(place: Place) -> None:
    denied = {"id": str(place.world.guild), "type": 0, "allow": "0", "deny": VIEW}
    await place.rest(
        "PATCH", f"/channels/{place.secret}", {"permission_overwrites": [denied], "topic": "not for all"}
    )


async def delete_role(place: Place) -> None:
    await place.rest("DELETE", f"/guilds/{place.world.guild}/roles/{place.role}")


async def delete_channel(place: Place) -> None:
    await place.rest("DELETE", f"/channels/{place.secret}")


async def to_carol(place: Place) -> None:
    await place.give(place.carol.id)


async def to_alice(place: Place) -> None:
    await place.give(place.world.people[0].id)


async def for_another_owner(place: Place) -> None:
    await place.overwrite(place.world.people[0].id, 1, allow=VIEW)


# What is done first, what shows the channel, and what hides it.
WAYS: dict[str, tuple[Change, Change, Change]] = {
    "a member's role": (key_role, role_of_member("PUT"), role_of_member("DELETE")),
    "a member's overwrite": (nothing, show_to_member, hide_from_member),
    "everyone's overwrite": (nothing, show_to_all, hide_from_all),
    "a role's permissions": (
        role_of_member("PUT"),
        permissions_of_role(int(P.ADMINISTRATOR)),
        permissions_of_role(0),
    ),
    "a deleted role": (key_role, role_of_member("PUT"), delete_role),
    "a deleted channel": (nothing, show_to_member, delete_channel),
    "the owner": (for_another_owner, to_carol, to_alice),
}
SEEN = ["CHANNEL_CREATE", "shown", "CHANNEL_DELETE", "end"]


async def play(place: Place, way: str, watching: Sequence[Client] = ()) -> None:
    """Hidden, shown, hidden again; each time something is said there.

    Messages and changes come by two topics: what was said has to be everywhere before the change, or it may come after.
    """
    _, show, hide = WAYS[way]
    await place.say("hidden", place.secret)
    for client in watching:
        await until_said(client, "hidden")
    await show(place)
    await place.say("shown", place.secret)
    await hide(place)
    if hide is not delete_channel:
        await place.say("hidden again", place.secret)
    await place.say("end", place.open)


async def away(dial: Dial, node: Node, session: Session) -> Session:
    client = await dial(node, session)
    await client.start()
    await client.cut()
    return session


async def back(dial: Dial, node: Node, session: Session, place: Place) -> list[str]:
    client = await dial(node, session)
    await client.ask_to_resume()
    seen = told(await until_resumed(client, "end"), place)
    await client.close()
    return seen


@pytest.mark.parametrize("way", WAYS)
async def test_a3_shown_and_hidden_at_the_change_on_every_way(
    stack: Stack, nodes: list[Node], online: Connect, dial: Dial, way: str
) -> None:
    place = await make_place(stack, nodes[0])
    await WAYS[way][0](place)
    live = [await online(node, place.carol) for node in nodes]
    ring, other, stream = [await away(dial, nodes[0], place.carol.session()) for _ in range(3)]
    began = stream.seq
    async with await Client.connect(nodes[1].gateway, stream) as client:
        await client.resume()
        await client.cut()
    stream.seq = began

    await play(place, way, [await online(node, place.world.people[0]) for node in nodes])
    for client in live:
        assert told(await until_said(client, "end"), place) == SEEN
    assert await back(dial, nodes[0], ring, place) == SEEN
    assert await back(dial, nodes[1], other, place) == SEEN
    assert await back(dial, nodes[1], stream, place) == SEEN


async def test_a3_a_hidden_channel_is_in_nothing_that_a_member_gets(
    stack: Stack, nodes: list[Node], dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    for node in nodes:
        client = await dial(node, place.carol.session())
        started = await client.start()
        [created] = [event for event in started if event.t == "GUILD_CREATE"]
        assert [channel["id"] for channel in created.d["channels"]] == [str(place.open)]
        async with node.rest(place.carol) as rest:
            listed = await rest.request("GET", f"/guilds/{place.world.guild}/channels")
        assert [channel["id"] for channel in listed] == [str(place.open)]
        await place.rest("PATCH", f"/channels/{place.secret}", {"topic": f"secret {node.name}"})
        await place.say("secret", place.secret)
        await place.rest("POST", f"/channels/{place.secret}/typing")
        await place.say("end", place.open)
        events = await until_said(client, "end")
        assert [event.t for event in events] == ["MESSAGE_CREATE"]


async def test_a3_a_category_hides_with_its_children_one_by_one(
    stack: Stack, nodes: list[Node], online: Connect
) -> None:
    """A category is a channel: its own overwrites show and hide it, and a child's the child."""
    place = await make_place(stack, nodes[0])
    guild = place.world.guild
    client = await online(nodes[1], place.carol)
    category = await place.rest("POST", f"/guilds/{guild}/channels", {"name": "c", "type": 4})
    denied = {"id": str(guild), "type": 0, "allow": "0", "deny": VIEW}
    child = {"name": "child", "parent_id": category["id"], "permission_overwrites": [denied]}
    child = await place.rest("POST", f"/guilds/{guild}/channels", child)
    for one in (category, child):
        await place.rest("PATCH", f"/channels/{one['id']}", {"permission_overwrites": [denied]})
    for one in (category, child):
        await place.rest("PATCH", f"/channels/{one['id']}", {"permission_overwrites": []})
    await place.say("end", place.open)
    events = [event for event in await until_said(client, "end") if event.t.startswith("CHANNEL")]
    [first, second] = [
        [event.t for event in events if event.d["id"] == one["id"]] for one in (category, child)
    ]
    assert first == ["CHANNEL_CREATE", "CHANNEL_DELETE", "CHANNEL_CREATE"]
    assert second[-1] == "CHANNEL_CREATE"
    assert second in (["CHANNEL_CREATE"], ["CHANNEL_CREATE", "CHANNEL_DELETE", "CHANNEL_CREATE"])


async def test_a8_shown_without_history_while_away_and_back_on_the_other_node(
    stack: Stack, nodes: list[Node], dial: Dial
) -> None:
    """The other node knows the guild only as it is when the client comes."""
    place = await make_place(stack, nodes[0])
    session = await away(dial, nodes[0], place.carol.session())
    await place.say("hidden", place.secret)
    await place.overwrite(place.carol.id, 1, allow=VIEW, deny=HISTORY)
    await place.say("end", place.open)
    assert await back(dial, nodes[1], session, place) == ["CHANNEL_CREATE", "end"]


async def test_a8_hidden_while_away_and_what_was_said_before_is_not_lost(
    stack: Stack, nodes: list[Node], dial: Dial
) -> None:
    place = await make_place(stack, nodes[0])
    await place.overwrite(place.carol.id, 1, allow=VIEW)
    session = await away(dial, nodes[0], place.carol.session())
    await place.say("shown", place.secret)
    await hide_from_member(place)
    await place.say("hidden", place.secret)
    await place.say("end", place.open)
    assert await back(dial, nodes[1], session, place) == ["shown", "CHANNEL_DELETE", "end"]


async def test_a8_rights_change_around_the_death_of_a_node(stack: Stack, dial: Dial) -> None:
    nodes = await nodes_of(stack)
    place = await make_place(stack, nodes[0])
    await key_role(place)
    sessions = [place.carol.session() for _ in range(3)]
    clients = [await dial(nodes[1], session) for session in sessions]
    for client in clients:
        await client.start()
    await place.say("hidden", place.secret)
    await kill(stack, "gateway.2")
    await role_of_member("PUT")(place)
    await place.say("shown", place.secret)
    await delete_role(place)
    await place.say("hidden again", place.secret)
    await place.say("end", place.open)
    for client in clients:
        await client.cut()
    seen = await asyncio.gather(*(back(dial, nodes[0], session, place) for session in sessions))
    assert seen == [SEEN] * 3
    await whole_again(stack)
