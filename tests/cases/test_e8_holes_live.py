"""E7, E8: what a node has registered is gone from Redis, or cannot be written, while its sessions live."""

import asyncio
import itertools
import uuid

import pytest

from fanfare.presence import inboxes, keys
from fanfare.presence.client import connect
from fanfare.presence.snowflake_leases import SnowflakeLease
from fanfare.tasks import end
from gateway.registrations import HoleError, PresenceWriter
from tests.integration.store_fixtures import eventually, settings_of
from tests.world import make_world, redis_of
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
