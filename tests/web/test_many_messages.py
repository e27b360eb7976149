"""A busy channel: the page keeps up, and holds only what is near the screen."""

import asyncio

import pytest

from tests.stack import Stack
from tests.web.browser import chromium, expect, log_in
from tests.world import make_world, nodes_of

pytestmark = pytest.mark.long

MESSAGES = 5000
# Sends under way at once.
BATCH = 50


async def test_five_thousand_messages(stack: Stack, record_property):
    world = await make_world(stack, 2)
    alice, bob = world.people
    nodes = await nodes_of(stack)
    async with chromium() as browser, nodes[0].rest(alice) as rest:
        seen = await log_in(browser, stack.run["web"], bob)
        await seen.page.evaluate(
            "() => { window.longest = 0; new PerformanceObserver((all) => { for (const one of all.getEntries())"
            " window.longest = Math.max(window.longest, one.duration); }).observe({ type: 'longtask' }); }"
        )
        path = f"/channels/{world.channels[0]}/messages"
        for first in range(0, MESSAGES, BATCH):
            batch = range(first, first + BATCH)
            await asyncio.gather(*(rest.request("POST", path, {"content": f"message {n};"}) for n in batch))
        await rest.request("POST", path, {"content": "the last one"})
        await expect(seen.articles("the last one")).to_have_count(1, timeout=120_000)
        assert await seen.articles().count() < 200, "only what is near the screen exists"
        assert await seen.page.evaluate("document.querySelector('.log').scrollHeight") > MESSAGES * 20
        longest_ms = await seen.page.evaluate("window.longest")
        record_property("longest_task_ms", longest_ms)
        print(f"the longest task of the page took {longest_ms:.0f} ms")
        assert seen.errors == []
