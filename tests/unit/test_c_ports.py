"""What those who have not identified may do to the public ports, seen by raw sockets. Each with and without TLS."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanfare.constants import BODY_S, HEAD_S, KEEP_ALIVE_S, UNREAD_S
from gateway.listening.admission import Bounds
from tests.unit.flood_bench import HANDSHAKE, Bench, bench, ended, until

PING = b"\x89\x80\x00\x00\x00\x00"
PONG = b"\x8a\x80\x00\x00\x00\x00"
FIRST = b"\x01\x80\x00\x00\x00\x00"
CONTINUED = b"\x00\x80\x00\x00\x00\x00"
CONTINUED_A = b"\x00\x81\x00\x00\x00\x00a"
EMPTY = b"\x82\x80\x00\x00\x00\x00"
MANY = 50_000


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench(tls=request.param) as made:
        yield made


async def _socket(ports: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await ports.connect(ports.listener.port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    _, size = await reader.readexactly(2)
    await reader.readexactly(size)
    return reader, writer


def _masked(text: bytes) -> bytes:
    assert len(text) < 126
    return b"\x81" + bytes([0x80 | len(text)]) + b"\x00\x00\x00\x00" + text


def _code(data: bytes) -> int:
    """The close code in what came."""
    for at in range(len(data) - 3):
        if data[at] == 0x88:
            return int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


def _turn(ports: Bench, seconds: float) -> None:
    """So much later."""
    ports.node.wheel.turn(asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize(
    ("flood", "answered"),
    [
        (PING * MANY, 800),
        (PONG * MANY, 0),
        (EMPTY * MANY, 0),
        (FIRST + CONTINUED * MANY, 0),
        (FIRST + CONTINUED_A * MANY, 0),
    ],
    ids=["pings", "pongs", "empty", "continuations", "fragments"],
)
async def test_c1_frames_that_say_nothing_end_a_connection_after_some_hundred(
    ports: Bench, flood: bytes, answered: int
) -> None:
    reader, writer = await _socket(ports)
    (connection,) = ports.node.connections
    writer.write(flood)
    await until(lambda: not connection.open)
    transport = connection._transport
    await until(lambda: transport.is_closing() or not transport.is_reading())
    assert not connection._parts
    _turn(ports, 10)
    data = await ended(reader)
    assert data.count(b"\x8a\x00") <= answered, "each PING has an answer, and that is traffic of ours"
    # An empty message is no JSON: that is 4002, and what follows is not read either.
    assert ports.said in (["frames"], ["fragments"], [])
    assert _code(data) in {0, 4008, 4002}
    await until(lambda: not ports.node.connections)


async def test_c1_a_client_that_is_asked_to_go_cannot_go_on(ports: Bench) -> None:
    reader, writer = await _socket(ports)
    # 4003: it has not identified. Whatever comes then is nobody's.
    writer.write(_masked(b'{"op":3,"d":{}}') + _masked(b'{"op":1,"d":null}') * 1000)
    data = await ended(reader)
    assert _code(data) in {0, 4003}
    await until(lambda: not ports.node.connections)


async def test_c1_ping_now_and_then_is_welcome(ports: Bench) -> None:
    reader, writer = await _socket(ports)
    writer.write(PING * 100)
    assert await reader.readexactly(200) == b"\x8a\x00" * 100


async def test_c1_ten_tries_to_begin_are_enough(ports: Bench) -> None:
    reader, writer = await _socket(ports)
    # Nothing to resume: the client is told so, and may try again, but not for ever.
    writer.write(_masked(b'{"op":6,"d":{"token":"t"}}') * 11)
    await until(lambda: not any(connection.open for connection in ports.node.connections))
    _turn(ports, 10)
    data = await ended(reader)
    assert data.count(b'"op":9') == 10
    assert _code(data) == 4008


async def test_c1_before_a_session_a_large_frame_is_not_kept(ports: Bench) -> None:
    reader, writer = await _socket(ports)
    writer.write(b"\x81\xff" + (60_000).to_bytes(8, "big") + bytes(4))
    assert _code(await ended(reader)) == 1009


async def test_c2_silent_sockets_are_cut_and_new_ones_come_in(ports: Bench) -> None:
    readers = [(await ports.connect(ports.listener.port))[0] for _ in range(20)]
    await until(lambda: len(ports.node.connections) == 20)
    _turn(ports, 12)
    for reader in readers:
        assert await ended(reader) == b""
    await _socket(ports)


async def test_c2_sockets_that_do_not_identify_are_closed(ports: Bench) -> None:
    reader, _ = await _socket(ports)
    _turn(ports, 61)
    _turn(ports, 70)
    assert _code(await ended(reader)) == 4009


async def test_c2_at_the_bound_the_oldest_makes_room() -> None:
    async with bench(tls=True, bounds=Bounds(4, 0, 0)) as ports:
        old = [await _socket(ports) for _ in range(4)]
        new = await _socket(ports)
        assert await ended(old[0][0]) == b""
        new[1].write(PING)
        assert await new[0].readexactly(2) == b"\x8a\x00"
        assert len(ports.node.connections) <= 4


async def test_c2_tls_handshakes_that_stop_are_guests_too() -> None:
    async with bench(tls=True, bounds=Bounds(0, 4, 0)) as ports:
        silent = [await ports.connect_plainly(ports.listener.port) for _ in range(12)]
        await until(lambda: len(ports.said) >= 8)
        for reader, _ in silent[:8]:
            assert await ended(reader) == b""
        await _socket(ports)


@pytest.mark.parametrize("part", [b"", b"GET /hel", b"GET /hello HTTP/1.1\r\nHost: x\r\nX: "])
async def test_c2_half_a_request_is_cut(ports: Bench, part: bytes) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(part)
    await until(lambda: len(ports.rest.connections) == 1)
    (connection,) = ports.rest.connections
    await until(lambda: connection._head_bytes == len(part))
    connection.check(connection._head_at + HEAD_S - 1)
    connection.check(connection._head_at + HEAD_S + 1)
    assert await ended(reader) == b""
    assert ports.said == ["head"]


async def test_c2_a_second_half_request_is_cut_as_well(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\nx")
    (connection,) = ports.rest.connections
    await until(lambda: not connection._busy)
    connection.check(asyncio.get_running_loop().time() + KEEP_ALIVE_S - 1)
    writer.write(b"GET /hel")
    await until(lambda: connection._head_at > 0)
    connection.check(connection._head_at + HEAD_S + 1)
    assert await ended(reader) == b""


async def test_c2_a_slow_body_is_cut(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    await until(lambda: any(connection._busy for connection in ports.rest.connections))
    (connection,) = ports.rest.connections
    connection.check(connection._body_at + BODY_S - 1)
    writer.write(b"d")
    connection.check(connection._body_at + BODY_S + 1)
    assert await ended(reader) == b""
    assert ports.said == ["body"]


async def test_c2_answers_that_nobody_reads_are_thrown_away(ports: Bench) -> None:
    _, writer = await ports.connect(ports.rest.ports[0])
    writer.transport.pause_reading()
    writer.write(b"GET /hello?size=30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: any(one._unsent() for one in ports.rest.connections))
    (connection,) = ports.rest.connections
    now = asyncio.get_running_loop().time()
    connection.check(now)
    connection.check(now + UNREAD_S - 1)
    assert not ports.said
    connection.check(now + UNREAD_S + 1)
    await until(lambda: not ports.rest.connections)
    assert ports.said == ["unread"]


async def test_c2_a_body_in_one_piece_with_its_head_is_no_large_head(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"b" * 60_000)
    assert (await reader.readuntil(b"\r\n\r\nx")).startswith(b"HTTP/1.1 200 ")
    assert not ports.said


async def test_c2_requests_of_nobody_are_few(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    assert 0 < (await ended(reader)).count(b"HTTP/1.1 404 ") <= 32
    assert ports.said == ["requests"]
    reader, writer = await ports.connect(ports.rest.ports[0])
    # Somebody's first request is right, and then there may be any number.
    writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    for _ in range(100):
        await reader.readuntil(b"\r\n\r\nx")


HEADERS = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"y" * 8000) for at in range(127))


async def test_c3_a_large_head_is_refused(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.listener.port)
    writer.write(HEADERS)
    said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 431 ") or not said
    assert "head" in ports.said
    await until(lambda: not ports.node.connections)


async def test_c3_a_large_head_is_refused_by_rest(ports: Bench) -> None:
    reader, writer = await ports.connect(ports.rest.ports[0])
    writer.write(HEADERS)
    await ended(reader)
    assert ports.said == ["head"]


async def test_c3_what_is_kept_of_a_thousand_heads_is_bounded() -> None:
    async with bench(tls=False, bounds=Bounds(0, 0, 0)) as ports:
        clients = []
        for _ in range(1000):
            reader, writer = await ports.connect(ports.listener.port)
            writer.write(HEADERS[:16_000])
            clients.append((reader, writer))
        await until(lambda: ports.gateway._bytes == 16_000 * 1000)
        for _, writer in clients:
            writer.write(HEADERS[16_000:40_000])
        await until(lambda: not ports.node.connections)
        assert ports.gateway._bytes == 0
        assert not ports.node.wheel._buckets or not any(ports.node.wheel._buckets.values())


async def test_c4_plain_http_on_the_gateways_port(ports: Bench) -> None:
    async def ask(text: bytes) -> bytes:
        reader, writer = await ports.connect(ports.listener.port)
        writer.write(text)
        return await ended(reader)

    assert (await ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"\r\n\r\nok\n")
    head = await ask(b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")
    assert (await ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 426 ")
    assert (await ask(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")).startswith(b"HTTP/1.1 400 ")
    assert (await ask(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    ports.node.healthy = False
    assert (await ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    assert (await ask(HANDSHAKE[:-2] + b"X: y\r\n\r\n") if not ports.node.open else b"") == b""
    reader, _ = await _socket(ports)
    assert not reader.at_eof(), "still welcome: whoever balances the load has not noticed yet"
    ports.node.open = False
    assert (await ask(HANDSHAKE)).startswith(b"HTTP/1.1 503 ")


async def test_plain_speech_on_a_tls_port_ends() -> None:
    async with bench(tls=True) as ports:
        reader, writer = await ports.connect_plainly(ports.listener.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await ended(reader)
        await until(lambda: ports.said == ["handshake"])
