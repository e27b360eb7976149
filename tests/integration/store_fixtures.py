"""A database of its own for a test module, in the PostgreSQL of the shared stores."""

import asyncio
import itertools
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from fanfare.settings import Settings
from fanfare.tasks import end


def settings_of(run: dict[str, Any], **more: Any) -> Settings:
    """Settings that reach the stores of a stack."""
    return Settings(
        kafka=run["kafka"],
        redis=SecretStr(run["redis"]),
        postgres=SecretStr(run["postgres"]),
        secret=SecretStr("a secret of the tests, which is long enough"),
        **more,
    )


async def own_database(settings: Settings) -> Settings:
    """The settings with a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    url = settings.postgres.get_secret_value()
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return settings.model_copy(
        update={"postgres": SecretStr(urlunsplit(urlsplit(url)._replace(path=f"/{name}")))}
    )


def snowflakes() -> Callable[[], int]:
    """Ids of now, that no other test has."""
    counter = itertools.count(uuid.uuid4().int % (1 << 21))
    return lambda: (int(time.time() * 1000) - 1_420_070_400_000 << 22) | next(counter) % (1 << 22)


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    """Wait until something is so, however long it takes; TimeoutError when it is far too long."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.01)


class Gate:
    """A TCP forwarder before PostgreSQL that can be shut, and can let connections hang."""

    def __init__(self, settings: Settings) -> None:
        url = urlsplit(settings.postgres.get_secret_value())
        self._to = (url.hostname, url.port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()
        self._open = asyncio.Event()
        self._open.set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        netloc = url.netloc.replace(f"{url.hostname}:{url.port}", f"127.0.0.1:{self._port}")
        self.settings = settings.model_copy(
            update={"postgres": SecretStr(urlunsplit(url._replace(netloc=netloc)))}
        )

    async def open(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    def hang(self) -> None:
        self._open.clear()

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await end(self._tasks)

    async def _accept(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        there = None
        try:
            there = await asyncio.open_connection(*self._to)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there[1]))
                both.create_task(self._pump(there[0], writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, there[1]) if there else (writer,):
                end.transport.abort()

    async def _pump(self, reader, writer) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
