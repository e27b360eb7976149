"""The page of `fanfare demo scale` in a terminal of 80 columns and 24 rows, or more; where there is none, lines."""

import time
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from demo.story import Moment, Story, Worker

__all__ = ["Lines", "LivePage", "render", "summary"]

_COLOURS: Final = ("cyan", "yellow", "green", "magenta", "bright_blue", "red")
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_PARTS: Final = " ▏▎▍▌▋▊▉"
_BAR: Final = 11
_CURVE: Final = 54
_ROWS: Final = 24
_TALLEST: Final = 8
_EACH_S: Final = 5.0


def _colour(worker: str) -> str:
    """The same for a worker everywhere."""
    number = worker.rpartition(".")[2]
    return _COLOURS[(int(number) - 1) % len(_COLOURS)] if number.isdigit() else "red"


def _bar(value: float, most: float) -> str:
    """A bar in eighths of a character."""
    eighths = round(8 * _BAR * min(value / most, 1.0)) if most > 0 else 0
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_PARTS[part] if part else "")


def _curve(values: list[float], rows: int) -> str:
    """A curve of blocks, so many rows high, in which the whole run is in sight."""
    per = max(1, -(-len(values) // _CURVE))
    columns = [max(values[at : at + per]) for at in range(0, len(values), per)]
    most = max(columns, default=0) or 1
    eighths = [round(8 * rows * value / most) for value in columns]
    lines = [
        "".join(_BLOCKS[min(max(each - 8 * row, 0), 8)] for each in eighths) for row in reversed(range(rows))
    ]
    return "\n".join(lines)


def render(story: Story, rows: int = _ROWS) -> RenderableType:
    """The whole page, in so many rows."""
    parts: list[RenderableType] = [_head(story)]
    if story.steps:
        parts += [Text(), _step(story)]
    if story.moments:
        now = story.moments[-1]
        both = Table.grid(padding=(0, 2))
        both.add_row(_partitions(story, now), _workers(story, now))
        parts += [Text(), both, Text(), _curves(story, max(1, min(_TALLEST, rows - _ROWS - 1)))]
    if story.readers:
        parts += [Text(), _readers(story)]
    return Group(*parts)


def _head(story: Story) -> Text:
    text = Text.assemble((" Add a consumer and watch the lag fall ", "bold reverse"))
    if story.moments:
        now = story.moments[-1]
        text.append(f"  {now.at_s:.0f} s: {now.accepted:,} sent, {now.delivered:,} came")
    text.append(f"\n {story.load:.0f} messages/s come in, and each goes to {story.sessions} sessions. ")
    if not story.budget:
        return text.append("\n Fan-outs do as much as they can; this load is little for one of them.")
    text.append("Each fan-out is made to do\n no more than ").append(f"{story.budget:.0f} events/s", "bold")
    return text.append(": a budget for this page, which --no-budget lifts.")


def _step(story: Story) -> RenderableType:
    step = story.steps[-1]
    text = Text.assemble((f"{len(story.steps)}. {step.name}: ", "bold"), step.why)
    if step.command:
        text.append("\n$ ", "dim").append(step.command, "bold")
    if step.said:
        text.append(f"\n  {step.said}", "dim")
    return Padding(text, (0, 1))


def _partitions(story: Story, now: Moment) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for heading in (" chat.events", "owner", "lag", ""):
        table.add_column(heading, justify="right" if heading == "lag" else "left", no_wrap=True)
    table.columns[1].min_width = 8
    table.columns[2].min_width = 4
    table.columns[3].min_width = _BAR
    most = max(max(moment.lags, default=0) for moment in story.moments) or 1
    for number, (owner, lag) in enumerate(zip(now.owners, now.lags, strict=True)):
        style = _colour(owner)
        cells = (Text(owner or "nobody", style), f"{lag:,}", Text(_bar(lag, most), style))
        table.add_row(f" partition {number}", *cells)
    return table


def _workers(story: Story, now: Moment) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for heading in ("fan-out", "has", "events/s", ""):
        table.add_column(heading, justify="right" if heading == "events/s" else "left", no_wrap=True)
    most = story.budget or max((worker.rate for worker in now.workers), default=0.0)
    for worker in now.workers:
        style = _colour(worker.name)
        if worker.has:
            rate, bar = f"{worker.rate:.0f}", Text(_bar(worker.rate, most), style)
        else:
            rate, bar = _idle(story, worker, now), Text()
        table.add_row(Text(worker.name, style), " ".join(map(str, worker.has)) or "-", rate, bar)
    return table


def _idle(story: Story, worker: Worker, now: Moment) -> str:
    """Why a fan-out does nothing."""
    has_others = all(now.owners) and len(now.workers) > story.partitions
    return "idle" if has_others else f"{worker.rate:.0f}"


def _curves(story: Story, rows: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    now = story.moments[-1]
    keeps_up = now.lag <= story.load
    lag = Text(_curve([float(moment.lag) for moment in story.moments], rows), "red")
    rate = Text(_curve([moment.rate for moment in story.moments], 1), "green")
    table.add_row(" lag", lag, f"{now.lag:,}" + (", keeps up" if keeps_up else ""))
    table.add_row(" delivered", rate, f"{now.rate:.0f}/s")
    table.columns[1].min_width = _CURVE
    return table


def _readers(story: Story) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for heading in (" group", "has read", "of", "what for"):
        table.add_column(heading, justify="right" if heading in {"has read", "of"} else "left", no_wrap=True)
    for reader in story.readers:
        style = "yellow" if reader.of - reader.read > story.load else ""
        table.add_row(f" {reader.group}", Text(f"{reader.read:,}", style), f"{reader.of:,}", reader.note)
    return table


def summary(story: Story) -> RenderableType:
    """What is said at the end."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for heading in ("step", "members", "lag", "messages/s", "longest gap"):
        table.add_column(heading, justify="left" if heading == "step" else "right", no_wrap=True)
    for step in story.steps:
        cells = (f"{step.lag_before:,} -> {step.lag_after:,}", f"{step.rate:.0f}", f"{step.gap_s:.2f} s")
        table.add_row(step.name, str(step.members), *cells)
    text = Text.assemble((" A gap: nothing of a partition came though something waited there.\n", "dim"))
    for reader in story.readers:
        text.append(f"\n {reader.group:<10}has read {reader.read:,} of {reader.of:,} records")
    counts = f"lost {story.lost}, doubled {story.doubled}, reordered {story.reordered}"
    text.append(
        f"\n\n accepted {story.accepted:,}, delivered {story.delivered:,} ({story.sessions} sessions), "
    )
    text.append(counts, "bold red" if story.broken else "bold green")
    for line in story.broken:
        text.append(f"\n broken: {line}", "bold red")
    return Group(table, text)


class Lines:
    """For where nobody looks at a terminal: what is announced, and how things stand every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def draw(self, story: Story) -> None:
        """A line now and then."""
        if not story.moments or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EACH_S
        now = story.moments[-1]
        owners = ", ".join(f"{number}: {owner or '-'}" for number, owner in enumerate(now.owners))
        self.say(f"  {now.at_s:5.0f} s  lag {now.lag:5,}  {now.rate:4.0f} messages/s  owners {owners}")

    def say(self, line: str) -> None:
        """Announce."""
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class LivePage:
    """A page that is drawn anew all the time; what is announced is part of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, screen=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def draw(self, story: Story) -> None:
        """Draw it."""
        self._live.update(render(story, self._console.height), refresh=True)

    def say(self, line: str) -> None:
        """It is on the page."""
        del line
