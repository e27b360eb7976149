"""Statuses and voice states on real nodes: who is told, what who comes later is shown, and what a kill does."""

from typing import Any

import pytest

from fanfare.permissions import P
from fanfare.presence import keys
from tests.integration.conftest import Connect, Dial
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import Node, Person, World, kill, make_world, nodes_of, redis_of, whole_again
from torture.client import CALM_INTENTS, PRESENCES, Client, Op, Rest, RestError, Session

pytestmark = pytest.mark.system

CURIOUS = CALM_INTENTS | PRESENCES


def curious(person: Person) -> Session:
    return person.session(intents=CURIOUS)


async def status_of(client: Client, person: Person, wanted: str) -> dict[str, Any]:
    """The next status of somebody that is as wanted."""
    while True:
        event = await client.until("PRESENCE_UPDATE")
        if event.d["user"]["id"] == str(person.id) and event.d["status"] == wanted:
            return event.d


async def shown(node: Node, session: Session) -> dict[str, Any]:
    """The GUILD_CREATE of a client that begins now."""
    async with await Client.connect(node.gateway, session) as client:
        return (await client.start())[-1].d


async def test_a_status_is_told_and_shown_on_all_nodes(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_world(stack, people=3)
    alice, bob, carol = world.people
    watcher = await online(nodes[0], curious(bob))
    client = await online(nodes[1], alice)
    told = await status_of(watcher, alice, "online")
    assert told == {
        "user": {"id": str(alice.id)},
        "guild_id": str(world.guild),
        "status": "online",
        "activities": [],
        "client_status": {"web": "online"},
    }
    game = {"name": "chess", "type": 0, "created_at": 5}
    await client.write(
        Op.PRESENCE_UPDATE,
        {"since": None, "afk": False, "status": "dnd", "activities": [game, {"no": "name"}]},
    )
    told = await status_of(watcher, alice, "dnd")
    assert told["activities"] == [game]
    for node in nodes:
        seen = {each["user"]["id"]: each for each in (await shown(node, curious(carol)))["presences"]}
        assert seen[str(alice.id)]["status"] == "dnd"
        assert seen[str(bob.id)]["status"] == "online"
        assert (await shown(node, carol.session()))["presences"] == []
    ask = {"guild_id": str(world.guild), "user_ids": [str(alice.id)], "presences": True}
    await watcher.write(Op.REQUEST_GUILD_MEMBERS, ask)
    chunk = (await watcher.until("GUILD_MEMBERS_CHUNK")).d
    assert [each["status"] for each in chunk["presences"]] == ["dnd"]


async def test_where_only_voice_states_are_wanted_nobody_is_told_of_statuses(
    nodes: list[Node], stack: Stack, online: Connect
):
    world = await make_world(stack, people=3)
    alice, bob, carol = world.people

    async def watched() -> bool:
        async with redis_of(stack) as redis:
            return bool(await redis.exists(keys.status_watched(world.guild)))

    await online(nodes[0], alice)  # with the intent for voice states, without the one for statuses
    assert not await watched()
    # The first who wants statuses is shown those who came before, and told of those who come later.
    watcher = await online(nodes[0], curious(bob))
    assert await watched()

    async def alice_is_shown() -> bool:
        presences = (await shown(nodes[0], curious(bob)))["presences"]
        return str(alice.id) in {each["user"]["id"] for each in presences}

    await eventually(alice_is_shown)
    await online(nodes[1], carol)
    await status_of(watcher, carol, "online")


async def test_the_sessions_of_a_user_count_together(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_world(stack, people=2)
    alice, bob = world.people
    watcher = await online(nodes[0], curious(bob))
    one = await online(nodes[0], alice)
    other = await online(nodes[1], alice)
    await one.write(Op.PRESENCE_UPDATE, {"status": "idle", "activities": []})
    await other.write(Op.PRESENCE_UPDATE, {"status": "dnd", "activities": []})
    await status_of(watcher, alice, "dnd")
    await other.close()
    await status_of(watcher, alice, "idle")
    await one.write(Op.PRESENCE_UPDATE, {"status": "invisible"})
    told = await status_of(watcher, alice, "offline")
    assert (told["activities"], told["client_status"]) == ([], {})
    assert (await shown(nodes[1], curious(bob)))["presences"][0]["user"]["id"] == str(bob.id)


async def test_a_client_that_resumes_elsewhere_keeps_its_status(dial: Dial, stack: Stack, online: Connect):
    nodes, world = await nodes_of(stack), await make_world(stack, people=2)
    alice, bob = world.people
    watcher = await online(nodes[0], curious(bob))
    client = await dial(nodes[1], alice.session())
    await client.identify(presence={"status": "dnd", "activities": [], "since": None, "afk": False})
    await client.until("GUILD_CREATE")
    await status_of(watcher, alice, "dnd")
    await kill(stack, "gateway.2")
    await client.cut()
    again = await dial(nodes[0], client.session)
    await again.resume()

    async def only_the_living() -> bool:
        async with redis_of(stack) as redis:
            noted = await redis.hgetall(keys.status_user(alice.id))
            alive = [await redis.exists(keys.lease(node.decode())) for node in noted]
        return alive == [1] and next(iter(noted.values())).startswith(b"3")

    await eventually(only_the_living)
    [status] = [
        each
        for each in (await shown(nodes[0], curious(bob)))["presences"]
        if each["user"]["id"] == str(alice.id)
    ]
    assert status["status"] == "dnd"
    await whole_again(stack)


async def test_users_of_a_node_that_is_killed_are_gone(dial: Dial, stack: Stack, online: Connect):
    nodes, world = await nodes_of(stack), await make_voice_world(stack)
    alice, bob, _ = world.people
    watcher = await online(nodes[0], curious(bob))
    client = await dial(nodes[1], alice.session())
    await client.start()
    await status_of(watcher, alice, "online")
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, world.channels[1]))
    await watcher.until("VOICE_STATE_UPDATE")
    await kill(stack, "gateway.2")
    await client.cut()
    assert await _left(watcher) == {str(alice.id)}
    await whole_again(stack)


async def _left(watcher: Client) -> set[str]:
    """Who is told to be offline and in no voice channel any more."""
    offline, silent = set[str](), set[str]()
    while not offline & silent:
        event = await watcher.next()
        if event.t == "PRESENCE_UPDATE" and event.d["status"] == "offline":
            offline.add(event.d["user"]["id"])
        if event.t == "VOICE_STATE_UPDATE" and event.d["channel_id"] is None:
            silent.add(event.d["user_id"])
    return offline & silent


async def make_voice_world(stack: Stack) -> World:
    """A guild with a text channel, a voice channel and one that only its owner sees."""
    world = await make_world(stack, people=3)
    hidden = [{"id": str(world.guild), "type": 0, "allow": "0", "deny": str(int(P.VIEW_CHANNEL))}]
    async with (await nodes_of(stack))[0].rest(world.people[0]) as rest:
        path = f"/guilds/{world.guild}/channels"
        made = [
            await rest.request("POST", path, {"name": "talk", "type": 2, "permission_overwrites": overwrites})
            for overwrites in ([], hidden)
        ]
    return World(world.guild, [*world.channels, *(int(one["id"]) for one in made)], world.people)


def voice(world: World, channel: int | None, **fields: bool) -> dict[str, Any]:
    """The `d` of op 4."""
    wish = {"guild_id": str(world.guild), "channel_id": str(channel) if channel else None}
    return wish | {"self_mute": False, "self_deaf": False} | fields


async def test_who_is_in_a_voice_channel_is_told_and_shown(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_voice_world(stack)
    owner, bob, carol = world.people
    _, talk, hidden = world.channels
    watcher, client = await online(nodes[0], bob), await online(nodes[1], owner)
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, talk, self_mute=True))
    server = (await client.until("VOICE_SERVER_UPDATE")).d
    assert server["guild_id"] == str(world.guild)
    assert server["endpoint"].endswith(".invalid:443")
    state = (await watcher.until("VOICE_STATE_UPDATE")).d
    assert (state["user_id"], state["channel_id"], state["self_mute"]) == (str(owner.id), str(talk), True)
    assert state["member"]["user"]["id"] == str(owner.id)
    assert state["session_id"] not in {client.session.id, ""}
    for node in nodes:
        [seen] = (await shown(node, carol.session()))["voice_states"]
        assert (seen["user_id"], seen["channel_id"]) == (str(owner.id), str(talk))
    # Where the channel is not there for somebody, neither is who is in it.
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, hidden))
    state = (await watcher.until("VOICE_STATE_UPDATE")).d
    assert (state["user_id"], state["channel_id"]) == (str(owner.id), None)
    for node in nodes:
        assert (await shown(node, carol.session()))["voice_states"] == []
        [seen] = (await shown(node, owner.session()))["voice_states"]
        assert seen["channel_id"] == str(hidden)
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, talk))
    await watcher.until("VOICE_STATE_UPDATE")
    await client.close()
    state = (await watcher.until("VOICE_STATE_UPDATE")).d
    assert (state["user_id"], state["channel_id"]) == (str(owner.id), None)


@pytest.mark.parametrize(
    "d",
    [
        None,
        [],
        {"guild_id": "x"},
        {"guild_id": "1", "channel_id": "1"},
        {"guild_id": "OWN", "channel_id": "TEXT"},
        {"guild_id": "OWN", "channel_id": "HIDDEN"},
        {"guild_id": "OWN", "channel_id": {}},
    ],
)
async def test_a_voice_channel_that_one_may_not_be_in(
    nodes: list[Node], stack: Stack, online: Connect, d: Any
):
    world = await make_voice_world(stack)
    names = {"OWN": world.guild, "TEXT": world.channels[0], "HIDDEN": world.channels[2]}
    if isinstance(d, dict):
        d = {
            key: str(names.get(value, value)) if isinstance(value, str) else value for key, value in d.items()
        }
    client = await online(nodes[0], world.people[1])
    await client.write(Op.VOICE_STATE_UPDATE, d)
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, world.channels[1]))
    state = await client.until("VOICE_STATE_UPDATE")
    assert state.d["channel_id"] == str(world.channels[1])


async def test_nobody_is_in_a_channel_that_is_gone(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_voice_world(stack)
    client = await online(nodes[0], world.people[1])
    await client.write(Op.VOICE_STATE_UPDATE, voice(world, world.channels[1]))
    await client.until("VOICE_STATE_UPDATE")
    async with nodes[1].rest(world.people[0]) as rest:
        await rest.request("DELETE", f"/channels/{world.channels[1]}")
    await client.until("CHANNEL_DELETE")
    assert (await shown(nodes[1], world.people[2].session()))["voice_states"] == []


async def test_a_moderator_moves_somebody_to_another_voice_channel(
    nodes: list[Node], stack: Stack, online: Connect
):
    world = await make_voice_world(stack)
    owner, bob, carol = world.people
    _, talk, hidden = world.channels
    client, watcher = await online(nodes[0], bob), await online(nodes[1], carol)
    member = f"/guilds/{world.guild}/members/{bob.id}"
    states = f"/guilds/{world.guild}/voice-states"
    async with nodes[1].rest(owner) as rest, nodes[0].rest(carol) as hers:
        assert await refused(rest, member, {"channel_id": str(talk)}) == (400, 40032)
        await client.write(Op.VOICE_STATE_UPDATE, voice(world, talk, self_deaf=True))
        await client.until("VOICE_STATE_UPDATE")
        assert (await hers.request("GET", f"{states}/{bob.id}"))["channel_id"] == str(talk)
        assert await refused(hers, member, {"channel_id": None}) == (403, 50013)
        assert await refused(rest, member, {"channel_id": str(world.channels[0])}) == (400, 50035)
        await rest.request("PATCH", member, {"channel_id": str(hidden)})
        # Who does not see the channel sees somebody leave, and the state is as it was otherwise.
        state = (await watcher.until("VOICE_STATE_UPDATE", channel_id=None)).d
        assert state["user_id"] == str(bob.id)
        mine = await rest.request("GET", f"{states}/{bob.id}")
        assert (mine["channel_id"], mine["self_deaf"]) == (str(hidden), True)
        with pytest.raises(RestError) as unseen:
            await hers.request("GET", f"{states}/{bob.id}")
        assert unseen.value.code == 10065
        await rest.request("PATCH", member, {"channel_id": str(talk)})
        await client.until("VOICE_STATE_UPDATE", channel_id=str(talk))
        await rest.request("PATCH", member, {"channel_id": None})
        await client.until("VOICE_STATE_UPDATE", channel_id=None)
        assert (await shown(nodes[0], carol.session()))["voice_states"] == []


async def refused(rest: Rest, path: str, body: dict[str, Any]) -> tuple[int, int]:
    with pytest.raises(RestError) as error:
        await rest.request("PATCH", path, body)
    return error.value.status, error.value.code
