"""Faults of clients, of disks and of clocks."""

import asyncio
import errno
import os
import signal
import time
from pathlib import Path
from random import Random
from typing import ClassVar, Final

from typing_extensions import override

from fanfare.constants import RING_BYTES
from torture.faults.base import Context, Fault, SkippedError
from torture.history import Outcome
from torture.system import System, eventually

__all__ = ["KINDS"]

# Astral characters: four bytes each in UTF-8 and in the counting of a message's 2,000 characters one.
_FILLING: Final = "\U0001f701" * 1900
_EMBEDS: Final = [{"description": "\U0001f701" * 4000}]
_BIG_BYTES: Final = 23_600


class SlowReaders(Fault):
    """Clients that stop reading while more passes than a node keeps for them: they are closed, resumable."""

    name = "slow-readers"
    aim_s = 1.0
    mixes = False
    per_s: ClassVar[float] = 60.0

    @override
    async def run(self, context: Context) -> None:
        load = context.load
        few = {person.id for person in load.world.few}
        theirs = [one for one in load.receivers if one.person.id in few and one.live]
        slow = theirs[::2] or theirs
        times = context.begin(self, f"{len(slow)} of {len(load.receivers)} receivers do not read")
        held = [receiver for receiver in slow if receiver.hold()]
        links = [receiver.log.links[-1] for receiver in held if receiver.log is not None]
        rng = context.rng
        # An event holds its payload and two frames of it. Twice the ring and more, for what the kernel's buffers take.
        wanted = int(RING_BYTES / (3 * _BIG_BYTES) * 2.4)
        due = time.monotonic()
        for _ in range(wanted):
            due += 1 / self.per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            load.senders.send(rng.choice(load.world.few), load.world.flood, filling=_FILLING, embeds=_EMBEDS)
        for receiver in held:
            receiver.release()
        times.healed = time.monotonic()

        async def fell_off() -> bool:
            # Some may have been quick to catch up; none of them leaves by itself in that time but by chance.
            return 2 * sum(link.closed is not None for link in links) > len(links)

        await eventually(fell_off, 10, "those who were slow were not closed")
        times.observed = time.monotonic()


class HalfOpen(Fault):
    """Clients that vanish without a word and come back on another connection."""

    name = "half-open"
    aim_s = 1.0

    @override
    async def run(self, context: Context) -> None:
        load = context.load
        live = [receiver for receiver in load.receivers if receiver.live]
        chosen = context.rng.sample(live, min(len(live), max(1, len(live) // 4)))
        times = context.begin(self, f"{len(chosen)} receivers vanish and come back")
        left = [client for receiver in chosen if (client := receiver.abandon()) is not None]
        load.abandoned += left
        times.observed = time.monotonic() if left else None
        await asyncio.sleep(context.seconds(6))
        times.healed = time.monotonic()


class MassReconnect(Fault):
    """Everybody's connection drops at once."""

    name = "mass-reconnect"
    aim_s = 1.0

    @override
    async def run(self, context: Context) -> None:
        load = context.load
        times = context.begin(self, f"all {len(load.receivers)} receivers are cut")
        await load.cut_all()
        times.observed = time.monotonic()

        async def all_back() -> bool:
            return all(receiver.live for receiver in load.receivers)

        await eventually(all_back, 30, "not all receivers are back")
        times.healed = time.monotonic()


class _DiskFull(Fault):
    """A store has no room left on its disk, a small tmpfs."""

    aim_s = 5.0
    outage = True
    mixes = False
    full_s: ClassVar[float] = 8.0
    role: ClassVar[str]

    @override
    async def prepare(self, system: System, rng: Random) -> None:
        if not os.path.ismount(system.data.home / self.role):  # noqa: ASYNC240 - it is a moment
            raise SkippedError("no tmpfs can be mounted here: it needs root")

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        filling = system.data.home / self.role / "filling"
        pids = {name: system.pid(name) for name in system.of_role(self.role)}
        times = context.begin(self, f"{self.role}'s disk is full")
        try:
            await asyncio.to_thread(_fill, filling)
            times.observed = time.monotonic()
            until = time.monotonic() + context.seconds(self.full_s)
            while time.monotonic() < until:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(_fill, filling)
        finally:
            filling.unlink(missing_ok=True)
        refused = sum(
            attempt.outcome is Outcome.REFUSED and attempt.began > times.applied
            for attempts in context.history.attempts.values()
            for attempt in attempts
        )
        times.detail += f"; {refused} sends refused"
        for name, pid in pids.items():
            # A broker whose log has failed stays up without it.
            if self.role == "kafka" and system.processes()[name].pid == pid:
                system.signal(name, signal.SIGTERM)
                await system.replaced(name, pid)
        await system.ready(*pids, within_s=90)
        times.healed = time.monotonic()


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


class DiskFullKafka(_DiskFull):
    """Kafka's."""

    name = "disk-full-kafka"
    role = "kafka"


class DiskFullPostgres(_DiskFull):
    """PostgreSQL's: chat goes on."""

    name = "disk-full-postgres"
    role = "postgres"
    aim_s = 0.5
    outage = False


class _Clock(Fault):
    """The clock of one gateway is an hour off."""

    aim_s = 0.5
    mixes = False
    offset_s: ClassVar[int]
    process: ClassVar[str] = "gateway.1"

    @override
    async def prepare(self, system: System, rng: Random) -> None:
        system.change(self.process, clock_offset_s=self.offset_s)
        await system.restart(self.process)

    @override
    async def run(self, context: Context) -> None:
        times = context.begin(self, f"{self.process}, {self.offset_s:+d} s")
        via = f"REST of {self.process}"

        async def refuses() -> bool:
            return any(
                attempt.via == via and attempt.outcome is Outcome.REFUSED
                for attempts in context.history.attempts.values()
                for attempt in attempts
            )

        await eventually(refuses, 20, f"{self.process} does not refuse to make ids")
        times.observed = time.monotonic()
        await asyncio.sleep(context.seconds(8))
        times.healed = time.monotonic()

    @override
    async def clean(self, system: System) -> None:
        system.change(self.process)
        await system.restart(self.process)


class ClockForward(_Clock):
    """Forwards."""

    name = "clock-forward"
    offset_s = 3600


class ClockBack(_Clock):
    """Back."""

    name = "clock-back"
    offset_s = -3600


KINDS: Final[list[type[Fault]]] = [
    SlowReaders,
    HalfOpen,
    MassReconnect,
    DiskFullKafka,
    DiskFullPostgres,
    ClockForward,
    ClockBack,
]
