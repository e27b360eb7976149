"""A busy channel: the page keeps up, and holds only what is near the screen."""

import asyncio
import time

import pytest

from tests.stack import Stack
from tests.web.browser import chromium, expect, log_in
from tests.world import make_world, nodes_of

pytestmark = pytest.mark.long

MESSAGES = 5000
# Scrolls up by a screen's part each frame for five seconds; the times between frames.
SCROLL = """() => new Promise((done) => {
    const log = document.querySelector(".log"), frames = [];
    let last = performance.now();
    const begin = last;
    const step = (now) => {
        frames.push(now - last);
        last = now;
        log.scrollTop -= 120;
        if (now - begin < 5000) requestAnimationFrame(step); else done(frames.slice(1));
    };
    requestAnimationFrame(step);
})"""
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
        frames_ms = await seen.page.evaluate(SCROLL)
        frames_ms.sort()
        slow = sum(each > 25 for each in frames_ms) / len(frames_ms)
        record_property("frames_over_25_ms", slow)
        print(
            f"scrolling: a frame each {frames_ms[len(frames_ms) // 2]:.1f} ms, {slow:.1%} took more than 25 ms"
        )
        await expect(seen.articles("the last one")).to_have_count(0)
        on_screen = await seen.articles().locator(".content").all_inner_texts()
        assert 0 < len(set(on_screen)) == len(on_screen) < 200
        # How long somebody who comes now waits for the first message on the screen.
        began = time.monotonic()
        await seen.page.reload()
        await expect(seen.articles().first).to_be_visible()
        print(f"the first message was on the screen after {time.monotonic() - began:.2f} s")
        assert seen.errors == []
