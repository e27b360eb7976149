"""A database of its own for a test module, in the PostgreSQL of the shared stores."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from fanfare.settings import Settings


def settings_of(run: dict[str, Any], **more: Any) -> Settings:
    """Settings that reach the stores of a stack."""
    return Settings(
        kafka=run["kafka"],
        redis=SecretStr(run["redis"]),
        postgres=SecretStr(run["postgres"]),
        secret=SecretStr("a secret of the tests"),
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
        while not await condition():  # noqa: ASYNC110 - it becomes so in another process
            await asyncio.sleep(0.01)
