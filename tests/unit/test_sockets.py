"""Connections on real sockets, on uvloop and on asyncio's own loop."""

import asyncio
import base64
import inspect
import json
import os
import socket
import time
import zlib

import pytest
import uvloop

from fanfare.constants import OWN_FRAME_BYTES, SOCKET_HIGH_WATER_BYTES
from fanfare.telemetry import logs
from gateway.connection import Connection
from gateway.delivery.session import Session
from gateway.listening.admission import Admission, Bounds, Room
from gateway.protocol.codes import CloseCode, Op
from gateway.protocol.frames import Transport
from gateway.recovery.path import Hop
from gateway.sessions.outcomes import EndError, InvalidSessionError
from gateway.timers import Wheel
from tests.unit.gateway_world import ALICE, ALL_INTENTS, GUILD_ID, World, user

HEARTBEAT = b'{"op":1,"d":null}'
IDENTIFY = b'{"op":2,"d":{"token":"t","intents":%d}}' % ALL_INTENTS
LIMIT_S = 30


class Shell:
    """What a node gives to its connections; sessions start without a store."""

    def __init__(self) -> None:
        self.world = World()
        self.hub = self.world.hub
        self.wheel = Wheel()
        self.log = logs.get("test")
        self.connections = set()
        self.healthy = self.open = True
        self.admission = Admission("gateway", Bounds(64, 64, 0), Room(1024), lambda _: None)
        self.starter = self
        self.forgotten = self.world.forgotten
        self.published = []
        self.asked = []
        self._tasks = set()

    def spawn(self, work) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def identify(self, link, asked) -> Session:
        if asked.token == "bad":
            raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token is not valid")
        session = Session("key", "id", user(ALICE), asked.intents, [Hop(self.hub.inbox)], 0)
        session.guilds = {GUILD_ID}
        self.hub.attach(session, link)
        return session

    async def resume(self, link, asked) -> Session:
        session = self.hub.sessions.get(asked.session_id)
        if session is None:
            raise InvalidSessionError("unknown")
        self.hub.attach(session, link, cursor=self.hub.ring.after(asked.seq))
        return session

    async def publish(self, who, body: bytes) -> dict:
        self.published.append((who.id, body))
        return {"nonce": "n", "id": "1"}

    async def members(self, session, asked) -> None:
        self.asked.append((session, asked))

    async def idle(self) -> None:
        """Until the loop has carried out what is ready."""
        for _ in range(5):
            await asyncio.sleep(0)


class Client:
    """A websocket client that does exactly what it is told."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = None
        self.writer = None

    async def open(self, path: str = "/?v=10&encoding=json") -> str:
        """Shake hands; returns the status line."""
        self.reader, self.writer = await asyncio.open_connection(sock=self.sock, limit=2**22)
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert b"permessage-deflate" not in head
        return head.decode().split("\r\n")[0]

    def send(self, payload: bytes, opcode: int = 1, *, fin: bool = True) -> None:
        mask = os.urandom(4)
        length = len(payload)
        head = bytes([fin << 7 | opcode])
        if length < 126:
            head += bytes([128 | length])
        elif length < 65_536:
            head += bytes([254]) + length.to_bytes(2, "big")
        else:
            head += bytes([255]) + length.to_bytes(8, "big")
        self.writer.write(head + mask + bytes(b ^ mask[at % 4] for at, b in enumerate(payload)))

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(LIMIT_S):
            first, length = await self.reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return first, await self.reader.readexactly(length)

    async def message(self) -> dict:
        first, payload = await self.frame()
        assert first == 0x81
        return json.loads(payload)

    async def close_code(self) -> int:
        first, payload = await self.frame()
        assert first == 0x88
        return int.from_bytes(payload[:2], "big")

    async def ends(self) -> bool:
        async with asyncio.timeout(LIMIT_S):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


class Bench:
    """A listening shell, for one test."""

    def __init__(self) -> None:
        self.shell = Shell()
        self._clients, self._made = [], []

    async def connect(self, *, client_buffer: int = 0, server_buffer: int = 0) -> tuple[Client, Connection]:
        """A client that has not said anything, and the server's end of it."""

        def factory() -> Connection:
            self._made.append(Connection(self.shell))
            return self._made[-1]

        listening = socket.create_server(("127.0.0.1", 0))
        if server_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, server_buffer)
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, sock=listening)
        sock = socket.socket()
        if client_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, client_buffer)
        sock.setblocking(False)
        await loop.sock_connect(sock, listening.getsockname())
        self._clients.append(Client(sock))
        await until(lambda: len(self._made) == len(self._clients) == len(self.shell.connections))
        server.close()
        return self._clients[-1], self._made[-1]

    async def close(self) -> None:
        for client in self._clients:
            if client.writer is not None:
                client.writer.transport.abort()
            client.sock.close()
        await until(lambda: not self.shell.connections)


async def until(condition) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0)


def on_both_loops(test):
    """Run the test, `async def test(shell, connect, **parameters)`, on asyncio's loop and on uvloop's."""

    @pytest.mark.parametrize(
        "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    def run(loop_factory, **parameters) -> None:
        async def whole() -> None:
            bench = Bench()
            try:
                await test(bench.shell, bench.connect, **parameters)
            finally:
                await bench.close()

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(whole())

    wanted = [*inspect.signature(test).parameters][2:]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("loop_factory", *wanted)]
    )
    return run


async def started(client: Client, connection: Connection) -> Session:
    """Shake hands and identify."""
    assert "101" in await client.open()
    assert (await client.message())["op"] == Op.HELLO
    client.send(IDENTIFY)
    client.send(HEARTBEAT)
    assert (await client.message())["op"] == Op.HEARTBEAT_ACK
    await until(lambda: connection.session is not None)
    return connection.session


@on_both_loops
async def test_hello_heartbeat_and_a_message(shell, connect):
    client, connection = await connect()
    await started(client, connection)
    shell.world.say("hi")
    message = await client.message()
    assert (message["t"], message["s"], message["d"]["content"]) == ("MESSAGE_CREATE", shell.hub.s, "hi")


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("opcode", [1, 2])
@on_both_loops
async def test_text_binary_and_fragments_are_alike(shell, connect, opcode, pieces):
    client, connection = await connect()
    await started(client, connection)
    body = b'{"op":128,"d":{"nonce":"n"}}'
    size = -(-len(body) // pieces)
    for at in range(0, len(body), size):
        client.send(body[at : at + size], opcode if at == 0 else 0, fin=at + size >= len(body))
        if at + size < len(body):
            client.send(b"ping", 9)
            assert await client.frame() == (0x8A, b"ping")
    assert await client.message() == {"op": Op.SENT, "d": {"nonce": "n", "id": "1"}, "s": None, "t": None}
    assert shell.published == [(ALICE, b'{"nonce":"n"}')]


@on_both_loops
async def test_bytes_may_come_one_by_one(shell, connect):
    client, _ = await connect()
    await client.open()
    await client.message()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"\x81\x91\x00\x00\x00\x00" + HEARTBEAT:
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.message())["op"] == Op.HEARTBEAT_ACK


@pytest.mark.parametrize(
    ("compress", "kind"), [("zlib-stream", Transport.ZLIB), ("zstd-stream", Transport.ZSTD), ("lz4", None)]
)
@on_both_loops
async def test_transports(shell, connect, compress, kind):
    client, _ = await connect()
    await client.open(f"/gateway/?encoding=json&v=10&compress={compress}")
    first, payload = await client.frame()
    if kind is None:
        assert json.loads(payload)["op"] == Op.HELLO
        return
    assert first == 0x82
    assert payload.startswith(kind.value)
    inflate = zlib.decompressobj()
    if kind is Transport.ZLIB:
        assert json.loads(inflate.decompress(payload))["op"] == Op.HELLO
    client.send(IDENTIFY, 2)
    client.send(HEARTBEAT, 2)
    _, ack = await client.frame()
    await shell.idle()
    shell.world.say("hi")
    _, said = await client.frame()
    if kind is Transport.ZLIB:
        ack, said = (json.loads(inflate.decompress(each)) for each in (ack, said))
        assert (ack["op"], said["d"]["content"]) == (Op.HEARTBEAT_ACK, "hi")
    else:
        assert b'"op":11' in ack
        assert b'"content":"hi"' in said


@pytest.mark.parametrize("path", ["/?v=8", "/?v=10&encoding=etf"])
@on_both_loops
async def test_what_is_not_spoken_is_closed(shell, connect, path):
    client, _ = await connect()
    assert "101" in await client.open(path)
    assert await client.close_code() == CloseCode.INVALID_API_VERSION


@on_both_loops
async def test_plain_http_is_told_to_upgrade(shell, connect):
    client, connection = await connect()
    client.reader, client.writer = await asyncio.open_connection(sock=client.sock)
    client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"426" in await client.reader.readline()
    await client.reader.read()
    assert connection.session is None


@on_both_loops
async def test_rejections_leave_the_connection_open(shell, connect):
    client, connection = await connect()
    await client.open()
    await client.message()
    client.send(b'{"op":6,"d":{"token":"t","session_id":"nobody","seq":5}}')
    assert await client.message() == {"op": Op.INVALID_SESSION, "d": False, "s": None, "t": None}
    client.send(b'{"op":2,"d":{"token":"bad"}}')
    assert await client.close_code() == CloseCode.AUTHENTICATION_FAILED
    assert not connection.open


@on_both_loops
async def test_member_requests_reach_the_node(shell, connect):
    client, connection = await connect()
    session = await started(client, connection)
    client.send(b'{"op":8,"d":{"guild_id":"77","query":""}}')
    client.send(HEARTBEAT)
    await client.message()
    [(asked_by, asked)] = shell.asked
    assert asked_by is session
    assert asked.guild_id == GUILD_ID


@on_both_loops
async def test_a_reader_that_stops_becomes_a_cursor_and_misses_nothing(shell, connect):
    client, connection = await connect(client_buffer=4096, server_buffer=4096)
    session = await started(client, connection)
    client.writer.transport.pause_reading()
    said = []
    async with asyncio.timeout(LIMIT_S):
        while session.cursor is None:
            said.append(f"{len(said)}." + "x" * 30_000)
            shell.world.say(said[-1])
            await asyncio.sleep(0)
    assert connection.blocked
    assert connection._transport.get_write_buffer_size() <= 30_500, "one frame at the most is held for it"
    for _ in range(50):
        said.append(f"{len(said)}." + "y" * 3000)
        shell.world.say(said[-1])
    client.send(HEARTBEAT)
    client.writer.transport.resume_reading()
    found, acks = [], 0
    while len(found) < len(said) or not acks:
        message = await client.message()
        if message["op"] == Op.HEARTBEAT_ACK:
            acks += 1
        else:
            found.append(message["d"]["content"])
    assert found == said
    assert session.cursor is None
    assert session not in shell.hub.catch_up.catching
    shell.world.say("live again")
    assert (await client.message())["d"]["content"] == "live again"


@pytest.mark.parametrize(("code", "resumable"), [(1000, False), (1001, False), (4000, True), (None, True)])
@on_both_loops
async def test_the_closing_handshake_says_whether_the_session_ended(shell, connect, code, resumable):
    client, connection = await connect()
    session = await started(client, connection)
    client.send(code.to_bytes(2, "big") if code else b"", 8)
    first, payload = await client.frame()
    assert first == 0x88
    assert payload == (code.to_bytes(2, "big") if code else b"")
    assert await client.ends()
    client.writer.close()
    await until(lambda: not shell.connections)
    assert (session.key in shell.hub.sessions) == resumable
    assert shell.forgotten == ([] if resumable else [session])


@on_both_loops
async def test_a_lost_connection_leaves_the_session(shell, connect):
    client, connection = await connect()
    session = await started(client, connection)
    client.writer.transport.abort()
    await until(lambda: not shell.connections)
    assert shell.hub.sessions[session.key].link is None
    assert connection.fd == -1
    shell.world.say("to nobody")


@on_both_loops
async def test_a_frame_above_every_limit(shell, connect):
    client, connection = await connect()
    session = await started(client, connection)
    client.send(b"x" * (OWN_FRAME_BYTES + 1))
    assert await client.close_code() == CloseCode.MESSAGE_TOO_BIG
    assert not connection.open, "nothing more is written to it"
    assert session.link is None
    assert session.key in shell.hub.sessions


@on_both_loops
async def test_a_peer_that_never_answers_a_close_is_dropped(shell, connect):
    client, connection = await connect()
    await started(client, connection)
    connection.stop(CloseCode.SERVICE_RESTART, "stops")
    assert await client.close_code() == CloseCode.SERVICE_RESTART
    now = time.monotonic()
    shell.wheel.turn(now + 3)
    await shell.idle()
    assert shell.connections, "it still has time"
    shell.wheel.turn(now + 8)
    assert await client.ends()
    assert not shell.connections


@pytest.mark.parametrize("failure", [b"\xff\xff\xff\xff", b"\x81\xff" + b"\x7f" + b"\xff" * 7])
@on_both_loops
async def test_a_peer_that_breaks_the_protocol_is_dropped_if_it_stays(shell, connect, failure):
    client, connection = await connect()
    await started(client, connection)
    client.writer.write(failure)
    await client.close_code()
    now = time.monotonic()
    shell.wheel.turn(now + 8)
    await client.ends()
    await until(lambda: not shell.connections)


@on_both_loops
async def test_a_handshake_that_never_comes_is_dropped(shell, connect):
    client, _ = await connect()
    client.reader, client.writer = await asyncio.open_connection(sock=client.sock)
    client.writer.write(b"GET / HTTP/1.1\r\n")
    await shell.idle()
    shell.wheel.turn(time.monotonic() + 9)
    await shell.idle()
    assert shell.connections
    shell.wheel.turn(time.monotonic() + 12)
    assert await client.ends()


@on_both_loops
async def test_a_silent_client_is_closed_and_may_resume(shell, connect):
    client, connection = await connect()
    session = await started(client, connection)
    shell.wheel.turn(time.monotonic() + 50)
    shell.wheel.turn(time.monotonic() + 100)
    assert await client.close_code() == CloseCode.SESSION_TIMED_OUT
    assert session.key in shell.hub.sessions


@on_both_loops
async def test_pongs_are_not_heaped_up_for_a_reader_that_stopped(shell, connect):
    """Pings are not counted, and each is answered: they must not fill the memory."""
    client, connection = await connect(client_buffer=4096, server_buffer=4096)
    await started(client, connection)
    client.writer.transport.pause_reading()
    # Not masked for real: a mask of zeros changes nothing.
    pings = (b"\x89\xfd" + b"\x00" * 4 + b"p" * 125) * 500
    async with asyncio.timeout(LIMIT_S):
        while shell.connections:
            client.writer.write(pings)
            await asyncio.sleep(0)
            assert connection._transport.get_write_buffer_size() < 2 * SOCKET_HIGH_WATER_BYTES
