"""The live view, and both pages for people who see, read and type in other ways."""

import re
from pathlib import Path

import aiohttp
import pytest

from fanfare.bus.topics import CHAT_EVENTS
from tests.dead_letters import message, set_aside
from tests.stack import Stack
from tests.web.browser import Tab, chromium, expect, log_in, tab
from tests.world import kill, make_world, nodes_of, whole_again
from torture.client import Client

axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed: make .venv/.stamps/dev")
AXE = next(Path(axe.__file__).parent.rglob("axe.min.js"))


async def findings(seen: Tab) -> list[str]:
    """What axe finds fault with."""
    await seen.page.evaluate(AXE.read_text())
    found = await seen.page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
async def test_axe_finds_nothing(stack: Stack, scheme: str):
    world = await make_world(stack, 2)
    async with chromium() as browser:
        look = {"color_scheme": scheme, "bypass_csp": True}
        first = await tab(browser, **look)
        await first.page.goto(stack.run["web"])
        await expect(first.page.get_by_role("button", name="Log in as alice")).to_be_visible()
        assert await findings(first) == []
        chat = await log_in(browser, stack.run["web"], world.people[0], **look)
        for text in (
            "some **words** and `code`",
            f"> to <@{world.people[1].id}>\n||hidden|| https://x.example/",
        ):
            await chat.say(text)
        await expect(chat.page.locator(".message:not(.pending)")).to_have_count(2)
        assert await findings(chat) == []
        live = await tab(browser, **look)
        await live.page.goto(f"{stack.run['web']}/live")
        await expect(
            live.page.get_by_role("region", name="Processes").get_by_role("row").nth(1)
        ).to_be_visible()
        assert await findings(live) == []
        read = await tab(browser, **look)
        await read.page.goto(stack.run["web"])
        await read.page.get_by_role("link", name="Documents").click()
        await expect(read.page.get_by_role("heading", level=1)).to_be_visible()
        assert await findings(read) == []
        await read.page.goto(f"{stack.run['web']}/docs/operations")
        assert await findings(read) == []


async def test_the_live_view_shows_partitions_and_processes(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        await seen.page.goto(f"{stack.run['web']}/live#token={stack.run['admin_key']}")
        partitions = seen.page.get_by_role("region", name="Partitions")
        await expect(
            partitions.get_by_role("row").filter(has_text="chat.events/0").filter(has_text="fanout.")
        ).to_be_visible()
        processes = seen.page.get_by_role("region", name="Processes")
        for name in ("gateway.1", "fanout.2", "notifier.1", "archiver.1"):
            await expect(processes.get_by_role("row").filter(has_text=name)).to_contain_text("ready")
        assert "token" not in seen.page.url
        assert seen.errors == []


@pytest.mark.parametrize("zoom_or_phone", [{"width": 360, "height": 640}, {"width": 600, "height": 380}])
async def test_a_phone_and_a_page_at_200_percent_show_all_without_scrolling_sideways(
    stack: Stack, zoom_or_phone
):
    world = await make_world(stack, 1)
    async with chromium() as browser:
        seen = await log_in(browser, stack.run["web"], world.people[0], viewport=zoom_or_phone)
        await seen.say("w" * 300)
        await expect(seen.page.locator(".message:not(.pending)")).to_have_count(1)
        await seen.page.evaluate("document.documentElement.dir = 'rtl'")
        assert await seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await seen.page.get_by_role("button", name="Channels").click()
        await expect(seen.page.get_by_role("link", name="channel-0")).to_be_visible()


async def test_only_the_admin_s_key_opens_the_stream_and_the_buttons(stack: Stack):
    web, key = stack.run["web"], stack.run["admin_key"]
    admin = {"Authorization": f"Admin {key}"}
    person = {"Authorization": stack.run["users"]["alice"]["token"]}
    async with aiohttp.ClientSession() as http:
        for headers in ({}, person, {"Authorization": "Admin "}, {"Authorization": "Admin wrong"}):
            assert (await http.get(f"{web}/web/live", headers=headers)).status == 401
            assert (await http.post(f"{web}/web/do", headers=headers, json={"do": "scale"})).status == 401
        for body in ({"do": "offers"}, {}, {"do": 5}, []):
            assert (await http.post(f"{web}/web/do", headers=admin, json=body)).status == 400
        refused = await http.post(
            f"{web}/web/do", headers=admin, json={"do": "scale", "wanted": {"nobody": 1}}
        )
        assert refused.status == 409
        assert "nobody" in (await refused.json())["message"]
        async with http.get(f"{web}/web/live", headers=admin) as stream:
            assert stream.status == 200
            assert "Access-Control-Allow-Origin" not in stream.headers
            assert (await stream.content.readline()).startswith(b'data: {"set":{"partitions":')


async def test_a_stranger_s_page_is_not_told_the_tokens(stack: Stack):
    web = stack.run["web"]
    async with aiohttp.ClientSession() as http:
        ours = await http.get(f"{web}/web/offers")
        assert (await ours.json())["users"]["alice"] == stack.run["users"]["alice"]["token"]
        assert "Access-Control-Allow-Origin" not in ours.headers
        for headers in (
            {"Host": "stranger.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"X-Forwarded-For": "192.0.2.1"},
        ):
            answer = await http.get(f"{web}/web/offers", headers=headers)
            assert await answer.json() == {"users": {}, "admin_key": ""}


async def test_a_dead_letter_is_shown_and_brought_back(stack: Stack):
    world = await make_world(stack, 1)
    record = message(world, "brought back by the page")
    await set_aside(stack, "fanout", CHAT_EVENTS, record, 123_456)
    person, nodes = world.people[0], await nodes_of(stack)
    async with chromium() as browser, await Client.connect(nodes[0].gateway, person.session()) as client:
        await client.start()
        seen = await tab(browser)
        await seen.page.goto(f"{stack.run['web']}/live#token={stack.run['admin_key']}")
        letters = seen.page.get_by_role("region", name="Dead letters")
        letter = letters.get_by_role("listitem").filter(has_text="TypeError: it could not").first
        await expect(letter).to_contain_text("fanout")
        there = await letters.get_by_role("listitem").count()
        await letter.get_by_role("button", name="Retry").click()
        await expect(letters.get_by_role("listitem")).to_have_count(there - 1)
        event = await client.until("MESSAGE_CREATE")
        assert event.d["content"] == "brought back by the page"
        assert seen.errors == []


async def test_a_press_of_a_button_makes_people_talk(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        await seen.page.goto(f"{stack.run['web']}/live#token={stack.run['admin_key']}")
        load = seen.page.get_by_role("region", name="Load")
        await load.get_by_role("button", name="50 messages a second", exact=True).click()
        await expect(load.get_by_role("status")).to_contain_text("Eight people talk for 30 s")
        station = seen.page.get_by_role("region", name="The way of an event").get_by_role("listitem")
        await expect(
            station.filter(has_text="sockets").filter(has_text=re.compile("events a second"))
        ).to_have_class(re.compile("lit"), timeout=30_000)
        gateway = seen.page.get_by_role("region", name="Processes").get_by_role("row", name="gateway.1")
        columns = (
            await seen.page.get_by_role("region", name="Processes")
            .get_by_role("columnheader")
            .all_inner_texts()
        )
        cells = gateway.get_by_role("cell")
        await expect(cells.nth(columns.index("Bytes/s") - 1)).to_have_text(
            re.compile("^[1-9].*B$"), timeout=30_000
        )
        await expect(cells.nth(columns.index("Loop lag") - 1)).to_have_text(re.compile("^[0-9].* ms$"))
        await load.get_by_role("button", name="200 messages a second").click()
        await expect(load.get_by_role("status")).to_contain_text("people talk already")
        await load.get_by_role("button", name="Stop").click()
        await expect(load.get_by_role("status")).to_have_text("Nobody talks any more.", timeout=20_000)
        assert seen.errors == []


async def test_what_fails_and_works_again_is_told(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        await seen.page.goto(f"{stack.run['web']}/live#token={stack.run['admin_key']}")
        await expect(
            seen.page.get_by_role("region", name="Latency").get_by_role("row").nth(3)
        ).to_be_visible()
        faults = seen.page.get_by_role("region", name="Last faults")
        await expect(faults).to_contain_text("None since")
        await kill(stack, "archiver.1")
        await expect(faults.get_by_text("archiver.1:").first).to_be_visible(timeout=30_000)
        await expect(faults.get_by_text("archiver.1 works again")).to_be_visible(timeout=60_000)
        await whole_again(stack)
        assert seen.errors == []


async def test_a_message_is_followed_from_the_gateway_to_the_socket(stack: Stack):
    async with chromium() as browser:
        seen = await tab(browser)
        await seen.page.goto(f"{stack.run['web']}/live#token={stack.run['admin_key']}")
        region = seen.page.get_by_role("region", name="Follow a message")
        await region.get_by_role("textbox", name="Message").fill("where to?")
        await region.get_by_role("button", name="Follow").click()
        stations = region.get_by_role("listitem")
        for name in ("gateway", "Kafka", "fan-out", "notifier", "socket"):
            await expect(stations.filter(has_text=name).first).to_contain_text("ms")
        await expect(stations.filter(has_text="Kafka").first).to_contain_text("chat.events, partition")
        assert seen.errors == []
