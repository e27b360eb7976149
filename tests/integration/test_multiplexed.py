"""The line to Redis, on a real Valkey: it answers as redis-py does, and nobody gets another one's answer."""

import asyncio
import random
import uuid

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fanfare.presence.client import connect
from fanfare.tasks import end
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system


@pytest.fixture
def made():
    """How many connections the client made."""
    return []


@pytest.fixture
async def redis(stores, made):
    client = connect(
        settings_of(stores.run), client_name="line", connected=lambda: made.append(1), may_block=True
    )
    yield client
    await client.aclose()


@pytest.fixture
async def plain(stores):
    client = Redis.from_url(stores.run["redis"])
    yield client
    await client.aclose()


@pytest.fixture
def key():
    return uuid.uuid4().hex


async def blocked(redis, key):
    """A command that Redis answers when something is appended to the stream."""
    waiting = asyncio.create_task(redis.xread({key: "$"}, block=60_000))
    async with asyncio.timeout(30):
        while not any(one["cmd"] == "xread" for one in await lines(redis)):
            await asyncio.sleep(0.005)
    return waiting


async def lines(redis):
    """The client's connections, as another one sees them."""
    other = Redis(connection_pool=redis.connection_pool)
    return [one for one in await other.client_list() if one["name"] == "line"]


def commands(key):
    return [
        lambda to: to.set(key, "a b\r\n", px=60_000),
        lambda to: to.set(key, b"\xff\x00", nx=True, get=True, px=60_000),
        lambda to: to.get(key),
        lambda to: to.get("none"),
        lambda to: to.exists(key, "none"),
        lambda to: to.hset(f"{key}h", mapping={"a": 1, "b": 2.5}),
        lambda to: to.hgetall(f"{key}h"),
        lambda to: to.hkeys(f"{key}h"),
        lambda to: to.xadd(f"{key}s", {"e": b"\xff"}, id="7-0"),
        lambda to: to.xrange(f"{key}s", "-", "+"),
        lambda to: to.xread({f"{key}s": "0"}, count=10),
        lambda to: to.zadd(f"{key}z", {"m": 1.5}),
        lambda to: to.zrange(f"{key}z", 0, -1, withscores=True),
        lambda to: to.script_load("return {1, 'two', {3}}"),
        lambda to: to.eval("return {1, 'two', {3}}", 0),
        lambda to: to.pttl("none"),
        lambda to: to.delete(key, f"{key}h", f"{key}s", f"{key}z"),
    ]


async def test_answers_as_redis_py_does(redis, plain, key):
    mine = [await command(redis) for command in commands(key)]
    assert mine == [await command(plain) for command in commands(key)]


async def test_a_pipeline_answers_as_redis_py_s_does(redis, plain, key):
    def filled(to):
        pipe = to.pipeline(transaction=False)
        for command in commands(key):
            command(pipe)
        pipe.evalsha("0" * 40, 0)
        pipe.incr(key)
        return pipe

    *mine, missing, number = await filled(redis).execute(raise_on_error=False)
    await redis.delete(key)
    *its, _, _ = await filled(plain).execute(raise_on_error=False)
    assert mine == its
    assert isinstance(missing, NoScriptError)
    assert number == 1
    pipe = filled(redis)
    with pytest.raises(NoScriptError):
        await pipe.execute()
    assert len(pipe) == 0


async def test_errors_of_redis_are_raised(redis, key):
    await redis.set(key, "x")
    with pytest.raises(ResponseError, match="integer"):
        await redis.incr(key)
    with pytest.raises(NoScriptError):
        await redis.evalsha("0" * 40, 0)


async def test_transactions_stay_transactions(redis, key):
    pipe = redis.pipeline(transaction=True)
    pipe.incr(key)
    pipe.incr(key)
    assert await pipe.execute() == [1, 2]


async def test_everybody_gets_their_own_answers_over_one_connection(redis, made, key):
    chance = random.Random(7)

    async def one(number: int) -> None:
        for step in range(20):
            name, size = f"{key}:{number}:{step}", chance.choice((1, 100, 50_000))
            pipe = redis.pipeline(transaction=False)
            pipe.set(name, f"{number}".encode() * size, px=60_000)
            pipe.get(name)
            assert (await pipe.execute())[1] == f"{number}".encode() * size
            if chance.random() < 0.2:
                task = asyncio.create_task(redis.get(name))
                await asyncio.sleep(0)
                task.cancel()
            assert await redis.get(name) == f"{number}".encode() * size

    await asyncio.gather(*(one(number) for number in range(50)))
    assert len(made) == 1


async def test_who_comes_after_a_cancelled_call_does_not_wait_for_its_answer(redis, made, key):
    await end([await blocked(redis, key)])
    async with asyncio.timeout(10):
        assert await redis.get(key) is None
    assert len(made) >= 2


async def test_a_call_cancelled_among_others_takes_nothing_from_them(redis, made, key):
    waiting = await blocked(redis, key)
    after = asyncio.create_task(redis.get(key))
    await asyncio.sleep(0)
    await end([waiting])
    await Redis(connection_pool=redis.connection_pool).xadd(key, {"e": b"1"})
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await after


async def test_a_lost_connection_is_made_again_and_the_call_repeated(redis, plain, made, key):
    waiting = await blocked(redis, key)
    (line,) = [one for one in await lines(redis) if one["cmd"] == "xread"]
    await plain.client_kill_filter(_id=line["id"])
    async with asyncio.timeout(30):
        while not any(one["cmd"] == "xread" and one["id"] != line["id"] for one in await lines(redis)):
            await asyncio.sleep(0.005)
    await plain.xadd(key, {"e": b"1"})
    assert next(iter(await waiting))
    assert await redis.exists(key) == 1
    assert len(made) >= 2


async def test_a_connection_without_answers_is_given_up(redis, key):
    redis.connection_pool.connection_kwargs["socket_timeout"] = 0.3
    with pytest.raises(RedisTimeoutError):
        await redis.ask([("XREAD", "BLOCK", 60_000, "STREAMS", key, "$")])
    assert await redis.ask([("EXISTS", key)]) == [0]


async def test_who_waits_when_the_client_is_closed_is_told(stores, key):
    redis = connect(settings_of(stores.run), client_name="line", may_block=True)
    waiting = asyncio.create_task(redis.ask([("XREAD", "BLOCK", 60_000, "STREAMS", key, "$")]))
    while redis._line is None:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    await redis.aclose()
    with pytest.raises(RedisConnectionError):
        await waiting
