"""The command `fanfare demo`, which an entry point in pyproject.toml brings to `fanfare`."""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from demo.drivers import DriversChoice, DriversStory
    from demo.show import Choice
    from demo.story import Story

__all__ = ["demo"]

demo = typer.Typer(help="See what consumer groups are for, on a system of its own.", no_args_is_help=True)
_T = TypeVar("_T")
_STOPPED: Final = 130
_PICTURES: Final = (".svg", ".png")


@demo.command("scale")
def scale(
    seconds: Annotated[float, typer.Option(min=5, help="How long the load goes on, about.")] = 90,
    budget: Annotated[
        bool, typer.Option(help="Whether each fan-out is made to do few events a second.")
    ] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw it: a .svg file, or .png by matplotlib.")] = None,
    html: Annotated[Path | None, typer.Option(help="The same with all tables, as one HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, on the last line.")] = False,
) -> None:
    """Overrun a fan-out, add consumers one by one and watch the lag fall; then one too many, one less, one killed.

    Meanwhile everything that clients see is checked. Exit status 1: a message was lost, doubled or out of order.
    """
    from demo.plan import BUDGET
    from demo.plot import can_draw
    from demo.show import Choice
    from demo.story import result

    if plot is not None and plot.suffix not in _PICTURES:
        raise typer.BadParameter(f"{plot} ends in neither of {' and '.join(_PICTURES)}", param_hint="--plot")
    if plot is not None and (problem := can_draw(plot)):
        raise typer.BadParameter(problem, param_hint="--plot")
    for path in (plot, html):
        if path is not None and not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}")
    story = _until_stopped(lambda: _scale(Choice(seconds, BUDGET if budget else 0.0), as_json=as_json))
    _write(story, plot, html)
    if as_json:
        print(json.dumps(result(story)))
    sys.exit(1 if story.broken else 0)


def _write(story: "Story", plot: Path | None, html: Path | None) -> None:
    from demo.plot import draw
    from demo.web import page

    if plot is not None:
        draw(story, plot)
    if html is not None:
        html.write_text(page(story), "utf-8")
    for path in (plot, html):
        if path is not None:
            print(f"written: {path}", file=sys.stderr)


async def _scale(choice: "Choice", *, as_json: bool) -> "Story":
    from rich.console import Console

    from demo.page import Lines, LivePage, summary
    from demo.show import SCALE, Show, system_settings
    from torture.system import System

    console = Console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="fanfare-demo-"))
    console.print(
        f"Starting Kafka, Valkey, PostgreSQL and the services in {folder}: about 10 s", soft_wrap=True
    )
    kept = True
    try:
        async with System(folder, SCALE, settings=system_settings(choice)) as system:
            with LivePage(console) if console.is_terminal else Lines(console) as page:
                story = await Show(system, choice, page).run()
        kept = bool(story.broken)
    except asyncio.CancelledError:
        kept = False
        raise
    finally:
        if kept:
            console.print(f"Its logs: {folder / '.fanfare' / 'logs'}", soft_wrap=True)
        else:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, folder)
    console.print(summary(story))
    return story


@demo.command("load")
def load(
    rate: Annotated[float, typer.Option(min=1, max=5000, help="Messages a second.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, on the last line.")] = False,
) -> None:
    """Let people talk on the system that `fanfare up` runs here, so that there is something to see.

    Exit status 1: a session has missed a message, or got one twice.
    """
    from dataclasses import asdict

    from demo.load import LoadChoice
    from demo.load import load as talk
    from fanfare.cli.running import run_here, running

    settings, _ = running(())
    run = run_here(settings)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = _until_stopped(lambda: talk(run, settings, LoadChoice(rate, seconds), say))
    say(
        f"{found.accepted} accepted, {found.not_accepted} not; deliveries missing {found.missing}, "
        f"doubled {found.doubled}"
    )
    if as_json:
        print(json.dumps(asdict(found)))
    sys.exit(1 if found.broken else 0)


@demo.command("drivers")
def drivers(
    count: Annotated[int, typer.Option("--drivers", min=1, max=20_000, help="How many drive.")] = 1000,
    orders: Annotated[int, typer.Option(min=0, max=5000, help="How many orders follow one of them.")] = 200,
    gpx: Annotated[Path | None, typer.Option(help="Drive along the tracks of a GPX file.")] = None,
    seconds: Annotated[float, typer.Option(min=5, help="How long they drive.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, on the last line.")] = False,
    html: Annotated[Path | None, typer.Option(help="A map that plays it again, as one HTML file.")] = None,
) -> None:
    """Drivers say where they are each second, orders follow them, customers watch, and all goes into the database.

    Exit status 1: a watcher was shown an older position after a newer one or one after the end, or a position is lost.
    """
    from demo.drivers import DriversChoice, result
    from demo.map_page import map_page

    tracks = _tracks(gpx) if gpx is not None else []
    if html is not None and not html.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {html.parent}", param_hint="--html")
    choice = DriversChoice(count, orders, seconds, tracks=tracks)
    story = _until_stopped(lambda: _drivers(choice, as_json=as_json))
    if html is not None:
        html.write_text(map_page(story), "utf-8")
        print(f"written: {html}", file=sys.stderr)
    if as_json:
        print(json.dumps(result(story)))
    sys.exit(1 if story.broken else 0)


def _tracks(path: Path) -> list[list[tuple[float, float]]]:
    """The tracks and routes of a GPX file, as places."""
    import gpxpy
    from gpxpy.gpx import GPXException

    try:
        found = gpxpy.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, GPXException) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint="--gpx") from error
    lines: list[Any] = [segment.points for track in found.tracks for segment in track.segments]
    lines += [route.points for route in found.routes]
    tracks = [[(point.latitude, point.longitude) for point in line] for line in lines]
    tracks = [track for track in tracks if len(set(track)) > 1]
    if not tracks:
        raise typer.BadParameter(f"{path} has no track with two places", param_hint="--gpx")
    return tracks


async def _drivers(choice: "DriversChoice", *, as_json: bool) -> "DriversStory":
    from rich.console import Console
    from rich.table import Table

    from demo.drivers import DriversShow, result
    from torture.system import Scale, System

    console = Console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="fanfare-demo-"))
    console.print(
        f"Starting Kafka, Valkey, PostgreSQL and the services in {folder}: about 10 s", soft_wrap=True
    )
    try:
        scale = Scale(brokers=1, gateway=1, fanout=1, notifier=1, archiver=1)
        async with System(folder, scale, settings={"FANFARE_LOCATION_PARTITIONS": "4"}) as system:
            story = await DriversShow(system.run, system.settings, choice, console.print).run()
    finally:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(shutil.rmtree, folder)
    table = Table("", "", show_header=False, box=None)
    for name, value in result(story).items():
        shown = " ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
    return story


def _until_stopped(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run it; when it is to stop, what it has started is stopped, too."""
    from torture.system import BadSystemError

    for noisy in ("aiokafka", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)

    async def run() -> _T:
        task = asyncio.ensure_future(work())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        sys.exit(_STOPPED)
    except BadSystemError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


@demo.command("kafka")
def kafka(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not wait for Enter between the steps.")
    ] = False,
) -> None:
    """A guided tour of Kafka on three brokers of its own: topics, groups, offsets, and a broker that dies.

    Each step prints the command that you would type, runs it, and shows what it says. Exit status 1: a step did not do
    what it says.
    """
    from rich.console import Console

    from demo.own_kafka import FailedError
    from demo.tour import tour

    console = Console(highlight=False)
    asks = console.is_terminal and sys.stdin.isatty() and not yes

    async def pause() -> None:
        if asks:
            console.print("\n   [dim]Enter goes on, Ctrl-C ends[/dim]", end=" ")
            await _enter()

    try:
        _until_stopped(lambda: tour(console, pause))
    except FailedError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


async def _enter() -> None:
    """Wait for a line. Not in a thread: that could not be ended by Ctrl-C."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    sys.stdin.readline()
