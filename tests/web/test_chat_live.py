"""The client for browsers, in a real one: what people see of the promises."""

import asyncio
import signal
import struct
import time
import zlib
from contextlib import suppress

import pytest

from tests.stack import Stack
from tests.web.browser import chromium, expect, log_in, tab
from tests.world import make_world, nodes_of, whole_again

PROGRAMS = [
    "<script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "<svg onload='window.broken = 1'>",
    "[x](javascript:window.broken=1) javascript:window.broken=1 <javascript:window.broken=1>",
    'https://x.example/"onmouseover="window.broken=1',
    "`<b>x</b>` **<i onclick=window.broken=1>bold</i>** ||<u>x</u>||",
    "```html\n<iframe srcdoc='<script>parent.broken=1</script>'></iframe>\n```",
    "\u202eright to left\u202c <@1> <@&1> <#1> @everyone",
    "z" + "\u0300" * 300,
    "data:text/html,<script>window.broken=1</script>",
]


async def test_two_people_on_two_nodes_talk_and_one_node_is_killed(stack: Stack):
    """If this fails, people see a message twice, or not at all, when a gateway dies under them."""
    world = await make_world(stack, 2)
    nodes = await nodes_of(stack)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice, gateway=nodes[0].gateway)
        other = await log_in(browser, stack.run["web"], bob, gateway=nodes[1].gateway)
        await expect(one.page.get_by_role("log", name="Messages in #channel-0")).to_be_visible()
        await one.page.get_by_role("link", name="channel-0").click()
        await one.say("from one")
        await expect(other.articles("from one")).to_have_count(1)
        await other.say("from the other")
        await expect(one.articles("from the other")).to_have_count(1)

        for number in range(10):
            if number == 4:
                nodes[0].signal(signal.SIGKILL)
            await one.say(f"one says {number};")
            await other.say(f"other says {number};")
        for seen in (one, other):
            for number in range(10):
                await expect(seen.articles(f"one says {number};")).to_have_count(1)
                await expect(seen.articles(f"other says {number};")).to_have_count(1)
            await expect(seen.page.locator(".pending")).to_have_count(0)
            await expect(seen.articles()).to_have_count(22)
            assert seen.errors == []
        texts = [await seen.articles().locator(".content").all_inner_texts() for seen in (one, other)]
        assert texts[0] == texts[1], "both see the same order"
    await whole_again(stack)


async def test_what_is_written_offline_is_sent_once_when_the_network_is_back(stack: Stack):
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice)
        other = await log_in(browser, stack.run["web"], bob)
        await one.page.context.set_offline(True)
        await expect(one.page.get_by_text("Offline")).to_be_visible()
        await one.say("written offline")
        await expect(one.articles("Waiting to be sent")).to_have_count(1)
        await other.say("said meanwhile")
        await expect(other.articles("said meanwhile")).to_have_count(1)
        await one.page.context.set_offline(False)
        for seen in (one, other):
            await expect(seen.articles("written offline")).to_have_count(1)
            await expect(seen.articles("said meanwhile")).to_have_count(1)
            await expect(seen.page.locator(".pending")).to_have_count(0)
            assert seen.errors == []


@pytest.mark.long
async def test_twenty_seconds_offline_lose_and_double_nothing(stack: Stack):
    """Longer than the server waits for the client, which it takes for away; the conversation goes on meanwhile."""
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice)
        other = await log_in(browser, stack.run["web"], bob)
        await one.say("before")
        await expect(other.articles("before")).to_have_count(1)
        await one.page.context.set_offline(True)
        began = time.monotonic()
        for number in range(20):
            await one.say(f"offline {number};")
            await other.say(f"online {number};")
            await expect(other.articles(f"online {number};")).to_have_count(1)
            await asyncio.sleep(max(0.0, began + number + 1 - time.monotonic()))
        await one.page.context.set_offline(False)
        for seen in (one, other):
            for number in range(20):
                await expect(seen.articles(f"offline {number};")).to_have_count(1)
                await expect(seen.articles(f"online {number};")).to_have_count(1)
            await expect(seen.page.locator(".pending")).to_have_count(0)
            await expect(seen.articles()).to_have_count(41)
            assert seen.errors == []
        texts = [await seen.articles().locator(".content").all_inner_texts() for seen in (one, other)]
        assert texts[0] == texts[1]


async def test_a_picture_that_is_a_program_is_a_file_to_save(stack: Stack):
    """An SVG may hold scripts: it is offered for download, and shown nowhere; nor run where it is opened."""
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice)
        other = await log_in(browser, stack.run["web"], bob)
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>top.broken = 1</script></svg>'
        file = {"name": "drawing.svg", "mimeType": "image/svg+xml", "buffer": svg}
        await one.page.locator("input[type=file]").set_input_files([file])
        await one.say("look at this")
        shown = other.articles("look at this")
        link = shown.get_by_role("link", name="drawing.svg")
        await expect(link).to_be_visible()
        assert await shown.locator("img, svg, object, iframe, embed").count() == 0
        url = await link.get_attribute("href")
        assert url is not None
        answer = await other.page.context.request.get(url)
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src" in answer.headers["content-security-policy"] or (
            "default-src 'none'" in answer.headers["content-security-policy"]
        )
        assert await other.page.evaluate("window.broken") is None
        assert other.errors == one.errors == []


async def test_a_huge_picture_is_a_link_and_others_are_shown(stack: Stack):
    """A file of 120 kB may hold a thousand million pixels: who shows them all needs gigabytes."""
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice)
        other = await log_in(browser, stack.run["web"], bob)
        sizes = {"small.png": (640, 480), "huge.png": (33_000, 33_000)}
        for name, size in sizes.items():
            file = {"name": name, "mimeType": "image/png", "buffer": black(*size)}
            await one.page.locator("input[type=file]").set_input_files([file])
            await one.say(f"this is {name}")
            await expect(other.articles(name).get_by_role("link", name=name)).to_be_visible()
        for seen in (one, other):
            shown = seen.articles("small.png").locator("img")
            await expect(shown).to_have_js_property("naturalWidth", 640)
            assert await seen.articles("huge.png").locator("img").count() == 0
            assert seen.errors == []
        messages = f"/channels/{world.channels[0]}/messages"
        async with (await nodes_of(stack))[1].rest(bob) as rest:
            files = [message["attachments"][0] for message in await rest.request("GET", messages)]
        assert {file["filename"]: (file["width"], file["height"]) for file in files} == sizes


def black(width: int, height: int) -> bytes:
    """A black picture, a bit a pixel, as a PNG."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    made = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b"")):
        made += (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )
    return made


@pytest.mark.parametrize("width", [360, 1200])
async def test_names_of_a_hundred_characters_and_two_thousand_emoji(stack: Stack, width: int):
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with (await nodes_of(stack))[0].rest(alice) as rest:
        channel, guild = world.channels[0], world.guild
        await rest.request("PATCH", f"/guilds/{guild}", {"name": "W" * 100})
        await rest.request("PATCH", f"/channels/{channel}", {"name": "w" * 100, "topic": "t" * 1024})
        await rest.request("PATCH", f"/guilds/{guild}/members/@me", {"nick": "\N{FULL BLOCK}" * 32})
        await rest.request("POST", f"/guilds/{guild}/roles", {"name": "r" * 100, "hoist": True})
        for text in ("\N{PILE OF POO}" * 2000, "x" * 2000, "a\u0300" * 1000, "\u202e" * 2000):
            await rest.request("POST", f"/channels/{channel}/messages", {"content": text})
        await rest.request("POST", f"/channels/{channel}/messages", {"content": "the last"})
    async with chromium() as browser:
        seen = await log_in(browser, stack.run["web"], bob, viewport={"width": width, "height": 760})
        await expect(seen.articles("the last")).to_have_count(1)
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await seen.page.evaluate(sideways) <= 0
        inner = "document.querySelector('.log').scrollWidth - document.querySelector('.log').clientWidth"
        assert await seen.page.evaluate(inner) <= 0
        await seen.say("and somebody answers")
        await expect(seen.articles("and somebody answers")).to_have_count(1)
        assert seen.errors == []


async def test_nothing_that_somebody_types_becomes_a_program(stack: Stack):
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        seen = await log_in(browser, stack.run["web"], bob)
        nodes = await nodes_of(stack)
        rest = nodes[0].rest(alice)
        async with rest:
            channel, guild = world.channels[0], world.guild
            for text in PROGRAMS:
                await rest.request("POST", f"/channels/{channel}/messages", {"content": text})
            await rest.request("PATCH", f"/channels/{channel}", {"topic": PROGRAMS[1]})
            await rest.request("PATCH", f"/guilds/{guild}", {"name": PROGRAMS[1]})
            await rest.request("PATCH", f"/guilds/{guild}/members/@me", {"nick": "<img src=x onerror=a>"})
            embed = {"title": PROGRAMS[0], "url": "https://x.example/", "description": PROGRAMS[1]}
            await rest.request(
                "POST", f"/channels/{channel}/messages", {"content": "last", "embeds": [embed]}
            )
        await expect(seen.articles("last")).to_have_count(1)
        await expect(seen.articles("window.broken = 1</script>").first).to_be_visible()
        page = seen.page
        assert await page.evaluate("window.broken") is None
        assert seen.errors == []
        assert await page.locator("#app :is(script, img, iframe, svg, style)").count() == 0
        links = await page.get_by_role("log").locator("a").evaluate_all("all => all.map(one => one.href)")
        assert links
        assert all(link.startswith(("https://", "http://")) for link in links), links


@pytest.mark.long
async def test_edits_deletes_replies_and_mentions(stack: Stack):
    world = await make_world(stack, 2)
    alice, bob = world.people
    async with chromium() as browser:
        one = await log_in(browser, stack.run["web"], alice)
        other = await log_in(browser, stack.run["web"], bob)
        await one.say("first words")
        await expect(other.articles("first words")).to_have_count(1)
        box = one.page.get_by_role("textbox", name="Message #")
        await box.press("ArrowUp")
        await box.fill("better words")
        await box.press("Enter")
        await expect(other.articles("better words (edited)")).to_have_count(1)
        await other.articles("better words").hover()
        await other.articles("better words").get_by_role("button", name="Reply").click()
        await other.say("an answer")
        await expect(one.articles("an answer").get_by_role("button", name="Reply to")).to_be_visible()
        await box.press_sequentially(f"@{bob.name[:12]}")
        await one.page.get_by_role("option").first.wait_for()
        await box.press("Enter")
        await box.press("Enter")
        await expect(other.articles("@user").locator(".mention")).to_have_count(1)
        await one.articles("better words").first.hover()
        await one.articles("better words").first.get_by_role("button", name="Delete").click()
        await expect(other.articles("(edited)")).to_have_count(0)
        assert one.errors == other.errors == []


async def test_the_first_page_offers_the_people_of_the_demo(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        asked: list[str] = []
        seen.page.on("request", lambda request: asked.append(request.url))
        await seen.page.goto(stack.run["web"])
        await seen.page.get_by_role("button", name="Log in as alice").click()
        await expect(seen.page.get_by_role("log", name="Messages in #")).to_be_visible()
        assert all(url.startswith(stack.run["web"]) for url in asked), "nothing is loaded from elsewhere"
        token = stack.run["users"]["alice"]["token"]
        assert not any(token in url for url in asked)
        with suppress(Exception):
            await seen.page.context.close()
        assert seen.errors == []


async def test_a_wrong_token_is_refused_in_plain_words(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        await seen.page.goto(stack.run["web"])
        await seen.page.get_by_role("textbox", name="Token").fill("wrong")
        await seen.page.get_by_role("button", name="Log in", exact=True).click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("not valid")


async def test_messages_are_searched_and_shown_where_they_were_said(stack: Stack):
    world = await make_world(stack, 2, channels=2)
    alice, bob = world.people
    async with chromium() as browser, (await nodes_of(stack))[0].rest(bob) as rest:
        await rest.send(world.channels[1], "a needle <b>in</b> the hay")
        for number in range(150):
            await rest.send(world.channels[1], f"hay {number}")
        seen = await log_in(browser, stack.run["web"], alice)
        await expect(seen.page.get_by_role("log", name="Messages in #channel-0")).to_be_visible()
        box = seen.page.get_by_role("searchbox", name="Search messages")
        await box.fill("nothing of this kind")
        await box.press("Enter")
        results = seen.page.get_by_role("region", name="Search results")
        await expect(results.get_by_text("0 messages")).to_be_visible()
        found = results.get_by_role("button", name="needle")
        # The archiver brings it; until then it cannot be found.
        while not await found.count():
            await box.fill("needle")
            await box.press("Enter")
            await expect(results.get_by_text("message", exact=False).first).to_be_visible()
        await found.click()
        await expect(seen.page.get_by_role("log", name="Messages in #channel-1")).to_be_visible()
        await expect(seen.articles("a needle <b>in</b> the hay")).to_be_in_viewport()
        await results.get_by_role("button", name="Close").click()
        await expect(results).to_be_hidden()
        assert seen.errors == []
