"""A crowd that never identifies, against a running gateway: it is cut off, others come in, memory keeps its bound."""

import asyncio
import json
import sys

import pytest

from tests.cases.extra_gateway import extra_gateway
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import World
from torture.client import Client

LIMIT_S = 150
# docs/security.md: of one connection that has not identified, and of all heads together.
CONNECTION_KB = 12
HEADS_MB = 128
# What a process takes besides, once it has done everything for the first time.
WARM_MB = 25


@pytest.mark.timeout(200)
async def test_c1_c2_c3_floods_end_and_memory_stays_in_its_bound(stack: Stack, world: World) -> None:
    at_once = 1000
    settings = {"FANFARE_UNIDENTIFIED": str(at_once), "FANFARE_UNIDENTIFIED_PER_ADDRESS": str(at_once)}
    async with extra_gateway(stack, "gateway.flooded", **settings) as extra:
        before = extra.memory_mb("VmRSS")
        words = [extra.node.gateway, extra.node.api]
        flooder = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "torture.flooder", *words, stdout=asyncio.subprocess.PIPE
        )
        try:
            ended = asyncio.create_task(flooder.communicate())

            async def flooded() -> bool:
                return (
                    await extra.metric('fanfare_connections_cut_total{port="gateway",why="all"}') > 0
                    or ended.done()
                )

            await eventually(flooded)
            client = await Client.connect(extra.node.gateway, world.people[0].session())
            await client.start()
            await client.close()
            output, _ = await asyncio.wait_for(ended, LIMIT_S)
        finally:
            if flooder.returncode is None:
                flooder.kill()
                await flooder.wait()
        said = json.loads(output)
        assert {name: one["ended"] for name, one in said.items()} == {
            name: one["connections"] for name, one in said.items()
        }
        ports = 2
        bound = WARM_MB + ports * (HEADS_MB + at_once * CONNECTION_KB / 1024)
        assert extra.memory_mb("VmHWM") - before < bound
        assert await extra.metric("fanfare_connections_cut_total") > at_once
        assert extra.process.returncode is None
