"""A real browser for tests: the system's Chromium, driven by playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: make .venv/.stamps/dev")
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.world import Person

# Not one that playwright fetches: only the distribution's.
NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 30_000

expect.set_options(timeout=WAIT_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("THE PAGES ARE NOT TESTED: there is no Chromium (apt-get install chromium)")
    async with async_playwright() as playwright:
        # Its sandbox cannot be had by root; what it shows is ours.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Tab:
    """A page, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def articles(self, text: str = "") -> Any:
        """The messages on the screen, those with this text if one is given."""
        found = self.page.get_by_role("log").get_by_role("article")
        return found.filter(has_text=text) if text else found

    async def say(self, text: str) -> None:
        """Type a message, and send it."""
        box = self.page.get_by_role("textbox", name="Message #")
        await box.fill(text)
        await box.press("Enter")


async def tab(browser: Browser, **options: Any) -> Tab:
    """A page of a browser profile of its own."""
    context = await browser.new_context(**{"viewport": {"width": 1200, "height": 760}} | options)
    opened = Tab(await context.new_page())
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.errors.append(f"a dialog: {dialog.message}"))
    return opened


async def log_in(browser: Browser, web: str, person: Person, *, gateway: str = "", **options: Any) -> Tab:
    """A page on which this person is logged in, by the form.

    Args:
        gateway: the socket of the node that the session is to begin on; '': any.

    """
    opened = await tab(browser, **options | ({"bypass_csp": True} if gateway else {}))
    page = opened.page
    if gateway:
        await page.route("**/api/v10/gateway", lambda route: route.fulfill(json={"url": gateway}))
    await page.goto(web)
    await page.get_by_role("textbox", name="Token").fill(person.token)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    return opened
