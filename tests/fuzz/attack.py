"""Sends broken requests to a running system and keeps the books: what may be answered, and what may be written.

A request that is refused leaves nothing behind: not in PostgreSQL, not in Kafka. A request that is accepted is told so,
and what it writes can be read by everybody: a strict client and a real discord.py bot watch.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import asyncpg
import discord
import msgspec
import websockets
from multidict import CIMultiDict
from websockets.asyncio.client import ClientConnection, connect
from yarl import URL

from fanfare.bus.read_since import read_since
from fanfare.bus.topics import CHAT_EVENTS
from gateway.ingress.drafts import MAX_BYTES
from gateway.protocol.codes import CloseCode
from gateway.rest.app import PREFIXES
from tests.fuzz.broken import Case, Frame
from tests.fuzz.doors import OPS, TELLS
from tests.stack import Stack
from tests.world import Node, World, make_world, nodes_of, settings_of
from torture.client import Client, Op

__all__ = ["Attack", "WrongError"]

# What REST answers to somebody who is known, while nothing is wrong with the stores.
ANSWERS: Final = frozenset({200, 201, 204, 400, 403, 404, 405, 413, 415, 429})
# How a connection may end: the client's own mistakes, by their codes. 4000 would be ours.
ENDS: Final = frozenset({1002, 1003, 1007, 1009, *(int(code) for code in CloseCode if 4001 <= code <= 4014)})
_AGO_MS: Final = 10_000
# A connection may send 120 frames in a minute; each case is a frame and a heartbeat.
_FRAMES: Final = 50
_ANSWER_S: Final = 60.0


class WrongError(AssertionError):
    """The system did what it must not."""


class _Op(msgspec.Struct):
    op: int


class Attack:
    """An attacker who owns a guild of a running system; an asynchronous context manager."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._since_ms = int(time.time() * 1000) - _AGO_MS
        self.counts: Counter[str] = Counter()
        self._told: set[int] = set()
        """Ids of messages that were accepted."""
        self._written: Counter[str] = Counter()
        self._books: list[Any] = []
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._nodes: list[Node] = await nodes_of(self._stack)
        world: World = await make_world(self._stack, people=3, channels=2)
        self._people = {person.id for person in world.people}
        owner = world.people[0]
        self._token = owner.token
        self._http = await self._parts.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))
        )
        self._database: Any = await asyncpg.connect(self._stack.run["postgres"])
        self._parts.push_async_callback(self._database.close)
        edited = await self._good("POST", f"/channels/{world.channels[0]}/messages", {"content": "to edit"})
        self._told.add(int(edited["id"]))
        role = await self._good("POST", f"/guilds/{world.guild}/roles", {"name": "a role"})
        message = await self._good("POST", f"/channels/{world.channels[0]}/messages", {"content": "hello"})
        self._told.add(int(message["id"]))
        self._ids = {
            "GUILD": str(world.guild),
            "CHANNEL": str(world.channels[0]),
            "ROLE": role["id"],
            "MESSAGE": message["id"],
            "EDITED": edited["id"],
            "ME": str(owner.id),
            "OTHER": str(world.people[1].id),
            "EMOJI": "%F0%9F%94%A5",
            "INTERACTION_TOKEN": "bm8.bm8",
            "CODE": "abcdef",
            "TOKEN": owner.token,
        }
        self._watcher = await self._watch(world)
        self._bot = await self._start_bot(world)
        self._books = await self._read_books()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._parts.aclose()

    # Requests

    async def send(self, cases: list[Case], frames: list[Frame]) -> None:
        """Send a batch. Raises: WrongError."""
        try:
            wrote = await asyncio.gather(*(self._request(case) for case in cases))
            await self._converse([frame for frame in frames if frame.identified], identified=True)
            await self._converse([frame for frame in frames if not frame.identified], identified=False)
            self._alive()
        except BaseException:
            # The next batch begins with the books as they are.
            self._books = await self._read_books()
            raise
        found = await self._read_books()
        if not any(wrote) and found != self._books:
            refused = "\n".join(map(str, cases))
            raise WrongError(f"refused requests changed {self._books} into {found}:\n{refused}")
        self._books = found

    async def _request(self, case: Case) -> bool:
        """Send a request, and those after it; whether they may have changed a guild."""
        changed = [await self._send(case, body) for body in (case.body, *case.then)]
        if case.then:
            message = await self._good("GET", self._path(case))
            size = len(msgspec.json.encode([message[key] for key in ("content", "embeds", "components")]))
            if size > MAX_BYTES:
                raise WrongError(f"a message has {size} bytes after {case}")
        return any(changed)

    async def _send(self, case: Case, body: bytes) -> bool:
        """Send a request with this body; whether it may have changed a guild."""
        url = URL(self._nodes[0].api + self._path(case), encoded=True)
        headers = CIMultiDict((key, value.replace("TOKEN", self._token)) for key, value in case.headers)
        headers.setdefault("Authorization", f"Bot {self._token}")
        async with self._http.request(
            case.method,
            url,
            data=self._filled(body) or None,
            headers=headers,
            skip_auto_headers=("Content-Type",),
        ) as answer:
            said = await answer.read()
        self.counts[f"{case.method} {case.route} {answer.status}"] += 1
        _check_answer(case, answer.status, answer.headers, said)
        if answer.status >= 300:
            return False
        door = (case.method, case.route)
        if door == ("POST", "/channels/{channel}/messages"):
            self._told.add(int(json.loads(said)["id"]))
        elif door in TELLS:
            self._written[TELLS[door]] += 1
        return door not in TELLS and case.method != "GET"

    def _path(self, case: Case) -> str:
        path = case.path
        if case.method == "DELETE" and "{message}" not in case.route:
            # What the others work on has to stay.
            path = path.replace("<target>", "1").replace("<role>", "1").replace("<user>", "1")
            path = path if case.route != "/channels/{channel}" else path.replace("<channel>", "1")
            path = path if not case.route.endswith("/guilds/{guild}") else path.replace("<guild>", "1")
        if case.route == "/guilds/{guild}/bans/{user}":
            path = path.replace("<user>", "1")
        named = {"<guild>": "GUILD", "<channel>": "CHANNEL", "<message>": "MESSAGE", "<user>": "OTHER"}
        named["<edited>"] = "EDITED"
        named |= {
            "<role>": "ROLE",
            "<target>": "ROLE",
            "<application>": "ME",
            "<emoji>": "EMOJI",
            "<webhook>": "ME",
        }
        named |= {"<token>": "INTERACTION_TOKEN", "<interaction>": "MESSAGE", "<command>": "MESSAGE"}
        named["<code>"] = "CODE"
        for word, name in named.items():
            path = path.replace(word, self._ids[name])
        return path

    def _filled(self, body: bytes) -> bytes:
        for word, ident in self._ids.items():
            body = body.replace(b'"%b"' % word.encode(), b'"%b"' % ident.encode())
            body = body.replace(b"%b>" % word.encode(), b"%b>" % ident.encode())
        return body

    async def _good(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bot {self._token}"}
        async with self._http.request(
            method, self._nodes[0].api + path, json=body, headers=headers
        ) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    # Frames

    async def _converse(self, frames: list[Frame], *, identified: bool) -> None:
        """Send frames over as few connections as may be; one that has ended is replaced."""
        socket: ClientConnection | None = None
        sent = 0
        for frame in frames:
            if socket is None or sent >= _FRAMES:
                if socket is not None:
                    await socket.close(4999)
                socket, sent = await self._open(identified=identified), 0
            sent += 1
            keeps = await self._frame(socket, frame)
            if not keeps or frame.op in {Op.IDENTIFY, Op.RESUME}:
                await socket.close(4999)
                socket = None
        if socket is not None:
            await socket.close(4999)

    async def _open(self, *, identified: bool) -> ClientConnection:
        url = self._nodes[-1].gateway + "?v=10&encoding=json"
        socket = await connect(url, compression=None, max_size=None, ping_interval=None, proxy=None)
        await socket.recv()
        if identified:
            d = {"token": self._token, "intents": 0, "properties": {}}
            await socket.send(json.dumps({"op": 2, "d": d}))
            while json.loads(await socket.recv())["t"] != "READY":
                pass
        return socket

    async def _frame(self, socket: ClientConnection, frame: Frame) -> bool:
        """Send one and wait until it has been dealt with; whether the connection goes on."""
        data = self._filled(frame.data)
        try:
            text = None if frame.binary else data.decode()
        except UnicodeDecodeError:
            text = None
        try:
            await socket.send(data if text is None else text)
            await socket.send('{"op":1,"d":null}')
            await self._dealt_with(socket, answers=1 if _op_of(data) == Op.SEND else 0, frame=frame)
        except websockets.ConnectionClosed as end:
            code = end.rcvd.code if end.rcvd is not None else 1006
            self.counts[f"op {frame.op} closed {code}"] += 1
            if code not in ENDS:
                raise WrongError(f"closed with {code} {end.rcvd and end.rcvd.reason} after {frame}") from end
            return False
        self.counts[f"op {frame.op} goes on"] += 1
        return True

    async def _dealt_with(self, socket: ClientConnection, answers: int, frame: Frame) -> None:
        """Read up to the heartbeat's acknowledgement, and the answer to a send."""
        acknowledged = 0 if _op_of(frame.data) != Op.HEARTBEAT else -1
        async with asyncio.timeout(_ANSWER_S):
            while acknowledged < 1 or answers > 0:
                said = json.loads(await socket.recv())
                acknowledged += said["op"] == Op.HEARTBEAT_ACK
                if said["op"] == Op.SENT:
                    answers -= 1
                    self._sent(said["d"], frame)

    def _sent(self, d: dict[str, Any], frame: Frame) -> None:
        if "id" in d:
            self._told.add(int(d["id"]))
        elif d["error"]["code"] == 0 or not isinstance(d["error"]["message"], str):
            raise WrongError(f"{d} answers {frame}")

    # Books

    async def check(self) -> None:
        """Compare what Kafka has with what was answered. Raises: WrongError."""
        found: Counter[str] = Counter()
        messages = set()
        async for batch in read_since(settings_of(self._stack), CHAT_EVENTS, self._since_ms):
            for record in (incoming.record for incoming in batch):
                if record.author in self._people:
                    found[record.type] += 1
                    if record.type == "MESSAGE_CREATE":
                        messages.add(record.id)
        if messages != self._told:
            raise WrongError(f"not told: {messages - self._told}; not written: {self._told - messages}")
        for name in set(TELLS.values()) - {"MESSAGE_CREATE"}:
            if found[name] > self._written[name]:
                raise WrongError(f"{found[name]} {name}, and {self._written[name]} were answered")
        last = str(max(self._told))
        message = await self._good("POST", f"/channels/{self._ids['CHANNEL']}/messages", {"content": last})
        await self._seen.until(message["id"])
        self._alive()

    async def _read_books(self) -> list[Any]:
        tables = ("guilds", "channels", "roles", "members", "overwrites", "users")
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        row = await self._database.fetchrow(f"SELECT (SELECT sum(version) FROM guilds), {counts}")
        return list(row)

    # Witnesses

    async def _watch(self, world: World) -> asyncio.Task[None]:
        client = await Client.connect(self._nodes[-1].gateway, world.people[1].session())
        await client.start()

        async def read() -> None:
            async for _ in client:
                pass

        task = asyncio.create_task(read(), name="watcher")
        self._parts.push_async_callback(_cancelled, task)
        self._parts.push_async_callback(client.close)
        return task

    async def _start_bot(self, world: World) -> asyncio.Task[None]:
        """A discord.py bot: an event that it cannot read ends it."""
        node = self._nodes[0]
        discord.http.Route.BASE = node.api
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(node.gateway)
        self._seen = _Bot()
        task = asyncio.create_task(self._seen.start(world.people[2].token), name="bot")
        self._parts.push_async_callback(_cancelled, task)
        self._parts.push_async_callback(self._seen.close)
        async with asyncio.timeout(_ANSWER_S):
            await self._seen.begun.wait()
        return task

    def _alive(self) -> None:
        for task in (self._watcher, self._bot):
            if task.done():
                raise WrongError(f"the {task.get_name()} has ended: {task.exception()!r}")
        if self._seen.error is not None:
            raise WrongError(f"the bot could not read an event: {self._seen.error!r}")


class _Bot(discord.Client):
    """Reads everything."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.all())
        self.error: BaseException | None = None
        self._messages: set[str] = set()
        self._came = asyncio.Event()
        self.begun = asyncio.Event()

    async def on_ready(self) -> None:
        self.begun.set()

    async def on_message(self, message: discord.Message) -> None:
        self._messages.add(str(message.id))
        self._came.set()

    async def on_error(self, *_: Any, **__: Any) -> None:
        import sys

        self.error = sys.exception() or RuntimeError("unknown")

    async def until(self, ident: str) -> None:
        """Until a message was seen."""
        async with asyncio.timeout(_ANSWER_S):
            while ident not in self._messages:
                self._came.clear()
                await self._came.wait()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _op_of(data: bytes) -> int | None:
    try:
        return msgspec.json.decode(data, type=_Op).op
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _check_answer(case: Case, status: int, headers: Any, said: bytes) -> None:
    """The answer is a documented one, in the protocol's form."""
    odd = any(name == "Authorization" for name, _ in case.headers)
    if status not in ANSWERS and not (odd and status == 401):
        raise WrongError(f"{status} {said[:300]!r} answers {case}")
    if "Access-Control-Allow-Origin" not in headers:
        raise WrongError(f"{status} without the headers of CORS answers {case}")
    if status == 204:
        return
    if headers.get("Content-Type") != "application/json":
        raise WrongError(f"{status} as {headers.get('Content-Type')} answers {case}")
    body = json.loads(said)
    if status >= 400 and not (isinstance(body.get("code"), int) and isinstance(body.get("message"), str)):
        raise WrongError(f"{status} {body} answers {case}")


assert PREFIXES  # the routes are tried under the first of them
assert OPS
