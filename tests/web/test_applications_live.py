"""Commands, buttons, dialogues and threads in the page for browsers, with the bot of examples/."""

import asyncio
import os
import sys
from pathlib import Path

from tests.stack import Stack
from tests.web.browser import chromium, expect, log_in
from tests.world import make_world, make_world_with_bot, nodes_of

BOT = Path(__file__).parents[2] / "examples" / "bot.py"


async def test_commands_buttons_and_dialogues(stack: Stack):
    world = await make_world_with_bot(stack, people=1)
    owner, bot = world.people
    addresses = {
        "FANFARE_API": stack.run["api"],
        "FANFARE_GATEWAY": stack.run["gateway"],
        "FANFARE_TOKEN": bot.token,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(BOT), env=os.environ | addresses, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert b"ready" in await process.stdout.readline()
        async with chromium() as browser:
            tab = await log_in(browser, stack.run["web"], owner)
            box = tab.page.get_by_role("textbox", name="Message #")
            await box.fill("/hel")
            await tab.page.get_by_role("option", name="/hello").click()
            await expect(box).to_have_value("/hello whom:")
            await box.press("Enter")
            await expect(tab.page.get_by_text("whom is missing")).to_be_visible()
            await tab.say(f"/hello whom:<@{owner.id}> often:2")
            await expect(tab.articles("Hello")).to_have_count(1)
            await expect(box).to_have_value("")
            await tab.say("/nothing of this kind")
            await expect(tab.articles("/nothing of this kind")).to_have_count(1)
            parts = tab.articles("/nothing of this kind").locator("> :not(header)")
            assert "0" not in await parts.all_inner_texts()
            await tab.say("/buttons")
            await tab.page.get_by_role("button", name="Count").click()
            await expect(tab.articles("Pressed 1 times.")).to_have_count(1)
            await tab.page.get_by_role("button", name="Say something").click()
            dialogue = tab.page.get_by_role("dialog", name="What do you think?")
            await dialogue.get_by_label("In a few words").fill("splendid <b>bold</b>")
            await dialogue.get_by_role("button", name="Submit").click()
            await expect(tab.articles("Thank you")).to_have_count(1)
            await expect(tab.articles("Only you can see this")).to_have_count(1)
            await expect(dialogue).to_have_count(0)
            assert tab.errors == []
    finally:
        process.terminate()
        await process.wait()


async def test_threads_come_and_go(stack: Stack):
    world = await make_world(stack, 2)
    alice, bob = world.people
    channel = world.channels[0]
    async with (
        chromium() as browser,
        (await nodes_of(stack))[0].rest(alice) as rest,
    ):
        tab = await log_in(browser, stack.run["web"], bob)
        thread = await rest.request("POST", f"/channels/{channel}/threads", {"name": "apart", "type": 11})
        link = tab.page.get_by_role("link", name="apart")
        await link.click()
        await tab.say("said apart")
        await expect(tab.articles("said apart")).to_have_count(1)
        await tab.page.get_by_role("link", name="channel-0").click()
        await expect(tab.articles("said apart")).to_have_count(0)
        await rest.request("PATCH", f"/channels/{thread['id']}", {"archived": True})
        await expect(link).to_have_count(0)
        hide = {"type": 0, "deny": "1024"}
        await rest.request("PATCH", f"/channels/{thread['id']}", {"archived": False})
        await expect(link).to_have_count(1)
        await rest.request("PUT", f"/channels/{channel}/permissions/{world.guild}", hide)
        await expect(link).to_have_count(0)
        await rest.request("DELETE", f"/channels/{channel}/permissions/{world.guild}")
        await expect(link).to_have_count(1)
        assert tab.errors == []
