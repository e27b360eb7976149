"""One websocket connection."""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator
from socket import SO_RCVBUF, SOL_SOCKET
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from torture.client.session import (
    ClosedError,
    Event,
    InvalidSessionError,
    Op,
    ReconnectError,
    SendError,
    Session,
)
from torture.client.wire import Compression, Frame, ProtocolError, check, inflater

__all__ = ["Client"]

# Events that nobody has taken; more than that is a mistake of the program that uses the client.
_UNREAD: Final = 100_000
_OPEN_S: Final = 30.0
_ABNORMAL: Final = 1006
_SLOW_BYTES: Final = 64 * 1024
_encode = msgspec.json.Encoder().encode


_Item = Event | ClosedError | InvalidSessionError | ReconnectError | ProtocolError


class Client:
    """A connection of a session.

    Frames are read as they come; a dispatch counts for the session (`seq`, `messages`) when the program
    takes it with `next`. So after `cut` the session stands exactly where the program stopped.
    """

    def __init__(self, socket: ClientConnection, session: Session, compression: Compression) -> None:
        """Use `connect`."""
        self.session = session
        self.heartbeat_interval_s = 0.0
        self.acknowledged = 0
        """Heartbeats that were acknowledged."""
        self._socket = socket
        self._inflater = inflater(compression)
        self._items: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._nonce = secrets.token_hex(6)
        self._nonces = 0
        self._beaten = 0
        self._newest = 0
        self._starting = False
        self._tasks: list[asyncio.Task[None]] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.abandoned = False
        """Left half-open by `abandon`."""

    @classmethod
    async def connect(
        cls,
        url: str,
        session: Session,
        *,
        compress: Compression = Compression.NONE,
        version: str = "10",
        encoding: str = "json",
        tls: SSLContext | None = None,
    ) -> Self:
        """Connect and wait for HELLO; `tls` is whom to trust, where it is not whom the system trusts.

        Raises:
            ClosedError: the server closed instead.

        """
        query = f"?v={version}&encoding={encoding}" + (f"&compress={compress}" if compress else "")
        trust: dict[str, Any] = {} if tls is None else {"ssl": tls}
        socket = await connect(
            url + query,
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=_OPEN_S,
            proxy=None,
            **trust,
        )
        client = cls(socket, session, compress)
        client._tasks.append(asyncio.create_task(client._read(), name="read"))
        try:
            await client._hello
        except BaseException:
            await client.close()
            raise
        client._tasks.append(asyncio.create_task(client._beat(), name="beat"))
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Sessions

    async def identify(self, **fields: Any) -> Event:
        """Begin a session and wait for READY. Raises as `next`."""
        self._starting = True
        properties = {"os": "linux", "browser": "fanfare", "device": "fanfare"}
        d = {"token": self.session.token, "intents": self.session.intents, "properties": properties}
        await self.write(Op.IDENTIFY, d | fields)
        event = await self.next()
        if event.t != "READY":
            raise ProtocolError(f"{event.t} came before READY")
        return event

    async def start(self) -> list[Event]:
        """Begin a session and take READY and its guilds. Raises as `next`."""
        events = [await self.identify()]
        expected = {guild["id"] for guild in events[0].d["guilds"]}
        while expected:
            event = await self.next()
            if event.t not in {"GUILD_CREATE", "GUILD_DELETE"}:
                raise ProtocolError(f"{event.t} came before all guilds of READY")
            expected.discard(event.d["id"])
            events.append(event)
        return events

    async def ask_to_resume(self, **fields: Any) -> None:
        """Send RESUME; what was missed and RESUMED follow as events, or INVALID_SESSION."""
        session = self.session
        self._newest = session.seq or 0
        d = {"token": session.token, "session_id": session.id, "seq": session.seq}
        await self.write(Op.RESUME, d | fields)

    async def resume(self) -> list[Event]:
        """Go on with the session: what was missed, RESUMED not included. Raises as `next`."""
        await self.ask_to_resume()
        missed = []
        while (event := await self.next()).t != "RESUMED":
            missed.append(event)
        if event.d != {}:
            raise ProtocolError("`d` of RESUMED is not {}")
        return missed

    # Events

    async def next(self) -> Event:
        """Take the next dispatch.

        Raises:
            InvalidSessionError, ReconnectError: the server said so, at this place.
            ClosedError: the connection has ended, at this place.
            ProtocolError: the server did what it must not.

        """
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items[0]
        if not isinstance(item, ClosedError | ProtocolError):
            self._items.popleft()
        if not isinstance(item, Event):
            raise item
        self.session.take(item)
        return item

    async def until(self, name: str, **fields: Any) -> Event:
        """Take dispatches up to the first one with this name and these values in `d`. Raises as `next`."""
        while True:
            event = await self.next()
            if event.t == name and all(event.d.get(key) == value for key, value in fields.items()):
                return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        """All dispatches, until the connection ends. Raises as `next`, but not ClosedError."""
        with contextlib.suppress(ClosedError):
            while True:
                yield await self.next()

    async def closed(self) -> ClosedError:
        """Wait for the end of the connection; events on the way are taken. Raises as `next`."""
        while True:
            try:
                await self.next()
            except ClosedError as end:
                return end

    # To the server

    async def write(self, op: int, d: Any) -> None:
        """Send a frame."""
        await self.write_raw(_encode({"op": op, "d": d}).decode())

    async def write_raw(self, message: str | bytes) -> None:
        """Send a TEXT or BINARY message, by its type. Nothing happens if the connection is closed."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(message)

    async def send(
        self, channel: int | str, content: str, nonce: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Publish a message with op 128 and wait for the answer.

        Returns:
            The `d` of SENT: nonce, id and channel_id.

        Raises:
            SendError: it was answered with an error.
            ClosedError: the connection ended before the answer came.

        """
        if nonce is None:
            self._nonces += 1
            nonce = f"{self._nonce}.{self._nonces}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self._sent.setdefault(nonce, answer) is not answer:
            raise ValueError(f"the nonce {nonce!r} waits for its answer already")
        try:
            if self._items and isinstance(self._items[-1], ClosedError):
                raise self._items[-1]
            d = {"channel_id": str(channel), "content": content, "nonce": nonce}
            await self.write(Op.SEND, d | fields)
            found = await answer
        finally:
            del self._sent[nonce]
        if "error" in found:
            raise SendError(found["error"])
        return found

    async def heartbeat(self) -> None:
        """Send a heartbeat; `acknowledged` counts up when the answer is there."""
        self._beaten += 1
        await self.write(Op.HEARTBEAT, self.session.seq)

    async def close(self, code: int = 1000) -> None:
        """Close; with 1000 or 1001 the session ends, with any other code it can be resumed."""
        await self._socket.close(code)
        await self._end()

    async def cut(self) -> None:
        """Drop the connection as a lost network does: no close frame, and nothing more is taken."""
        self._socket.transport.abort()
        await self._end()
        self._items.clear()
        self._fail(ClosedError(_ABNORMAL, "cut"))

    @property
    def paused(self) -> bool:
        """Whether nothing is read from the socket."""
        return not self._flowing.is_set()

    def pause(self) -> None:
        """Read nothing more, as a program that is too slow does; the server's buffers fill up."""
        self._flowing.clear()
        transport = self._socket.transport
        if not transport.is_closing():
            # The kernel would take some ten megabytes before the server notices.
            transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, _SLOW_BYTES)

    def unpause(self) -> None:
        """Read again."""
        self._flowing.set()

    def abandon(self) -> None:
        """Vanish without a word: the connection stays half-open until `cut`, and nothing more is taken."""
        self.abandoned = True
        self.pause()
        for task in self._tasks[1:]:
            task.cancel()
        self._items.clear()
        self._fail(ClosedError(_ABNORMAL, "abandoned"))

    # Inside

    async def _end(self) -> None:
        await self._socket.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if not self._flowing.is_set():
                    await self._flowing.wait()
                await self._on_frame(check(self._inflater.inflate(message)))
        except ProtocolError as error:
            self._fail(error)
            self._socket.transport.abort()
            return
        except ConnectionClosed:
            pass
        close = self._socket.close_code, self._socket.close_reason
        self._fail(ClosedError(close[0] or _ABNORMAL, close[1] or ""))

    def _fail(self, error: ClosedError | ProtocolError) -> None:
        self._put(error)
        waiting: list[asyncio.Future[Any]] = [self._hello, *self._sent.values()]
        for each in waiting:
            if not each.done():
                each.set_exception(error)
                each.exception()  # it may be that nobody waits

    def _put(self, item: _Item) -> None:
        if len(self._items) >= _UNREAD and isinstance(item, Event):
            raise ProtocolError(f"{_UNREAD} events were not taken")
        self._items.append(item)
        self._arrived.set()

    async def _on_frame(self, frame: Frame) -> None:  # noqa: C901 - a table of opcodes
        if not self._hello.done():
            if frame.op != Op.HELLO:
                raise ProtocolError(f"op {frame.op} came before HELLO")
            self.heartbeat_interval_s = frame.d["heartbeat_interval"] / 1000
            self._hello.set_result(None)
            return
        match frame.op:
            case Op.DISPATCH:
                self._put(self._dispatch(frame))
            case Op.HEARTBEAT:
                await self.heartbeat()
            case Op.HEARTBEAT_ACK:
                self.acknowledged += 1
                if self.acknowledged > self._beaten:
                    raise ProtocolError("an ACK came without a heartbeat")
            case Op.RECONNECT:
                self._put(ReconnectError())
            case Op.INVALID_SESSION:
                if not isinstance(frame.d, bool):
                    raise ProtocolError("`d` of INVALID_SESSION is no boolean")
                self._put(InvalidSessionError(resumable=frame.d))
            case Op.SENT:
                waiting = self._sent.get(frame.d.get("nonce"))
                if waiting is None or waiting.done():
                    raise ProtocolError(f"SENT for a nonce that does not wait: {frame.d}")
                waiting.set_result(frame.d)
            case _:
                raise ProtocolError(f"op {frame.op} is none of the server's")

    def _dispatch(self, frame: Frame) -> Event:
        assert frame.s is not None
        assert frame.t is not None
        if frame.t == "READY":
            if not self._starting:
                raise ProtocolError("READY came unasked")
            self._starting = False
            self._newest = 0
        if frame.s < self._newest:
            raise ProtocolError(f"`s` fell from {self._newest} to {frame.s} at {frame.t}")
        self._newest = frame.s
        return Event(frame.t, frame.s, frame.d)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_interval_s)
            if self.acknowledged < self._beaten:
                self._fail(ProtocolError("a heartbeat was not acknowledged within an interval"))
                self._socket.transport.abort()
                return
            await self.heartbeat()
