"""`make pictures`: every page as people see it, from a system of its own, into docs/pictures."""

import asyncio
import tempfile
from pathlib import Path

from tests.stack import REPOSITORY, Stack
from tests.web.browser import Tab, chromium, expect, log_in, tab
from tests.world import Person

PICTURES = REPOSITORY / "docs" / "pictures"
TALK = [
    ("alice", "Good morning! The new **gateway** is up: `gateway.2` took over half of the sessions."),
    ("bob", "Nice. Did anybody notice the restart?"),
    ("alice", "> Did anybody notice the restart?\nNobody: all clients resumed, and nothing was lost."),
    ("carol", "I saw *nothing*, and that is the point 🎉"),
    ("bob", "مرحبا بالجميع"),
    ("carol", "Once more, with code:\n```python\nprint('once and in order')\n```"),
]


async def main() -> None:
    """Take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), options=["--scale", "gateway=2,fanout=2,notifier=2"])
        try:
            await take(stack, stack.start()["web"])
        finally:
            stack.stop()


async def take(stack: Stack, web: str) -> None:
    """Take them of a running system."""
    PICTURES.mkdir(exist_ok=True)
    people = {name: Person(int(one["id"]), name, one["token"]) for name, one in stack.run["users"].items()}
    async with chromium() as browser:
        first = await tab(browser)
        await first.page.goto(web)
        await expect(first.page.get_by_role("button", name="Log in as alice")).to_be_visible()
        await first.page.screenshot(path=PICTURES / "landing.png")
        tabs = {name: await log_in(browser, web, person) for name, person in people.items()}
        for count, (name, text) in enumerate(TALK, 1):
            await tabs[name].say(text)
            for each in tabs.values():
                await expect(each.page.locator(".message:not(.pending)")).to_have_count(count)
        await _react(tabs)
        await tabs["bob"].page.screenshot(path=PICTURES / "chat.png")
        for name, look in {
            "chat-dark": {"color_scheme": "dark"},
            "chat-phone": {"viewport": {"width": 390, "height": 760}},
        }.items():
            seen = await log_in(browser, web, people["bob"], **look)
            await expect(seen.articles("once and in order")).to_be_visible()
            await seen.page.screenshot(path=PICTURES / f"{name}.png")
        live = await tab(browser, viewport={"width": 1200, "height": 1000})
        await live.page.goto(f"{web}/live")
        await expect(
            live.page.get_by_role("region", name="Partitions").get_by_text("fanout.2").first
        ).to_be_visible()
        for number in range(20):
            await tabs["alice"].say(f"message {number}")
        await expect(tabs["bob"].articles("message 19")).to_have_count(1)
        await expect(
            live.page.get_by_role("region", name="The way of an event").locator(".lit")
        ).not_to_have_count(0)
        await live.page.screenshot(path=PICTURES / "live.png")


async def _react(tabs: dict[str, Tab]) -> None:
    message = tabs["bob"].articles("that is the point")
    await message.hover()
    await message.get_by_role("button", name="React with thumbs up").click()
    await expect(message.locator(".reaction")).to_be_visible()


if __name__ == "__main__":
    asyncio.run(main())
