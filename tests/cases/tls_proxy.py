"""Ends TLS in front of a store: the Valkey and the PostgreSQL that tests bring along are built without it."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from fanfare.tasks import end

# What a PostgreSQL client sends before TLS: length 8, and a code of its own.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class TlsProxy:
    """Listens on a free port of 127.0.0.1, with TLS, and forwards what comes to a server without."""

    def __init__(self, to: int, cert: Path, key: Path, *, postgres: bool = False) -> None:
        self._to = to
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        """How many were accepted by TLS."""

    def renew(self, cert: Path, key: Path) -> None:
        """Show new connections another certificate."""
        self._context.load_cert_chain(cert, key)

    def cut(self) -> None:
        """Drop every connection. From any thread."""
        assert self._server is not None
        self._server.get_loop().call_soon_threadsafe(lambda: [task.cancel() for task in list(self._tasks)])

    async def start(self) -> None:
        tls = None if self._postgres else self._context
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await end(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there = None
        try:
            if self._postgres:
                if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                    return
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._context)
            self.connections += 1
            there = await asyncio.open_connection("127.0.0.1", self._to)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, there[1]))
                both.create_task(_pump(there[0], writer))
        except (OSError, EOFError, asyncio.CancelledError, ExceptionGroup):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, there[1]) if there else (writer,):
                one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


@contextlib.contextmanager
def in_a_thread(*proxies: TlsProxy) -> Iterator[None]:
    """Run proxies beside a test that blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        for proxy in proxies:
            asyncio.run_coroutine_threadsafe(proxy.start(), loop).result()
        yield
    finally:
        for proxy in proxies:
            asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
