"""The HTTP server: aiohttp's, with limits on what a client may leave unfinished.

aiohttp bounds lines, headers and the time between requests. It waits for ever for the rest of a body and for a client
that does not read its answer, and the head of a request may have a megabyte; `_Patience` ends these.
"""

import asyncio
import ssl
from array import array
from collections.abc import Sequence
from contextlib import suppress
from fcntl import ioctl
from socket import socket
from termios import TIOCOUTQ
from typing import Any, Final, cast

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from fanfare.constants import BODY_S, HEAD_BYTES, HEAD_S, KEEP_ALIVE_S, UNIDENTIFIED_REQUESTS, UNREAD_S
from gateway.listening.admission import Admission
from gateway.listening.listener import Listener
from gateway.rest.protocol import RestProtocol

__all__ = ["RestServer", "identified", "invalid", "start_rest", "tired"]

_STOP_S: Final = 5.0
_SWEEP_S: Final = 5.0
_LINGER_S: Final = 5.0


class _Patience(RestProtocol):
    """A connection that is cut when its client is too slow."""

    __slots__ = (
        "_asked",
        "_body",
        "_body_at",
        "_busy",
        "_head_at",
        "_head_bytes",
        "_own",
        "_server",
        "_unread_at",
    )

    _own: asyncio.Transport

    def __init__(self, server: "RestServer") -> None:
        super().__init__(
            server.aiohttp,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as documented: no log
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=_LINGER_S,
        )
        self._server = server
        self._busy = False
        # Requests without a valid token; -1: the client has identified.
        self._asked = 0
        self._body: Any = None
        # When each began, 0: it is not under way.
        self._head_at = self._body_at = self._unread_at = 0.0
        self._head_bytes = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own = cast("asyncio.Transport", transport)
        self._head_at = now = self._loop.time()
        super().connection_made(transport)
        self._server.connections.add(self)
        self._server.admission.enter(self, transport.get_extra_info("peername")[0], now)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.connections.discard(self)
        self._server.admission.left(self)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._busy and (self._body is None or self._body.is_eof()):
            self._head_at = self._head_at or self._loop.time()
            self._head_bytes += len(data)
            self._server.admission.heard(self, len(data))
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES:
            # Or it is the body: aiohttp's task, which was woken just now, tells.
            self._loop.call_soon(self._check_head)

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._busy = False

    def begun(self, body: Any, forwarded: str) -> None:
        """The head of a request is complete."""
        now = self._loop.time()
        self._busy = True
        self._head_at, self._head_bytes = 0.0, 0
        self._body, self._body_at = body, now
        self._server.admission.parsed(self)
        if self._asked >= 0:
            self._asked += 1
            if self._asked > UNIDENTIFIED_REQUESTS:
                self._server.admission.drop(self, "requests")
        if forwarded:
            self._server.admission.named(self, forwarded, now)

    def cut(self) -> None:
        """Drop the connection."""
        self._own.abort()

    def check(self, now: float) -> None:
        """Drop the connection if its client is too slow."""
        if not self._unsent():
            self._unread_at = 0.0
        elif not self._unread_at:
            self._unread_at = now
        if self._head_at and now - self._head_at > HEAD_S:
            self._server.admission.drop(self, "head")
        elif self._body is not None and not self._body.is_eof() and now - self._body_at > BODY_S:
            self._server.admission.drop(self, "body")
        elif self._unread_at and now - self._unread_at > UNREAD_S:
            self._server.admission.drop(self, "unread")

    def identified(self) -> None:
        """A token was right."""
        self._asked = -1
        self._server.admission.identified(self)

    def invalid(self) -> None:
        """A token was wrong."""
        self._server.admission.invalid(self, self._loop.time())

    def tired(self) -> bool:
        """Whether it is about to be dropped for its requests without a token."""
        return self._asked > UNIDENTIFIED_REQUESTS - 2

    def _unsent(self) -> bool:
        """Whether the system holds what the client has not taken. Under TLS the transport does not know that."""
        waiting = array("i", [0])
        with suppress(OSError):
            ioctl(self._own.get_extra_info("socket").fileno(), TIOCOUTQ, waiting)
        return waiting[0] > 0

    def _check_head(self) -> None:
        if self._head_bytes > HEAD_BYTES:
            self._server.admission.drop(self, "head")


class RestServer:
    """A running server."""

    def __init__(self, runner: web.AppRunner, admission: Admission) -> None:
        assert runner.server is not None
        self.aiohttp = runner.server
        self.admission = admission
        self.connections: set[_Patience] = set()
        self._runner = runner
        self._listeners: list[Listener] = []
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        make = runner.server.request_factory

        def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            if not message.headers:
                # Or it could not be parsed: then aiohttp has a plain dict here.
                protocol.begun(payload, "")
                return make(message, payload, protocol, writer, task)
            protocol.begun(payload, ",".join(message.headers.getall("X-Forwarded-For", ())))
            if any(one.lower() != "100-continue" for one in message.headers.getall("Expect", ())):
                # Others may be ignored (RFC 9110, section 10.1.1); aiohttp would refuse them in plain text.
                headers = CIMultiDict(message.headers)
                headers.popall("Expect")
                message = message._replace(headers=CIMultiDictProxy(headers))
            return make(message, payload, protocol, writer, task)

        runner.server.request_factory = request

    @property
    def ports(self) -> list[int]:
        """What it listens on, in the order of its sockets."""
        return [listener.port for listener in self._listeners]

    async def listen(self, own: socket, tls: ssl.SSLContext | None) -> None:
        """Take connections from a listening socket."""
        listener = Listener(own, lambda: _Patience(self), self.admission, tls)
        self._listeners.append(listener)
        await listener.start()

    def close(self) -> None:
        """Take no more connections; requests on those that are there go on."""
        for listener in self._listeners:
            listener.close()

    async def stop(self) -> None:
        """Take no more requests and finish those under way, for 5 s at the most."""
        self.close()
        self._sweeper.cancel()
        await self._runner.cleanup()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)
        for connection in list(self.connections):
            connection.check(loop.time())


async def start_rest(
    app: web.Application, sockets: Sequence[socket], admission: Admission, tls: ssl.SSLContext | None
) -> RestServer:
    """Serve the application on listening sockets."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
    await runner.setup()
    server = RestServer(runner, admission)
    for own in sockets:
        await server.listen(own, tls)
    return server


def identified(request: web.Request) -> None:
    """A request had a valid token: its connection may stay."""
    if isinstance(request.protocol, _Patience):  # a server of a test's own has another protocol
        request.protocol.identified()


def invalid(request: web.Request) -> None:
    """A request had a token that is none."""
    if isinstance(request.protocol, _Patience):
        request.protocol.invalid()


def tired(request: web.Request) -> bool:
    """Whether the connection is to be closed after this answer, before it is dropped: the client makes another."""
    return isinstance(request.protocol, _Patience) and request.protocol.tired()
