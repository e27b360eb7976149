"""Faults of the network between a service and a store."""

import asyncio
import time
from random import Random
from typing import ClassVar, Final

from typing_extensions import override

from torture.faults.base import Context, Fault
from torture.proxy import Mode
from torture.system import System, eventually

__all__ = ["CutFanoutKafka", "CutGatewayRedis", "CutNotifierKafka", "CutNotifierRedis"]

_SEEN_S: Final = 15.0


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
