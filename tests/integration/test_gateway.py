"""The gateway protocol on real nodes: what docs/clients.md promises, from outside."""

import asyncio
import os
import signal

import pytest
from websockets.asyncio.client import connect

from fanfare.presence import keys
from tests.integration.store_fixtures import eventually
from tests.world import make_people, make_world, next_id, processes_of, redis_of, store_of
from torture.client import (
    Client,
    Compression,
    InvalidSessionError,
    Op,
    RestError,
    SendError,
    Session,
)

pytestmark = pytest.mark.system


# Frames. That each has all four keys, its compression and its `s` are checked by the client for every frame.


@pytest.mark.parametrize("compress", list(Compression))
async def test_every_kind_of_frame_in_every_transport(nodes, world, online, compress):
    alice, bob, _ = world.people
    client = await online(nodes[0], alice, compress)
    await client.heartbeat()
    sent = await client.send(world.channels[0], "grüße 🎺")
    async with nodes[1].rest(bob) as rest:
        told = await rest.send(world.channels[0], "from the other node")
    seen = [await client.until("MESSAGE_CREATE"), await client.until("MESSAGE_CREATE")]
    assert [event.d["id"] for event in seen] == [sent["id"], told["id"]]
    assert [event.d["content"] for event in seen] == ["grüße 🎺", "from the other node"]
    assert client.acknowledged == 1
    await client.cut()
    again = await Client.connect(nodes[0].gateway, client.session, compress=compress)
    async with again:
        assert await again.resume() == []


@pytest.mark.parametrize("binary", [False, True])
async def test_json_may_come_as_text_and_as_binary(nodes, world, binary):
    session = world.people[0].session()
    frame = (
        f'{{"op":2,"d":{{"token":"{session.token}","intents":512,"properties":{{}},"compress":true,'
        '"presence":{"status":"offline","activities":null,"game":null,"since":null,"afk":false}}}'
    )
    async with await Client.connect(nodes[0].gateway, session) as client:
        client._starting = True
        await client.write_raw(frame.encode() if binary else frame)
        assert (await client.next()).t == "READY"


async def test_a_message_may_come_in_fragments(nodes, world, online):
    client = await online(nodes[0], world.people[0])
    client._beaten += 1
    await client._socket.send(['{"op":', "1,", '"d":null}'])
    sent = await client.send(world.channels[0], "after the fragments")
    assert (await client.until("MESSAGE_CREATE")).d["id"] == sent["id"]
    assert client.acknowledged == 1


async def test_permessage_deflate_is_declined(nodes):
    async with connect(nodes[0].gateway, compression="deflate", proxy=None) as socket:
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert '"op":10' in str(await socket.recv())


@pytest.mark.parametrize("query", ["", "?v=10", "?v=9&encoding=json", "?v=10&encoding=json&compress=unknown"])
async def test_a_missing_query_means_version_10_in_plain_json(nodes, query):
    async with connect(nodes[0].gateway + query, compression=None, proxy=None) as socket:
        assert isinstance(await socket.recv(), str)


async def test_a_heartbeat_is_acknowledged_before_identify(nodes, world):
    async with await Client.connect(nodes[0].gateway, world.people[0].session()) as client:
        await client.heartbeat()
        await client.start()
        assert client.acknowledged == 1


@pytest.mark.parametrize("prefix", ["", "Bot "])
async def test_the_token_with_and_without_its_prefix(nodes, world, online, prefix):
    alice = world.people[0]
    client = await online(nodes[0], Session(prefix + alice.token))
    assert client.session.ready["user"]["id"] == str(alice.id)
    await client.cut()
    async with await Client.connect(nodes[1].gateway, client.session) as again:
        await again.resume()


async def test_ready_is_whole(nodes, world, stack):
    async with await Client.connect(nodes[0].gateway, world.people[0].session()) as client:
        events = await client.start()
        ready = events[0]
        assert ready.s == 1
        assert ready.d["guilds"] == [{"id": str(world.guild), "unavailable": True}]
        assert ready.d["resume_gateway_url"] == stack.run["gateway"]
        guild = events[-1].d
        assert events[-1].s > 1
        assert [channel["id"] for channel in guild["channels"]] == [str(c) for c in world.channels]
        assert {member["user"]["id"] for member in guild["members"]} == {str(p.id) for p in world.people}
        assert guild["member_count"] == len(guild["members"])
        assert (guild["large"], guild["unavailable"]) == (False, False)


# Close codes


async def closed_after(node, session: Session, *frames: tuple[int, object], start: bool = False) -> int:
    """The close code that the frames lead to."""
    async with await Client.connect(node.gateway, session) as client:
        if start:
            await client.start()
        for op, d in frames:
            if isinstance(d, str | bytes) and op < 0:
                await client.write_raw(d)
            else:
                await client.write(op, d)
        return (await client.closed()).code


RAW = -1


@pytest.mark.parametrize(
    ("code", "frame"),
    [
        (4001, (5, None)),
        (4002, (RAW, "{")),
        (4002, (RAW, "[]")),
        (4002, (RAW, '{"d":null}')),
        (4002, (RAW, b"\xff\xfe")),
        (4002, (3, {"status": "x" * 4096})),
        (4002, (RAW, '{"op":8,"d":{"guild_id":[]}}')),
        (4005, (2, {"token": "x", "intents": 0})),
        (4005, (6, {"token": "x", "session_id": "x", "seq": 2})),
    ],
)
async def test_close_codes_of_a_started_session(nodes, world, code, frame):
    assert await closed_after(nodes[0], world.people[0].session(), frame, start=True) == code


@pytest.mark.parametrize("op", [3, 4, 8, 128])
async def test_nothing_goes_before_identify(nodes, world, op):
    frame = (op, {"guild_id": "1", "query": "", "channel_id": "1", "content": "x", "nonce": "x"})
    assert await closed_after(nodes[0], world.people[0].session(), frame) == 4003


async def test_a_wrong_token(nodes, world):
    alice = world.people[0]
    mine, _, signature = alice.token.rpartition(".")
    forged = f"{mine}.{signature[::-1]}"
    assert await closed_after(nodes[0], alice.session(), (2, {"token": "x", "intents": 0})) == 4004
    assert await closed_after(nodes[0], alice.session(), (2, {"token": forged, "intents": 0})) == 4004
    resume = {"token": forged, "session_id": "x", "seq": 2}
    assert await closed_after(nodes[0], alice.session(), (6, resume)) == 4004


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (4013, {"intents": -1}),
        (4013, {"intents": "all"}),
        (4010, {"shard": [1, 1]}),
        (4010, {"shard": [0]}),
    ],
)
async def test_an_identify_that_cannot_be_used(nodes, world, code, fields):
    alice = world.people[0]
    d = {"token": alice.token, "intents": 0} | fields
    assert await closed_after(nodes[0], alice.session(), (2, d)) == code


@pytest.mark.parametrize("query", ["?v=8&encoding=json", "?v=10&encoding=etf"])
async def test_versions_and_encodings_that_are_not_spoken(nodes, query):
    async with connect(nodes[0].gateway + query, compression=None, proxy=None) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4012


async def test_the_121st_frame_of_a_minute_closes(nodes, world, online):
    client = await online(nodes[0], world.people[0])
    for _ in range(119):  # IDENTIFY was the first
        await client.heartbeat()
    await client.send(world.channels[0], "ops from 128 up are not counted")
    assert client.acknowledged == 119
    await client.heartbeat()
    assert (await client.closed()).code == 4008


async def test_4096_bytes_are_allowed_and_65536_to_own_ops(nodes, world, online):
    client = await online(nodes[0], world.people[0])
    longest = '{"op":1,"d":null}'.ljust(4096)
    client._beaten += 1
    await client.write_raw(longest)
    content = "€" * 2000  # 6000 bytes
    sent = await client.send(world.channels[0], content)
    event = await client.until("MESSAGE_CREATE")
    assert (event.d["id"], event.d["content"]) == (sent["id"], content)
    assert client.acknowledged == 1
    await client.write_raw('{"op":128,"d":{}}'.ljust(65_537))
    assert (await client.closed()).code in {1009, 4002}


# Members


async def test_members_come_in_chunks(nodes, stack, online):
    world = await make_world(stack, people=5)
    client = await online(nodes[0], world.people[0])
    everybody = {str(person.id) for person in world.people}

    async def ask(**fields) -> dict:
        await client.write(Op.REQUEST_GUILD_MEMBERS, {"guild_id": str(world.guild)} | fields)
        return (await client.until("GUILD_MEMBERS_CHUNK")).d

    found = await ask(query="", limit=0, nonce="a./=")
    assert {member["user"]["id"] for member in found["members"]} == everybody
    assert (found["chunk_index"], found["chunk_count"], found["nonce"]) == (0, 1, "a./=")
    found = await ask(query="", limit=2)
    assert len(found["members"]) == 2
    stranger = next_id()
    found = await ask(user_ids=[str(world.people[1].id), str(stranger)])
    assert [member["user"]["id"] for member in found["members"]] == [str(world.people[1].id)]
    assert found["not_found"] == [str(stranger)]
    found = await ask(guild_id=[world.guild], query=world.people[2].name, limit=5, presences=256)
    assert [member["user"]["id"] for member in found["members"]] == [str(world.people[2].id)]
    assert found["presences"] == []
    found = await ask(guild_id=str(next_id()), query="", limit=0)
    assert (found["members"], found["chunk_count"]) == ([], 1)


# Publishing over the socket


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (10003, {"channel_id": "1"}),
        (50035, {"channel_id": "x"}),
        (50006, {"content": ""}),
        (50035, {"content": "x" * 2001}),
        (50035, {"nonce": "x" * 26}),
    ],
)
async def test_a_send_that_cannot_be(nodes, world, online, code, fields):
    client = await online(nodes[0], world.people[0])
    wanted = {"content": "x", "nonce": "n"} | fields
    with pytest.raises(SendError) as refused:
        await client.send(world.channels[0], wanted.pop("content"), wanted.pop("nonce"), **wanted)
    assert refused.value.code == code
    await client.send(world.channels[0], "the connection is as good as before")


async def test_a_send_to_somebody_elses_channel(nodes, world, stack, online):
    stranger = (await make_people(stack, 1))[0]
    client = await online(nodes[0], stranger)
    with pytest.raises(SendError) as refused:
        await client.send(world.channels[0], "x")
    assert refused.value.code == 50001


async def test_the_same_nonce_is_the_same_message_everywhere(nodes, world, online):
    alice, bob, _ = world.people
    channel = world.channels[0]
    seen = await online(nodes[1], bob)
    first, second = await online(nodes[0], alice), await online(nodes[1], alice)
    ids = {(await first.send(channel, "once", "same"))["id"]}
    ids.add((await first.send(channel, "once", "same"))["id"])
    ids.add((await second.send(channel, "once", "same"))["id"])
    for node in nodes:
        async with node.rest(alice) as rest:
            ids.add((await rest.send(channel, "once", "same"))["id"])
    other = await online(nodes[0], bob)
    ids_of_bob = (await other.send(channel, "a nonce is its user's own", "same"))["id"]
    assert len(ids) == 1
    assert [(await seen.until("MESSAGE_CREATE")).d["id"] for _ in range(2)] == [*ids, ids_of_bob]


async def test_the_same_nonce_while_the_first_try_is_under_way(nodes, world, stack, online):
    """Kafka is stopped, so that the first try hangs while the second one comes through the other gateway."""
    alice, bob, _ = world.people
    channel = world.channels[0]
    seen = await online(nodes[0], bob)
    socket = await online(nodes[1], alice)
    kafka = [entry["pid"] for entry in await processes_of(stack) if entry["role"] == "kafka"]

    async with nodes[0].rest(alice) as rest, redis_of(stack) as redis:

        async def claimed() -> bool:
            return bool(await redis.exists(keys.nonce(alice.id, channel, "under way")))

        await rest.send(channel, "all is warm")
        await socket.send(channel, "here too")
        for pid in kafka:
            os.kill(pid, signal.SIGSTOP)
        try:
            first = asyncio.create_task(rest.send(channel, "once", "under way"))
            await eventually(claimed)
            second = asyncio.create_task(socket.send(channel, "once", "under way"))
            await socket.heartbeat()
            await eventually(lambda: _acknowledged(socket))
            assert not first.done()
            assert not second.done()
        finally:
            for pid in kafka:
                os.kill(pid, signal.SIGCONT)
        assert (await first)["id"] == (await second)["id"]
        last = await rest.send(channel, "the end")
    contents = []
    while (event := await seen.until("MESSAGE_CREATE")).d["id"] != last["id"]:
        contents.append(event.d["content"])
    assert contents == ["all is warm", "here too", "once"]


async def _acknowledged(client: Client) -> bool:
    return client.acknowledged > 0


async def test_many_at_once_with_the_same_nonces(nodes, world, online):
    alice, bob, _ = world.people
    channel = world.channels[0]
    seen = await online(nodes[1], bob)
    sockets = [await online(node, alice) for node in nodes]
    async with nodes[0].rest(alice) as one, nodes[1].rest(alice) as other:
        for number in range(20):
            nonce = f"n{number}"
            answers = await asyncio.gather(
                *(socket.send(channel, nonce, nonce) for socket in sockets),
                *(rest.send(channel, nonce, nonce) for rest in (one, other)),
            )
            assert len({answer["id"] for answer in answers}) == 1
    assert [(await seen.until("MESSAGE_CREATE")).d["content"] for _ in range(20)] == [
        f"n{number}" for number in range(20)
    ]


# Who gets what


async def test_content_is_for_those_who_asked_for_it(nodes, world, online):
    alice, bob, carol = world.people
    channel = world.channels[0]
    without = 1 | 1 << 9
    blind, mentioned, full = (
        await online(nodes[0], Session(carol.token, intents=without)),
        await online(nodes[1], Session(bob.token, intents=without)),
        await online(nodes[0], Session(carol.token, intents=without | 1 << 15)),
    )
    async with nodes[0].rest(alice) as rest:
        await rest.send(channel, f"for <@{bob.id}>")
    contents = [(await client.until("MESSAGE_CREATE")).d["content"] for client in (blind, mentioned, full)]
    assert contents == ["", f"for <@{bob.id}>", f"for <@{bob.id}>"]
    await blind.send(channel, "my own")
    assert (await blind.until("MESSAGE_CREATE")).d["content"] == "my own"


async def test_direct_messages_reach_both_and_nobody_else(nodes, world, online):
    alice, bob, carol = world.people
    clients = {person: await online(nodes[at % 2], person) for at, person in enumerate(world.people)}
    async with nodes[0].rest(alice) as rest:
        direct = await rest.request("POST", "/users/@me/channels", {"recipient_id": str(bob.id)})
        again = await rest.request("POST", "/users/@me/channels", {"recipient_id": bob.id})
        assert again["id"] == direct["id"]
    async with nodes[1].rest(bob) as rest:
        await rest.send(direct["id"], "psst")
        async with nodes[1].rest(carol) as stranger:
            with pytest.raises(RestError) as refused:
                await stranger.messages(direct["id"])
        assert refused.value.status == 403
        await rest.send(world.channels[0], "for all")
    # Two channels have no order between them.
    for person, expected in ((alice, {"psst", "for all"}), (bob, {"psst", "for all"}), (carol, {"for all"})):
        contents = set()
        while contents < expected:
            event = await clients[person].until("MESSAGE_CREATE")
            assert ("guild_id" in event.d) == (event.d["content"] == "for all")
            contents.add(event.d["content"])
        assert contents == expected


async def test_a_revoked_right_stops_the_next_message_on_all_nodes(nodes, stack, online):
    world = await make_world(stack, people=3)
    owner, bob, carol = world.people
    (secret,) = world.channels
    watchers = [await online(nodes[0], bob), await online(nodes[1], bob), await online(nodes[1], carol)]
    view = str(1 << 10)
    async with nodes[0].rest(owner) as rest:
        await rest.send(secret, "1")
        path = f"/channels/{secret}/permissions/{bob.id}"
        await rest.request("PUT", path, {"type": 1, "allow": "0", "deny": view})
        await rest.send(secret, "2")
        await rest.request("DELETE", path)
        await rest.send(secret, "3")
    for watcher, expected in zip(watchers, (["1", "3"], ["1", "3"], ["1", "2", "3"]), strict=True):
        contents = []
        while "3" not in contents:
            contents.append((await watcher.until("MESSAGE_CREATE")).d["content"])
        assert contents == expected


async def test_a_new_channel_and_a_new_member_are_known_before_their_first_message(nodes, stack, online):
    world = await make_world(stack, people=3)
    owner, _, carol = world.people
    late = (await make_people(stack, 1))[0]
    clients = [await online(nodes[1], carol), await online(nodes[0], late), await online(nodes[1], late)]
    async with store_of(stack) as store:
        user = await store.user(late.id)
        assert user is not None
        await store.add_member(world.guild, user)
    async with nodes[0].rest(owner) as rest:
        # This change answers when it and everything before it stands in every inbox.
        made = await rest.request("POST", f"/guilds/{world.guild}/channels", {"name": "new", "type": 0})
        sent = await rest.send(made["id"], "first")
    names = []
    while (event := await clients[0].next()).t != "MESSAGE_CREATE":
        names.append(event.t)
    assert names == ["GUILD_MEMBER_ADD", "CHANNEL_CREATE"]
    for client in clients[1:]:
        event = await client.until("GUILD_CREATE")
        assert event.d["id"] == str(world.guild)
        assert "unavailable" not in event.d  # discord.py and hikari tell joining by that
        assert (await client.until("MESSAGE_CREATE")).d["id"] == sent["id"]


async def test_edits_deletions_and_typing_arrive(nodes, world, online):
    alice, bob, _ = world.people
    channel = world.channels[0]
    client = await online(nodes[1], bob)
    async with nodes[0].rest(alice) as rest:
        await rest.request("POST", f"/channels/{channel}/typing")
        sent = await rest.send(channel, "first")
        path = f"/channels/{channel}/messages/{sent['id']}"
        edited = await rest.request("PATCH", path, {"content": "second"})
        assert edited["edited_timestamp"] is not None
        await rest.request("DELETE", path)
        with pytest.raises(RestError) as gone:
            await rest.request("GET", path)
        assert (gone.value.status, gone.value.code) == (404, 10008)
    events = [await client.next() for _ in range(4)]
    assert [event.t for event in events] == [
        "TYPING_START",
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_DELETE",
    ]
    assert events[0].d["user_id"] == str(alice.id)
    assert [event.d["content"] for event in events[1:3]] == ["first", "second"]
    assert {event.d["id"] for event in events[1:]} == {sent["id"]}


async def test_a_socket_that_is_refused_a_session_can_still_have_one(nodes, world):
    async with await Client.connect(nodes[0].gateway, world.people[0].session()) as client:
        for session_id, seq in ((None, None), ("nonsense", 5), ("", 0)):
            client.session.id, client.session.seq = session_id, seq
            await client.ask_to_resume()
            with pytest.raises(InvalidSessionError) as refused:
                await client.next()
            assert refused.value.resumable is False
        await client.start()
        sent = await client.send(world.channels[0], "well")
        assert (await client.until("MESSAGE_CREATE")).d["id"] == sent["id"]
