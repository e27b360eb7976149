"""A fault: a crowd that never identifies floods the public ports of a gateway."""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Final

from typing_extensions import override

from torture.client import Client, Session
from torture.faults.base import Context, Fault
from torture.figures import percentile
from torture.system import BadSystemError

__all__ = ["KINDS"]

_LIMIT_S: Final = 120.0
_BEAT_S: Final = 0.6
"""Within 120 frames a minute."""


class Flood(Fault):
    """PINGs, fragments, large heads, half requests, slow bodies and clients that do not read, thousands at once."""

    name = "flood"
    aim_s = 2.0
    mixes = False

    @override
    async def run(self, context: Context) -> None:
        node = context.system.nodes["gateway.1"]
        times = context.begin(self, node.name)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "torture.flooder",
            node.gateway,
            node.api,
            stdout=asyncio.subprocess.PIPE,
        )
        took: list[float] = []
        memory = [_resident_mb(node.pid)]
        client = await Client.connect(node.gateway, Session(context.load.world.few[0].token))
        beating = asyncio.create_task(_beat(client, node.pid, took, memory))
        try:
            await client.start()
            times.observed = time.monotonic()
            output, _ = await asyncio.wait_for(process.communicate(), _LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            beating.cancel()
            await client.close()
        times.healed = time.monotonic()
        said = json.loads(output)
        sent = ", ".join(f"{one['connections']:.0f} {name}" for name, one in said.items())
        times.detail = (
            f"{node.name}: {sent}; "
            f"heartbeats of another client: median {1000 * percentile(took, 50):.0f} ms, "
            f"longest {1000 * max(took):.0f} ms; memory {memory[0]:.0f} MB before, {max(memory):.0f} MB at the most, "
            f"{memory[-1]:.0f} MB after"
        )
        left = [
            f"{one['connections'] - one['ended']:.0f} {name}"
            for name, one in said.items()
            if one["connections"] > one["ended"]
        ]
        if left:
            raise BadSystemError(f"not cut off: {', '.join(left)}")


async def _beat(client: Client, pid: int, took: list[float], memory: list[float]) -> None:
    """Send heartbeats, and note how long the answers take and what the gateway's memory is."""
    while True:
        wanted = client.acknowledged + 1
        began = time.monotonic()
        await client.heartbeat()
        while client.acknowledged < wanted:
            await asyncio.sleep(0.002)
        took.append(time.monotonic() - began)
        memory.append(_resident_mb(pid))
        await asyncio.sleep(_BEAT_S)


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


KINDS: Final[list[type[Fault]]] = [Flood]
