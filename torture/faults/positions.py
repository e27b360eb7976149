"""Live location under faults: every process is killed once, and Redis is emptied, while a fleet drives."""

import asyncio
import time
from typing import Final

from typing_extensions import override

from torture.faults.base import Context, Fault
from torture.faults.processes import KillProcess
from torture.faults.redis_faults import RedisEmpty
from torture.faults.stores import KafkaLeader
from torture.fleet import Fleet

__all__ = ["Positions"]

_PAUSE_S: Final = 1.0


class Positions(Fault):
    """Kill a gateway, a fan-out, a notifier, an archiver; empty Redis; kill a leader; orders end meanwhile."""

    name = "positions"
    aim_s = 6.0
    outage = True
    tells_away = True
    mixes = False

    @override
    async def run(self, context: Context) -> None:
        async with Fleet(context.system, context.rng) as fleet:
            await asyncio.sleep(_PAUSE_S)
            await fleet.end_one()
            faults: list[Fault] = [_kill(role) for role in ("gateway", "fanout", "notifier", "archiver")]
            context.rng.shuffle(faults)
            faults.append(RedisEmpty())
            if context.system.scale.brokers >= KafkaLeader.brokers:
                faults.append(KafkaLeader())
            for fault in faults:
                await fault.run(context)
                await asyncio.sleep(_PAUSE_S)
            ending = asyncio.create_task(fleet.end_one())
            await _kill("notifier").run(context)
            await ending
            times = context.begin(self, await fleet.settle())
            times.observed = times.healed = time.monotonic()


def _kill(role: str) -> KillProcess:
    kind: type[KillProcess] = type("Kill", (KillProcess,), {"name": f"kill-{role}", "role": role})
    return kind()
