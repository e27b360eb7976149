"""E7, E8: what a node has registered is gone from Redis, or cannot be written, while its sessions live."""

import asyncio
import itertools
import os
import signal
import uuid

import pytest

from fanfare.presence import inboxes, keys
from fanfare.presence.client import connect
from fanfare.presence.loss_token import loss_token
from fanfare.presence.snowflake_leases import SnowflakeLease
from fanfare.tasks import end
from gateway.recovery import path_store
from gateway.recovery.path import Hop, Moved
from gateway.recovery.path_store import Moves, MovesGoneError
from gateway.recovery.registered import Asked, Registered
from gateway.registrations import HoleError, PresenceWriter
from tests.cases.extra_gateway import extra_gateway
from tests.integration.store_fixtures import eventually, settings_of
from tests.world import make_world, redis_of, whole_again
from torture.client import InvalidSessionError

pytestmark = pytest.mark.system
_ids = itertools.count(7_000_000)


@pytest.fixture
async def redis(stores):
    client = connect(settings_of(stores.run))
    yield client
    await client.aclose()


@pytest.fixture
async def writer(redis):
    node = uuid.uuid4().hex
    await inboxes.create(redis, node, f"{node}.1", floor=0, token="t", is_open=True)
    writer = PresenceWriter(redis, f"{node}.1")
    task = asyncio.create_task(writer.run())
    yield writer
    await end((task,))


@pytest.mark.parametrize("what", ["guild", "user", "field"])
async def test_e8_a_hole_is_noticed_by_looking(redis, writer, what):
    guilds, user = [next(_ids) for _ in range(1500)], next(_ids)
    await asyncio.gather(*map(writer.hold, guilds), writer.add(user, "s"), writer.add(user, "t"))
    watching = asyncio.create_task(writer.watch())
    match what:
        case "guild":
            await redis.delete(keys.guild_nodes(guilds[700]))
        case "user":
            await redis.delete(keys.user_sessions(user))
        case _:
            await redis.hdel(keys.user_sessions(user), f"t@{writer.inbox}")
    with pytest.raises(HoleError):
        async with asyncio.timeout(30):
            await watching
    await writer.move(f"{uuid.uuid4().hex}.1")
    assert await redis.hexists(keys.guild_nodes(guilds[700]), writer.inbox)


async def test_e8_a_hole_is_noticed_by_writing_over_it(redis, writer):
    guild = next(_ids)
    await writer.hold(guild)
    await redis.delete(keys.guild_nodes(guild))
    await writer.hold(guild)
    with pytest.raises(HoleError):
        async with asyncio.timeout(30):
            await writer.watch()


async def test_e8_what_was_released_is_no_hole(redis, writer):
    kept, gone, user = next(_ids), next(_ids), next(_ids)
    await asyncio.gather(writer.hold(kept), writer.hold(gone), writer.add(user, "s"))
    watching = asyncio.create_task(writer.watch())
    writer.release(gone)
    writer.remove(user, "s")
    for _ in range(3):
        writer.release(kept)
        await writer.hold(kept)
        await asyncio.sleep(0.5)  # rounds of looking
    assert not watching.done()
    await end((watching,))


async def test_e8_a_stream_that_is_gone_takes_nothing_unnoticed(redis):
    node = uuid.uuid4().hex
    name = f"{node}.1"
    await inboxes.create(redis, node, name, floor=0, token="t", is_open=True)
    await redis.delete(keys.inbox(name))
    for call in (inboxes.mark_moved(redis, name, {"s": 1}), inboxes.raise_above(redis, name, 0, 0)):
        with pytest.raises(inboxes.InboxGoneError):
            await call
    with pytest.raises(inboxes.InboxGoneError):
        await inboxes.renew(redis, node, name)
    assert not await redis.exists(keys.inbox(name))


async def test_e7_registrations_that_cannot_be_written_are_said(redis, writer):
    guild = next(_ids)
    await redis.set(keys.guild_nodes(guild), "not a hash", px=60_000)
    held = writer.hold(guild)
    await eventually(lambda: asyncio.sleep(0, "cannot be written" in writer.problem))
    await redis.delete(keys.guild_nodes(guild))
    await held
    assert writer.problem == ""


async def test_e7_a_worker_number_that_cannot_be_renewed_is_said(redis):
    async with SnowflakeLease(redis) as worker:
        assert worker.problem == ""
        name = keys.worker(worker.number)
        await redis.delete(name)
        await redis.hset(name, "not", "a string")
        try:
            await eventually(lambda: asyncio.sleep(0, "cannot be renewed" in worker.problem), 30)
        finally:
            await redis.delete(name)
        await eventually(lambda: asyncio.sleep(0, worker.problem == ""))


@pytest.mark.parametrize("what", ["guild", "user"])
async def test_e8_sessions_are_told_and_new_ones_hear_everything(stack, nodes, online, what):
    world = await make_world(stack, people=2)
    client = await online(nodes[0], world.people[0])
    async with redis_of(stack) as redis:
        await redis.delete(
            keys.guild_nodes(world.guild) if what == "guild" else keys.user_sessions(world.people[0].id)
        )
        with pytest.raises(InvalidSessionError):
            await client.until("NOTHING")
    again = await online(nodes[0], world.people[0])
    async with nodes[1].rest(world.people[1]) as rest:
        sent = await rest.send(world.channels[0], "heard")
    assert (await again.until("MESSAGE_CREATE")).d["id"] == sent["id"]


async def test_e8_moves_that_are_gone_are_not_taken_for_none(redis):
    moves, key = Moves(redis), uuid.uuid4().hex
    assert await moves.read(key, 0) is None
    moved = [Moved(version, [Hop("a.1"), Hop("b.1", version)]) for version in range(4)]
    for version in range(3):
        assert await moves.write(key, version, moved[version + 1])
    older = b"1 " + (await redis.get(keys.moved(key))).partition(b" ")[2]
    for lose in (lambda: redis.delete(keys.moved(key)), lambda: redis.set(keys.moved(key), older)):
        await lose()
        with pytest.raises(MovesGoneError):
            await moves.read(key, 0)
        assert not await moves.write(key, 0, moved[1]), "a session that has moved is nobody's to begin with"
        assert not await moves.write(key, 1, moved[2])
        assert await path_store.unkept(redis, [("none", 1), (key, 3)]) == [0, 1]
        assert await path_store.rewrite(redis, [(key, 3, moved[3])]) == [True]
        assert await moves.read(key, 0) == moved[3]
        assert await path_store.unkept(redis, [(key, 3)]) == []
    await redis.delete(keys.moves(key))
    assert await path_store.unkept(redis, [(key, 3)]) == [0]
    assert await path_store.rewrite(redis, [(key, 2, moved[2])]) == [False], "it lives elsewhere"
    assert await path_store.rewrite(redis, [(key, 3, moved[3])]) == [True]
    await redis.pexpire(keys.moved(key), 1000 * 3600)
    assert await path_store.unkept(redis, [(key, 3)]) == [0]


async def moved_session(dial, nodes, person):
    """A session that began on the first node and lives on the second one, and its name in Redis."""
    session = person.session()
    client = await dial(nodes[0], session)
    await client.start()
    await client.cut()
    client = await dial(nodes[1], session)
    await client.resume()
    return client, session


async def _keys(redis):
    return set(await redis.keys(keys.moved("*")))


async def said(node, world, count):
    async with node.rest(world.people[0]) as rest:
        return [(await rest.send(world.channels[0], f"{number}"))["id"] for number in range(count)]


async def test_e8_moves_are_written_again_and_a_third_node_goes_on(stack, nodes, dial):
    world = await make_world(stack, people=2)
    async with redis_of(stack) as redis, extra_gateway(stack, "e8") as third:
        before = await _keys(redis)
        client, session = await moved_session(dial, nodes, world.people[1])
        (name,) = await _keys(redis) - before
        ids = await said(nodes[0], world, 3)
        await redis.delete(name)
        await eventually(lambda: redis.exists(name))
        await client.until("MESSAGE_CREATE")
        await client.cut()
        ids += await said(nodes[0], world, 3)
        again = await dial(third.node, session)
        await again.resume()
        ids += await said(nodes[0], world, 1)
        while ids[-1] not in session.messages:
            await again.next()
        assert session.messages == ids


async def test_e8_moves_gone_and_a_third_node_before_anybody_knows(stack, nodes, dial):
    """The node that would write them again stands still: the session is told. At home it goes on, whole."""
    world = await make_world(stack, people=2)
    async with redis_of(stack) as redis, extra_gateway(stack, "e8b") as third:
        before = await _keys(redis)
        client, session = await moved_session(dial, nodes, world.people[1])
        (name,) = await _keys(redis) - before
        await client.cut()
        ids = await said(nodes[0], world, 3)
        os.kill(nodes[1].pid, signal.SIGSTOP)
        try:
            await redis.delete(name)
            for node in (third.node, nodes[0]):
                again = await dial(node, session)
                await again.ask_to_resume()
                with pytest.raises(InvalidSessionError) as told:
                    await again.next()
                assert not told.value.resumable
            assert session.messages == []
        finally:
            os.kill(nodes[1].pid, signal.SIGCONT)
        # To the node that has it, it never was away.
        again = await dial(nodes[1], session)
        missed = await again.resume()
        assert [event.d["id"] for event in missed if event.t == "MESSAGE_CREATE"] == ids


@pytest.mark.parametrize("what", ["guild", "user"])
async def test_e8_a_session_that_resumes_elsewhere_before_a_hole_is_found(stack, nodes, dial, online, what):
    """The registrations of its node are gone, and it comes to another one before its node knows: it is told."""
    world = await make_world(stack, people=2)
    witness = await online(nodes[0], world.people[0])
    client = await dial(nodes[0], session := world.people[1].session())
    await client.start()
    await client.cut()
    # It would find the hole within half a second. What stands in its inbox is there for the other one all the same.
    os.kill(nodes[0].pid, signal.SIGSTOP)
    try:
        async with redis_of(stack) as redis:
            await redis.delete(
                keys.guild_nodes(world.guild) if what == "guild" else keys.user_sessions(world.people[1].id)
            )
        await said(nodes[1], world, 3)
        again = await dial(nodes[1], session)
        await again.ask_to_resume()
        with pytest.raises(InvalidSessionError) as told:
            await again.next()
        assert not told.value.resumable
    finally:
        os.kill(nodes[0].pid, signal.SIGCONT)
    assert session.messages == []
    # All sessions of a node with a hole are told. Until it has found it, it would let in those of the next test.
    with pytest.raises(InvalidSessionError):
        await witness.until("NOTHING")
    await whole_again(stack)


async def test_e8_siblings_what_is_not_registered_is_asked_for_together(redis):
    """What is not registered, of what two sessions ask for at one time."""
    registered, guild, user = Registered(redis), next(_ids), next(_ids)
    await redis.hset(keys.guild_nodes(guild), "a.1", "1")
    await redis.hset(keys.user_sessions(user), "s@a.1", "online")
    found = await asyncio.gather(
        registered.missing(Asked("a.1", user, "s", frozenset({guild}))),
        registered.missing(Asked("a.1", user, "t", frozenset({guild, 1}))),
        registered.missing(Asked("b.1", user, "s", frozenset({guild}))),
    )
    assert found == [(False, set()), (True, {1}), (True, {guild})]


async def test_e8_a_missing_epoch_holds_nothing_back_for_long(stack, nodes, online):
    """Notifiers take it for a Redis that was emptied, wait for nodes, and go on; nobody is told anything."""
    world = await make_world(stack, people=2)
    client = await online(nodes[0], world.people[1])
    async with redis_of(stack) as redis:
        await redis.delete(keys.epoch())
        ids = await said(nodes[1], world, 3)
        while ids[-1] not in client.session.messages:
            await client.next()
        assert client.session.messages == ids
        assert await redis.exists(keys.epoch())


async def test_e8_a_missing_lease_of_a_worker_number_is_taken_again(stack, nodes):
    """By whoever had it, or by somebody else: then the first one takes another number."""
    world = await make_world(stack, people=1)
    async with redis_of(stack) as redis:

        async def leases() -> set[bytes]:
            return set(await redis.keys(keys.worker(0).replace("0", "*")))

        async def all_nodes_have_one(but: frozenset[bytes]) -> bool:
            return len(await leases() - but) >= len(nodes)

        # With those of processes that are gone: their leases have yet to end.
        await redis.delete(*await leases())
        await eventually(lambda: all_nodes_have_one(frozenset()))
        stolen = next(iter(await leases()))
        await redis.set(stolen, "somebody else", px=60_000)
        await eventually(lambda: all_nodes_have_one(frozenset({stolen})))
        ids = [ident for node in nodes for ident in await said(node, world, 20)]
        assert len(set(ids)) == len(ids)
        await redis.delete(stolen)
    await whole_again(stack)


async def test_e7_missing_nonces_are_noticed_without_a_send(stack, nodes):
    """A look finds it; until they are there, a node that refuses sends with a nonce is not ready."""
    async with redis_of(stack) as redis:
        await redis.delete(keys.nonces_ready())
        await eventually(lambda: redis.exists(keys.nonces_ready()))
        assert await redis.get(keys.nonces_ready()) == (await loss_token(redis)).encode()
    await whole_again(stack)
