"""A listening socket of a public port.

Plain connections are accepted by the event loop, whose way is the fastest. Under TLS the loop would tell us of a
connection only after the handshake. So there we accept by ourselves, and a handshake under way is a guest like any
other.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from fanfare.constants import HANDSHAKE_S
from gateway.listening.admission import Admission

__all__ = ["BACKLOG", "Listener"]

BACKLOG: Final = 4096
# Accepted in one turn of the loop.
_AT_ONCE: Final = 64
# The pause after the system had no descriptor or no memory for another connection.
_PAUSE_S: Final = 1.0
_SHUTDOWN_S: Final = 5.0


class _Handshake:
    """A TLS handshake under way."""

    __slots__ = ("dropped", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.dropped = False

    def cut(self) -> None:
        """End it: the transport reads the end of the stream, and closes."""
        self.dropped = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already


class Listener:
    """One listening socket."""

    def __init__(
        self,
        own: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        admission: Admission,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Args: protocol: makes the protocol of a connection; it enters `admission` by itself."""
        self._own = own
        self._protocol = protocol
        self._admission = admission
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self.port: int = own.getsockname()[1]

    async def start(self) -> None:
        """Take connections."""
        self._own.setblocking(False)
        loop = asyncio.get_running_loop()
        if self._tls is None:
            self._server = await loop.create_server(self._protocol, sock=self._own, backlog=BACKLOG)
        else:
            self._own.listen(BACKLOG)
            loop.add_reader(self._own, self._accept)

    def close(self) -> None:
        """Take no more. Handshakes under way go on."""
        if self._server is not None:
            self._server.close()
        elif self._own.fileno() >= 0:
            if self._pause is not None:
                self._pause.cancel()
            asyncio.get_running_loop().remove_reader(self._own)
            self._own.close()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._own.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                # To try again at once would fail again at once: clients wait in the backlog.
                self._admission.count("system")
                loop.remove_reader(self._own)
                self._pause = loop.call_later(_PAUSE_S, loop.add_reader, self._own, self._accept)
                return
            connection.setblocking(False)
            handshake = _Handshake(connection)
            self._admission.enter(handshake, address[0], loop.time())
            task = loop.create_task(self._shake(handshake))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake(self, handshake: _Handshake) -> None:
        try:
            if handshake.dropped:
                handshake.socket.close()
                return
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                handshake.socket,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        except OSError:
            # Not TLS, given up, or too slow; ssl.SSLError and TimeoutError are of this kind.
            if not handshake.dropped:
                self._admission.count("handshake")
        finally:
            self._admission.left(handshake)
