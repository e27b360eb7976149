"""Faults of stores as processes: a broker that leads dies, a whole store is away."""

import asyncio
import signal
import time
from contextlib import suppress
from typing import ClassVar, Final

from typing_extensions import override

from fanfare.bus.client import admin
from torture.faults.base import Context, Fault
from torture.faults.processes import state_is
from torture.system import System, eventually

__all__ = ["KafkaDown", "KafkaLeader", "PostgresDown"]

_SEEN_S: Final = 15.0
_LEADER_S: Final = 60.0


class KafkaLeader(Fault):
    """kill -9 of the broker that leads a partition of chat.events."""

    name = "kafka-leader"
    aim_s = 6.0
    brokers = 3

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        leader = await _known_leader(system)
        times = context.begin(self, f"kafka.{leader}, leader of chat.events/0")
        pid = system.signal(f"kafka.{leader}", signal.SIGKILL)

        async def another() -> bool:
            with suppress(Exception):
                return await _leader_of(system, "chat.events", 0) != leader
            return False

        await eventually(another, _LEADER_S, "chat.events/0 has no other leader")
        times.observed = time.monotonic()
        await system.replaced(f"kafka.{leader}", pid)
        await system.ready(f"kafka.{leader}")
        times.healed = time.monotonic()


async def _known_leader(system: System) -> int:
    """Who leads chat.events/0, however long Kafka takes after the fault before this one."""
    found = -1

    async def known() -> bool:
        nonlocal found
        with suppress(Exception):
            found = await _leader_of(system, "chat.events", 0)
        return found >= 0

    await eventually(known, _LEADER_S, "chat.events/0 has no leader")
    return found


async def _leader_of(system: System, topic: str, partition: int) -> int:
    async with asyncio.timeout(5), admin(system.settings) as client:
        (described,) = await client.describe_topics([topic])
        return int(next(one["leader"] for one in described["partitions"] if one["partition"] == partition))


class _StoreDown(Fault):
    """A store is away for a while: what the supervisor starts again is stopped before it does anything."""

    away_s: ClassVar[float]
    role: ClassVar[str]
    end: ClassVar[signal.Signals] = signal.SIGKILL

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        names = system.of_role(self.role)
        times = context.begin(self, ", ".join(names))
        pids = {name: system.signal(name, self.end) for name in names}
        try:
            for name, pid in pids.items():
                await system.replaced(name, pid)
                system.signal(name, signal.SIGSTOP)
            processes = [system.processes()[name] for name in names]

            async def shut() -> bool:
                # One that was stopped a moment late has its port open, and answers nobody.
                return all(
                    [not await _open(one.address) or await state_is(one.pid or 0, "T") for one in processes]
                )

            await eventually(shut, _SEEN_S, f"{self.role} still answers")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(self.away_s))
        finally:
            for name in names:
                system.signal(name, signal.SIGCONT)
        await system.ready(*names, within_s=90)
        times.healed = time.monotonic()


async def _open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class KafkaDown(_StoreDown):
    """All brokers are away: senders are refused, receivers stay."""

    name = "kafka-down"
    aim_s = 5.0
    outage = True
    away_s = 30.0
    role = "kafka"
    mixes = False


class PostgresDown(_StoreDown):
    """PostgreSQL is away: chat goes on, the archiver catches up."""

    name = "postgres-down"
    aim_s = 0.5
    away_s = 60.0
    role = "postgres"
    # Its fast shutdown: killed, its children would outlive it and keep the next one from starting.
    end = signal.SIGINT
