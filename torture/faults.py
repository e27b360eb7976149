"""The faults, one class each: applied, seen to be there, and over again.

`run` does all three and fills in the times. What a fault needs before the load starts is in `prepare`, what it leaves
behind is put right in `clean`.
"""

import asyncio
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar, Final

from typing_extensions import override

from fanfare.bus.client import admin
from torture.history import FaultTimes, History
from torture.load import Load
from torture.proxy import Mode
from torture.system import BadSystemError, System, eventually

__all__ = ["Context", "Fault", "KillProcess", "SkippedError", "StopProcess", "by_name"]

_SEEN_S: Final = 15.0
_LEADER_S: Final = 60.0


class SkippedError(Exception):
    """This fault cannot be had on this machine; the message says why."""


@dataclass
class Context:
    """What a fault works on."""

    system: System
    load: Load
    history: History
    rng: Random
    short: bool = False
    """In a mixture faults last a third of their time."""

    def begin(self, fault: "Fault", detail: str, *, nodes: frozenset[str] = frozenset()) -> FaultTimes:
        """A fault is being applied now."""
        times = FaultTimes(
            fault.name,
            time.monotonic(),
            nodes=nodes,
            outage=fault.outage,
            tells_away=fault.tells_away,
            detail=detail,
        )
        self.history.fault(times)
        return times

    def seconds(self, whole: float) -> float:
        """How long a fault lasts."""
        return whole / 3 if self.short else whole


class Fault(ABC):
    """A kind of fault."""

    name: ClassVar[str]
    aim_s: ClassVar[float]
    """The delivery gap to aim for."""
    outage: ClassVar[bool] = False
    """Deliveries cannot go on before its end."""
    tells_away: ClassVar[bool] = False
    brokers: ClassVar[int] = 1
    """It needs at least so many."""
    mixes: ClassVar[bool] = True
    """Whether it is part of mixtures."""

    async def prepare(self, system: System, rng: Random) -> None:  # noqa: B027 - most need nothing
        """What has to be there before the load. Raises: SkippedError."""

    @abstractmethod
    async def run(self, context: Context) -> None:
        """Apply it, see it, end it. Raises: BadSystemError: the system does not come back."""

    async def clean(self, system: System) -> None:  # noqa: B027 - most leave nothing
        """Put right what it leaves behind."""


class KillProcess(Fault):
    """kill -9; the supervisor starts another one."""

    aim_s = 4.0
    role: ClassVar[str]

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        name = context.rng.choice(system.of_role(self.role))
        times = context.begin(self, name)
        pid = system.signal(name, signal.SIGKILL)
        await system.replaced(name, pid)
        times.observed = time.monotonic()
        await system.ready(name)
        times.healed = time.monotonic()


class StopProcess(Fault):
    """SIGSTOP for longer than every lease, then SIGCONT: a zombie that wakes up."""

    aim_s = 4.0
    role: ClassVar[str]
    stopped_s: ClassVar[float] = 20.0

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        name = context.rng.choice(system.of_role(self.role))
        nodes = frozenset({name} if self.role == "gateway" else ())
        times = context.begin(self, name, nodes=nodes)
        pid = system.signal(name, signal.SIGSTOP)
        try:
            await eventually(lambda: _state_is(pid, "T"), _SEEN_S, f"{name} is not stopped")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(self.stopped_s))
        finally:
            system.signal(name, signal.SIGCONT)
        times.healed = time.monotonic()
        await system.ready(name)


async def _state_is(pid: int, letter: str) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii")  # noqa: ASYNC240 - it is no disk
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == letter


class ScaleWorkers(Fault):
    """Workers come and go every 5 s."""

    name = "scale-workers"
    aim_s = 0.3

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        times = context.begin(self, "fanout, notifier and archiver, one more and one less in turn")
        for role in ("fanout", "notifier", "archiver"):
            async with AsyncExitStack() as stack:
                worker = await self._start(system, role)
                stack.push_async_callback(self._stop, worker)
                await asyncio.sleep(context.seconds(5))
                early = worker.returncode
            if early is not None or await worker.wait() not in {0, -signal.SIGTERM}:
                raise BadSystemError(f"the additional {role} ended with {worker.returncode}")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(2))
        times.healed = time.monotonic()

    @staticmethod
    async def _start(system: System, role: str) -> asyncio.subprocess.Process:
        run = system.run
        own = {f"FANFARE_{name.upper()}": run[name] for name in ("kafka", "redis", "postgres")}
        own |= {
            "FANFARE_SECRET": system.settings.secret.get_secret_value(),
            "FANFARE_INTERNAL_PORT": "0",
            "FANFARE_PROCESS": f"{role}.more",
        }
        log = (system.data.logs / f"{role}.more.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", role, env=system.environment | own, stdout=log, stderr=log
            )
        finally:
            log.close()

    @staticmethod
    async def _stop(worker: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), 15)
        except TimeoutError:
            worker.kill()
            await worker.wait()


class RollingRestart(Fault):
    """SIGTERM to every service, one after the other."""

    name = "rolling-restart"
    aim_s = 0.3
    mixes = False

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        names = [
            name for role in ("gateway", "fanout", "notifier", "archiver") for name in system.of_role(role)
        ]
        times = context.begin(self, ", ".join(names))
        for name in names:
            await system.restart(name)
        times.observed = times.healed = time.monotonic()


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
                    [not await _open(one.address) or await _state_is(one.pid or 0, "T") for one in processes]
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


class _Cut(Fault):
    """A network between a service and a store that is cut for a while."""

    aim_s = 5.0
    outage = True
    cut_s: ClassVar[float] = 8.0
    process: ClassVar[str]
    to_kafka: ClassVar[bool] = False

    @override
    async def prepare(self, system: System, rng: Random) -> None:
        if self.to_kafka:
            ports = {str(port): link for port, link in system.kafka_links.items()}
            system.change(self.process, kafka_ports=ports)
        else:
            system.change(self.process, env={"FANFARE_REDIS": system.redis_by_link})
        await system.restart(self.process)

    @override
    async def run(self, context: Context) -> None:
        system = context.system
        mode = context.rng.choice([Mode.DROP, Mode.RESET])
        links = list(system.kafka_links.values()) if self.to_kafka else [system.redis_link]
        times = context.begin(self, f"{self.process}, {mode}")
        for link in links:
            system.turn(link, mode)
        try:
            await eventually(lambda: _is_cut(links[0]), _SEEN_S, "the link is not cut")
            times.observed = time.monotonic()
            await asyncio.sleep(context.seconds(self.cut_s))
        finally:
            for link in links:
                system.turn(link, Mode.HEAL)
        times.healed = time.monotonic()
        await system.ready(self.process)

    @override
    async def clean(self, system: System) -> None:
        system.change(self.process)
        await system.restart(self.process)


async def _is_cut(port: int) -> bool:
    """Whether nobody answers through a link: it hangs, or is cut off."""
    try:
        async with asyncio.timeout(0.5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                # Both Redis and Kafka wait for us to speak; a link that is cut off ends at once.
                return await reader.read(1) == b""
            finally:
                writer.close()
    except OSError:
        return True
    except TimeoutError:
        # Hangs. So would a link that is whole; ask for something.
        return await _hangs(port)


async def _hangs(port: int) -> bool:
    try:
        async with asyncio.timeout(0.5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                # Not a word of either protocol: Redis answers with an error, Kafka hangs up.
                writer.write(b"\x7f\xff\xff\xff\r\n\r\n")
                await reader.read(1)
            finally:
                writer.close()
    except OSError:
        return True
    except TimeoutError:
        return True
    return False


class CutGatewayRedis(_Cut):
    """gateway.1 does not reach Redis."""

    name = "cut-gateway-redis"
    process = "gateway.1"


class CutNotifierRedis(_Cut):
    """notifier.1 does not reach Redis."""

    name = "cut-notifier-redis"
    process = "notifier.1"


class CutFanoutKafka(_Cut):
    """fanout.1 does not reach Kafka."""

    name = "cut-fanout-kafka"
    process = "fanout.1"
    to_kafka = True


class CutNotifierKafka(_Cut):
    """notifier.1 does not reach Kafka."""

    name = "cut-notifier-kafka"
    process = "notifier.1"
    to_kafka = True


def _each_role(base: type[Fault], prefix: str, gateway_aim_s: float) -> list[type[Fault]]:
    return [
        type(
            f"{prefix.title()}{role.title()}",
            (base,),
            {
                "name": f"{prefix}-{role}",
                "role": role,
                "aim_s": gateway_aim_s if role == "gateway" else base.aim_s,
                "__doc__": f"{base.__doc__} Here: {role}.",
            },
        )
        for role in ("gateway", "fanout", "notifier", "archiver")
    ]


def by_name() -> dict[str, Callable[[], Fault]]:
    """All faults in the order of the table."""
    from torture import disturbances, flood, redis_faults, refusals  # noqa: PLC0415 - they build on this module

    kinds: list[type[Fault]] = [
        *_each_role(KillProcess, "kill", 1.0),
        *_each_role(StopProcess, "stop", 4.0),
        ScaleWorkers,
        RollingRestart,
        *redis_faults.KINDS,
        KafkaLeader,
        KafkaDown,
        PostgresDown,
        CutGatewayRedis,
        CutNotifierRedis,
        CutFanoutKafka,
        CutNotifierKafka,
        *disturbances.KINDS,
        *refusals.KINDS,
        *flood.KINDS,
    ]
    return {kind.name: kind for kind in kinds}
