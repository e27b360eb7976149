"""`fanfare top`: what a running system does, live."""

import asyncio
import sys
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fanfare.cli.running import running
from fanfare.observe.collect import Collector
from fanfare.observe.figures import Figures, Window
from fanfare.observe.page import page

__all__ = ["top"]

# How far the two samples are apart that a single page is made of: some commits of each member.
_ONCE_S: Final = 3.0
# Where there is no terminal.
_WIDTH: Final = 80


def top(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            help="HOST:PORT of the internal server of each process; those of this `fanfare up`, if none is named."
        ),
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print the page once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures once, as JSON.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks.")] = 1.0,
    every_topic: Annotated[bool, typer.Option("--all", help="Also topics in which nothing happens.")] = False,
) -> None:
    """Show which member has which partition, lag, rates, delivery times and sessions, until Ctrl-C.

    Where the output is no terminal the page is printed once.
    """
    console = Console(highlight=False)
    if as_json:
        found = asyncio.run(_once(addresses or []))
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    elif once or not console.is_terminal:
        found = asyncio.run(_once(addresses or []))
        width = console.width if console.is_terminal else max(console.width, _WIDTH)
        for line in _lines(found, console, width, every_topic=every_topic):
            console.print(line, soft_wrap=True)
    else:
        try:
            asyncio.run(_live(addresses or [], console, every_s, every_topic=every_topic))
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


async def _once(addresses: list[str]) -> Figures:
    settings, processes = running(addresses)
    window = Window()
    async with Collector(settings, processes) as collector:
        window.add(await collector.sample())
        await asyncio.sleep(_ONCE_S)
        return window.add(await collector.sample())


async def _live(addresses: list[str], console: Console, every_s: float, *, every_topic: bool) -> None:
    settings, processes = running(addresses)
    window = Window()
    loop = asyncio.get_running_loop()
    async with Collector(settings, processes) as collector:
        # One sample says nothing of rates, so the first page is made of two.
        window.add(await collector.sample())
        await asyncio.sleep(every_s)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                due = loop.time() + every_s
                found = window.add(await collector.sample())
                lines = _lines(found, console, console.width, every_topic=every_topic)
                live.update(Group(*_cut(lines, console.height)), refresh=True)
                await asyncio.sleep(max(due - loop.time(), 0))


def _lines(found: Figures, console: Console, width: int, *, every_topic: bool) -> list[Text]:
    dot = "." if console.options.ascii_only else "·"
    return page(found, width, every_topic=every_topic, dot=dot)


def _cut(lines: list[Text], height: int) -> list[Text]:
    """As many lines as there is room for."""
    if len(lines) <= height:
        return lines
    left = len(lines) - height + 1
    return [
        *lines[: height - 1],
        Text(f"{left} more lines: in a taller window, or `fanfare top --once`", "dim"),
    ]
