"""The shared connection to Redis, when what comes is not what was asked for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fanfare.presence.multiplexed import _SharedConnection


class Transport:
    """Where the line writes."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return False

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
async def line(transport):
    connection = SimpleNamespace(
        _writer=SimpleNamespace(transport=transport),
        _parser=SimpleNamespace(parse_error=BaseParser.parse_error),
        _close=lambda: None,
        socket_timeout=5.0,
    )
    return _SharedConnection(connection)


async def asked(line, *commands):
    task = asyncio.create_task(line.ask(commands))
    await asyncio.sleep(0)
    return task


async def test_commands_are_written_as_redis_reads_them(line, transport):
    await asked(line, ("SCRIPT LOAD", "return 1"), ("SET", "k", b"\xff", 7, 1.5))
    assert transport.written == (
        b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n"
        b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n\xff\r\n$1\r\n7\r\n$3\r\n1.5\r\n"
    )


async def test_e5_siblings_what_waits_to_be_sent_is_bounded(line, transport):
    first = await asked(line, ("GET", "a"))
    transport.waiting = 1 << 30
    second = await asked(line, ("GET", "b"))
    with pytest.raises(RedisTimeoutError, match="takes no more"):
        await second
    line.data_received(b":1\r\n")
    assert await first == [1]


async def test_answers_come_in_pieces(line):
    first, second = await asked(line, ("GET", "a"), ("GET", "b")), await asked(line, ("GET", "c"))
    for byte in b"$1\r\nx\r\n-ERR no\r\n*2\r\n:1\r\n$-1\r\n":
        line.data_received(bytes([byte]))
    x, no = await first
    assert x == b"x"
    assert isinstance(no, ResponseError)
    assert await second == [[1, None]]


async def test_the_server_s_own_news_are_nobodys_answer(line):
    call = await asked(line, ("GET", "a"))
    line.data_received(b">2\r\n$10\r\ninvalidate\r\n*0\r\n:7\r\n")
    assert await call == [7]


async def test_a_server_that_still_loads_is_none(line, transport):
    calls = [await asked(line, ("GET", "a")) for _ in range(2)]
    line.data_received(b"-LOADING Valkey is loading the dataset in memory\r\n")
    for call in calls:
        with pytest.raises(BusyLoadingError):
            await call
    assert line.closed
    assert transport.aborted


@pytest.mark.parametrize(
    "said",
    [
        b"-READONLY You can't write against a read only replica.",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        b"-NOREPLICAS Not enough good replicas to write.",
    ],
)
async def test_e3_a_server_that_is_no_primary_any_more_is_left(line, transport, said):
    calls = [await asked(line, ("SET", "a", "1")) for _ in range(2)]
    line.data_received(said + b"\r\n")
    for call in calls:
        with pytest.raises(RedisConnectionError, match="no primary any more"):
            await call
    assert line.closed
    assert transport.aborted


async def test_what_is_not_redis_s_protocol_ends_the_connection(line, transport):
    call = await asked(line, ("GET", "a"))
    line.data_received(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(RedisConnectionError, match="no answer"):
        await call
    assert transport.aborted


async def test_an_answer_too_many_ends_the_connection(line, transport):
    call = await asked(line, ("GET", "a"))
    line.data_received(b":1\r\n:2\r\n")
    assert await call == [1]
    assert line.closed
    assert transport.aborted


async def test_a_lost_connection_is_told_to_all(line):
    calls = [await asked(line, ("GET", "a")) for _ in range(3)]
    line.connection_lost(None)
    for call in calls:
        with pytest.raises(RedisConnectionError, match="closed"):
            await call


async def test_a_connection_is_given_up_when_somebody_waits_and_nothing_comes(line, monkeypatch):
    now = line._loop.time()
    monkeypatch.setattr(line, "_loop", Clock(lambda: now))
    first, second = await asked(line, ("GET", "a")), await asked(line, ("GET", "b"))
    now += 4
    line.data_received(b":1\r\n")
    assert await first == [1]
    now += 4
    line._look()
    assert not line.closed
    now += 2
    line._look()
    with pytest.raises(RedisTimeoutError):
        await second
    assert line.closed


class Clock:
    """A loop whose time is told."""

    def __init__(self, time: Any) -> None:
        self.time = time
        self.create_future = asyncio.get_running_loop().create_future

    def call_later(self, *_: object) -> SimpleNamespace:
        return SimpleNamespace(cancel=lambda: None)
