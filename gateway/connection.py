"""One client connection: bytes in and out, around websockets' sans-I/O protocol and our own dialogue.

There is no task per connection. Dispatches are ready frames written straight to the descriptor; what the kernel does
not take goes through the transport, and until the transport has drained, the session is a cursor.
"""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from structlog.typing import FilteringBoundLogger
from typing_extensions import override
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as Wire
from websockets.server import ServerProtocol

from fanfare.constants import (
    CLIENT_FRAME_BYTES,
    CONTROL_FRAMES_PER_MINUTE,
    HANDSHAKE_S,
    MESSAGE_FRAGMENTS,
    OWN_FRAME_BYTES,
    SOCKET_HIGH_WATER_BYTES,
)
from fanfare.model import User
from gateway import metrics
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.listening import http_answers
from gateway.listening.admission import Admission
from gateway.location.watch_list import SocketWatcher
from gateway.protocol.codes import CloseCode, Op
from gateway.protocol.dialogue import (
    Asked,
    Close,
    Dialogue,
    Effect,
    Identify,
    Locate,
    Reply,
    Resume,
    SendMessage,
    SetStatus,
    SetVoice,
    Watch,
)
from gateway.protocol.frames import Transport, control, wrap
from gateway.protocol.member_requests import RequestMembers
from gateway.sessions.outcomes import EndError, InvalidSessionError
from gateway.sessions.start import Starter
from gateway.timers import Wheel

__all__ = ["Connection", "Shell"]

# The library's own log lines about each connection are not wanted.
_QUIET: Final = logging.getLogger("fanfare.websocket")
_QUIET.setLevel(logging.CRITICAL)

_CLOSE_S: Final = 5.0
_KINDS: Final = {"": Transport.JSON, "zlib-stream": Transport.ZLIB, "zstd-stream": Transport.ZSTD}
_VERSIONS: Final = {"", "9", "10"}
# Frames of the dialogue that are the same for everybody.
_CONSTANT: Final = {
    (kind, op): wrap(control(op, None), kind)
    for kind in Transport
    for op in (Op.HEARTBEAT_ACK, Op.RECONNECT, Op.HEARTBEAT)
}
# Longer messages are for sessions. Twice what is allowed: above that the library closes with 1009, below it we close
# with Discord's own code.
_UNIDENTIFIED_BYTES: Final = 2 * CLIENT_FRAME_BYTES
# So much is parsed before the frames in it are looked at: a PING is six bytes, and each costs an answer.
_SLICE_BYTES: Final = 4096
_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_ENDING_CODES: Final = frozenset({1000, 1001})


class Shell(Protocol):
    """What connections need of their node."""

    hub: Hub
    starter: Starter
    wheel: Wheel
    log: FilteringBoundLogger
    connections: "set[Connection]"
    admission: Admission
    healthy: bool
    """Whether a load balancer is to send clients here."""
    open: bool
    """Whether new sockets are taken."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a short piece of work in the background."""

    async def publish(self, user: User, body: bytes) -> dict[str, Any]:
        """Publish a message: the `d` of SENT."""

    async def members(self, session: Session, asked: RequestMembers) -> None:
        """Send the chunks of a member request."""

    async def status(self, session: Session, body: bytes) -> None:
        """Show another status of a session's user."""

    async def voice(self, session: Session, body: bytes) -> None:
        """Let a session's user be in a voice channel, or in none."""

    async def locate(self, user: User, body: bytes) -> dict[str, Any]:
        """Publish a position: the `d` of LOCATE."""

    async def watch(self, watcher: SocketWatcher, body: bytes) -> dict[str, Any]:
        """Watch what a client asks for, instead of what it watched: the `d` of WATCH."""

    def watching(self, watcher: SocketWatcher) -> None:
        """Its client knows what it watches."""

    def watcher_blocked(self, watcher: SocketWatcher) -> None:
        """Its link takes nothing for now."""

    def watcher_drained(self, watcher: SocketWatcher) -> None:
        """Its link takes something again."""

    def watcher_gone(self, watcher: SocketWatcher) -> None:
        """It watches no more."""


class Connection(asyncio.Protocol):
    """A connection, from accepting to lost. Its methods are called by the transport and by the hub."""

    __slots__ = (
        "_bucket",
        "_dialogue",
        "_parts",
        "_shell",
        "_transport",
        "_unread",
        "_watcher",
        "_ws",
        "blocked",
        "fd",
        "open",
        "session",
        "transport_kind",
    )

    _transport: asyncio.Transport

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._ws = ServerProtocol(max_size=_UNIDENTIFIED_BYTES, logger=_QUIET)
        self._dialogue: Dialogue | None = None
        self._parts: list[bytes] = []
        self._unread = 0
        self._bucket = 0
        self._watcher: SocketWatcher | None = None
        self.session: Session | None = None
        self.transport_kind = Transport.JSON
        self.blocked = False
        self.open = True
        self.fd = -1

    # From the transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by type.
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("sslcontext") is None:
            self.fd = transport.get_extra_info("socket").fileno()
            # A cursor takes over as soon as the kernel does not take everything.
            self._transport.set_write_buffer_limits(high=0)
        else:
            self._transport.set_write_buffer_limits(high=SOCKET_HIGH_WATER_BYTES)
        self._shell.connections.add(self)
        metrics.CONNECTIONS.inc()
        now = time.monotonic()
        self._due(now + HANDSHAKE_S)
        self._shell.admission.enter(self, transport.get_extra_info("peername")[0], now)

    @override
    def data_received(self, data: bytes) -> None:
        if self._dialogue is None and not self._shell.admission.heard(self, len(data)):
            self._refuse(http_answers.TOO_LARGE)
            self._shell.admission.count("head")
            return
        if len(data) <= _SLICE_BYTES:
            self._feed(data)
            return
        for at in range(0, len(data), _SLICE_BYTES):
            self._feed(data[at : at + _SLICE_BYTES])
            if not self._transport.is_reading():
                break

    def _feed(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame):
                self._frame(event)
        if self.open and self._ws.state is Wire.CLOSING:
            # The client broke the protocol; the library is about to say so (1002, 1007, 1009).
            self._leave()
        if self._dialogue is None and isinstance(self._ws.handshake_exc, InvalidMessage) and self.open:
            self._refuse(http_answers.NOT_HTTP)
            return
        self._flush()

    @override
    def eof_received(self) -> None:
        if self._ws.state is not Wire.CLOSED:
            self._ws.receive_eof()
            self._flush()

    @override
    def pause_writing(self) -> None:
        self._block()

    @override
    def resume_writing(self) -> None:
        self.blocked = False
        self._unread = 0
        if self.session is not None:
            self._shell.hub.drained(self.session)
        if self._watcher is not None and not self.blocked:
            self._shell.watcher_drained(self._watcher)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.fd = -1
        metrics.CONNECTIONS.dec()
        self._shell.admission.left(self)
        self._shell.wheel.forget(self._bucket, self._check)
        self._shell.connections.discard(self)
        if self._dialogue is not None:
            self._dialogue.closed()
        self._detach()
        # The library's parser and its protocol hold each other, and an error of the parser holds both: some sixty
        # objects that only a search for garbage would find, which is rare and takes long.
        self._ws.parser.close()
        self._ws.parser_exc = None

    # To the socket

    def send(self, data: bytes) -> None:
        """Write frames; takes all of them, but the link may be blocked afterwards."""
        metrics.WRITTEN.bytes += len(data)
        if self.fd < 0 or self.blocked:
            self._transport.write(data)
            return
        try:
            written = os.write(self.fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # connection_lost follows
        if written < len(data):
            self.rest(data, written)

    def rest(self, data: bytes, written: int) -> None:
        """Take over a frame of which so much was written to `fd`; blocks the link until it has gone out."""
        self._transport.write(memoryview(data)[written:])
        if self._transport.get_write_buffer_size():
            self._block()

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; the hub is told nothing more of it."""
        self.session = None
        self._unwatch()
        self._close(code, reason)

    def reconnect(self) -> None:
        """Ask the client to connect again and resume."""
        if self.open and self._dialogue is not None:
            self.send(_CONSTANT[self.transport_kind, Op.RECONNECT])

    def stop(self, code: CloseCode, reason: str) -> None:
        """Close because the node stops; the session stays resumable."""
        self._detach()
        self._close(code, reason)

    def invalidate(self) -> None:
        """Tell the client that the session is lost; it may identify on this connection."""
        self.session = None
        self._unwatch()
        if self._dialogue is not None:
            self._dialogue.rejected()
            self._reply(Reply(Op.INVALID_SESSION, d=False))

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    # Inside

    def _block(self) -> None:
        self.blocked = True
        if self.session is not None:
            self._shell.hub.block(self.session)
        if self._watcher is not None:
            self._shell.watcher_blocked(self._watcher)

    def answer(self, data: bytes) -> None:
        """Send an answer to the client. A client that does not read is cut when too many of its answers wait."""
        self.send(data)
        if self.blocked:
            self._unread += len(data)
            if self._unread > SOCKET_HIGH_WATER_BYTES:
                self.abort()

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self.answer(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def cut(self) -> None:
        """Drop the connection: others need its room."""
        self.abort()

    def _refuse(self, answer: bytes) -> None:
        """Answer a request that is no websocket handshake, and close."""
        self.open = False
        self._transport.write(answer)
        self._transport.pause_reading()
        self._transport.close()
        self._due(time.monotonic() + _CLOSE_S)

    def _handshake(self, request: Request) -> None:
        admission = self._shell.admission
        admission.parsed(self)
        admission.named(self, ",".join(request.headers.get_all("X-Forwarded-For")), time.monotonic())
        if self._transport.is_closing():
            return
        if "Upgrade" not in request.headers or not self._shell.open:
            self._refuse(http_answers.answer(request.method, request.path, healthy=self._shell.healthy))
            return
        response = self._ws.accept(request)
        self._ws.send_response(response)
        self._flush()
        # The library's parser keeps the request for as long as the connection: a third of its memory.
        request.headers.clear()
        if response.status_code != 101:
            return
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self._dialogue = Dialogue(time.monotonic())
        kind = _KINDS.get(query.get("compress", ""), Transport.JSON)
        if query.get("v", "") not in _VERSIONS or query.get("encoding", "json") != "json":
            self._close(CloseCode.INVALID_API_VERSION, "connect with ?v=10&encoding=json")
            return
        self.transport_kind = kind
        hello = self._dialogue.hello()
        self.send(wrap(control(hello.op, hello.d), kind, first=True))

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.open = False
            if self._dialogue is not None:
                self._dialogue.closed()
            self._detach()
            return
        if self._dialogue is None:
            return
        if (frame.opcode not in _DATA or not frame.data or not self.open) and not self._dialogue.control(
            time.monotonic()
        ):
            self._flooded(
                "frames", f"{CONTROL_FRAMES_PER_MINUTE} PINGs, PONGs and empty frames in 60 s at most"
            )
            return
        if frame.opcode in _DATA and self.open:
            data = bytes(frame.data)
            if self._parts or not frame.fin:
                self._parts.append(data)
                if len(self._parts) > MESSAGE_FRAGMENTS:
                    self._flooded("fragments", f"a message has {MESSAGE_FRAGMENTS} fragments at most")
                    return
                if not frame.fin:
                    return
                data = b"".join(self._parts)
                self._parts = []
            for effect in self._dialogue.receive(data, time.monotonic()):
                self._carry_out(effect)

    def _flooded(self, why: str, reason: str) -> None:
        """The client sends too many frames that say nothing: it gets a close frame, and nothing more of it is read."""
        if not self.open:
            self.abort()
            return
        self._shell.admission.count(why)
        self._detach()
        self._close(CloseCode.RATE_LIMITED, reason)
        self._parts = []
        self._transport.pause_reading()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Reply():
                self._reply(effect)
            case Close():
                self._detach()
                self._close(effect.code, effect.reason)
            case Identify() | Resume():
                self._shell.spawn(self._begin(effect))
            case _:
                if self.session is not None:
                    self._shell.spawn(self._work(self.session, effect))

    def _work(self, session: Session, effect: Asked) -> Coroutine[Any, Any, None]:
        """What a session asks for."""
        match effect:
            case SetStatus():
                return self._shell.status(session, effect.body)
            case SetVoice():
                return self._shell.voice(session, effect.body)
            case RequestMembers():
                return self._shell.members(session, effect)
            case SendMessage():
                return self._publish(session.user, effect.body)
            case Locate():
                return self._locate(session.user, effect.body)
            case Watch():
                return self._watch(session.user, effect.body)

    def _reply(self, reply: Reply) -> None:
        frame = _CONSTANT.get((self.transport_kind, reply.op))
        self.answer(frame or wrap(control(reply.op, reply.d), self.transport_kind))

    async def _begin(self, effect: Identify | Resume) -> None:
        assert self._dialogue is not None
        try:
            if isinstance(effect, Identify):
                session = await self._shell.starter.identify(self, effect)
            else:
                session = await self._shell.starter.resume(self, effect)
        except InvalidSessionError as why:
            metrics.INVALID.labels(str(why)).inc()
            if self.open:
                self._dialogue.rejected()
                self._reply(Reply(Op.INVALID_SESSION, d=False))
        except EndError as end:
            self._end(end)
        except Exception as error:
            self._close(CloseCode.UNKNOWN_ERROR, "an error on our side: reconnect and resume")
            self._shell.log.exception("a start failed", error=repr(error))
        else:
            if session.link is self:
                self.session = session
                self._dialogue.started()
                self._ws.max_message_size = OWN_FRAME_BYTES
                self._shell.admission.identified(self)
                if self.blocked:
                    self._shell.hub.block(session)
                if not self.open:
                    self._detach()

    def _end(self, end: EndError) -> None:
        if end.code is CloseCode.AUTHENTICATION_FAILED:
            self._shell.admission.invalid(self, time.monotonic())
        self._close(end.code, end.reason)

    async def _publish(self, user: User, body: bytes) -> None:
        answer = await self._shell.publish(user, body)
        if self.open and self._dialogue is not None:
            self._dialogue.answered()
            self._reply(Reply(Op.SENT, answer))

    async def _locate(self, user: User, body: bytes) -> None:
        answer = await self._shell.locate(user, body)
        if self.open and self._dialogue is not None:
            self._dialogue.answered()
            self._reply(Reply(Op.LOCATE, answer))

    async def _watch(self, user: User, body: bytes) -> None:
        if self._watcher is None:
            self._watcher = SocketWatcher(self, user.id)
        watcher = self._watcher
        answer = await self._shell.watch(watcher, body)
        if self.open and self._dialogue is not None:
            self._dialogue.answered()
            self._reply(Reply(Op.WATCH, answer))
            if watcher is self._watcher:
                self._shell.watching(watcher)
        if watcher is not self._watcher:
            # The socket or its session has gone meanwhile.
            self._shell.watcher_gone(watcher)

    def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._shell.watcher_gone(watcher)

    def _due(self, deadline: float) -> None:
        """Check the connection at that time, and not before."""
        wheel = self._shell.wheel
        wheel.forget(self._bucket, self._check)
        self._bucket = wheel.at(deadline, self._check)

    def _check(self, now: float) -> None:
        """The wheel's call: is the handshake done, has the client been heard of, is the close complete?"""
        if self._transport.is_closing():
            return
        if not self.open or self._dialogue is None:
            if self.open:
                self._shell.admission.count("head")
            self.abort()
            return
        for effect in self._dialogue.check(now):
            self._carry_out(effect)
        if self.open:
            self._due(self._dialogue.next_check() + 0.001)

    def _close(self, code: CloseCode, reason: str) -> None:
        if self._dialogue is not None:
            self._dialogue.closed()
        if not self.open:
            return
        self.open = False
        metrics.CLOSES.labels(str(int(code))).inc()
        if self._ws.state is Wire.OPEN:
            self._ws.send_close(code, reason)
            self._flush()
        self._due(time.monotonic() + _CLOSE_S)

    def _leave(self) -> None:
        """Nothing more comes from the client that counts: the session waits for a resume."""
        self.open = False
        if self._dialogue is not None:
            self._dialogue.closed()
        self._detach()
        self._due(time.monotonic() + _CLOSE_S)

    def _detach(self) -> None:
        self._unwatch()
        session, self.session = self.session, None
        if session is not None and session.link is self:
            close = self._ws.close_rcvd
            ended = (
                close is not None and self._ws.close_rcvd_then_sent is True and close.code in _ENDING_CODES
            )
            self._shell.hub.detach(session, ended=ended)
