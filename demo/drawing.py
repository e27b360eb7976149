"""The picture of a run as SVG: lag, throughput and owners, one above the other on the same time. Pure, and no library.

It stands for itself (colours for light and dark are in it, nothing is fetched), as a file or inside of a page.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final, NamedTuple

from demo.story import Moment, Step, Story

__all__ = ["COLOURS", "Stretch", "lags", "owners", "svg", "ticks"]

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Of the workers, told apart by people who do not see all colours, too (Okabe and Ito's)."""
_WIDTH: Final = 920
_LEFT: Final = 96
_RIGHT: Final = 16
_TOP: Final = 68
_LAG: Final = 170
_RATE: Final = 120
_GAP: Final = 36
_ROW: Final = 20
_STYLE: Final = """
.card{fill:#fff}.text{fill:#1f2933}.soft{fill:#616e7c}.grid{stroke:#e4e7eb}.step{stroke:#9aa5b1}
.lag{fill:#c0392b;fill-opacity:.16;stroke:#c0392b}.rate{stroke:#1a7f4b}.room{stroke:#616e7c}.none{fill:#e4e7eb}
@media(prefers-color-scheme:dark){.card{fill:#12181f}.text{fill:#e4e7eb}.soft{fill:#9aa5b1}.grid{stroke:#28323d}
.step{stroke:#52606d}.lag{fill:#ff8a7a;fill-opacity:.2;stroke:#ff8a7a}.rate{stroke:#5fd39a}.room{stroke:#9aa5b1}
.none{fill:#28323d}}
"""


class Stretch(NamedTuple):
    """A time in which a partition had the same owner."""

    partition: int
    owner: str
    began_s: float
    ended_s: float


def owners(moments: Sequence[Moment]) -> list[Stretch]:
    """Who had each partition, and from when until when."""
    found: list[Stretch] = []
    for number in range(len(moments[0].owners) if moments else 0):
        began = moments[0].at_s
        for before, after in pairwise(moments):
            if after.owners[number] != before.owners[number]:
                found.append(Stretch(number, before.owners[number], began, after.at_s))
                began = after.at_s
        found.append(Stretch(number, moments[-1].owners[number], began, moments[-1].at_s))
    return found


def lags(moments: Sequence[Moment]) -> list[tuple[float, float]]:
    """The lag over time, each the mean of two moments: offsets are committed once a second, and it is looked twice."""
    pairs = pairwise([*moments[:1], *moments])
    return [(after.at_s, (before.lag + after.lag) / 2) for before, after in pairs]


def ticks(most: float, about: int = 4) -> list[float]:
    """Round numbers from 0 to at least `most`, about so many steps apart."""
    if most < 1:
        return [0.0, 1.0]
    raw = most / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw - 1e-9)
    return [step * at for at in range(math.ceil(most / step - 1e-9) + 1)]


class _Panel(NamedTuple):
    """Where a panel is, and what its axes mean."""

    top: float
    height: float
    most: float
    until_s: float

    def x(self, at_s: float) -> float:
        """Of a time."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(at_s / self.until_s, 0.0), 1.0)

    def y(self, value: float) -> float:
        """Of a value."""
        return self.top + self.height * (1 - min(max(value / self.most, 0.0), 1.0))

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """A line through (time, value)."""
        return "M" + "L".join(f"{self.x(at):.1f} {self.y(value):.1f}" for at, value in points)


def svg(story: Story) -> str:
    """The picture."""
    until_s = max(story.ended_s, 1.0)
    moments = [moment for moment in story.moments if moment.at_s <= until_s]
    lag_ticks = ticks(max((moment.lag for moment in moments), default=0), 5)
    room = _room(story)
    rate_ticks = ticks(
        max([*(moment.rate for moment in moments), *(most for _, _, most in room)], default=0), 3
    )
    lag = _Panel(_TOP, _LAG, lag_ticks[-1], until_s)
    rate = _Panel(_TOP + _LAG + _GAP, _RATE, rate_ticks[-1], until_s)
    have = _Panel(rate.top + _RATE + _GAP, _ROW * story.partitions, 1.0, until_s)
    height = have.top + have.height + 28
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
            f'font-family="system-ui,sans-serif" font-size="12"><title>Lag, throughput and owners</title>'
            f"<style>{_STYLE}</style>"
        ),
        f'<rect class="card" width="{_WIDTH}" height="{height:.0f}"/>',
        *_steps(story.steps, story.partitions, lag, have.top + have.height),
        *_axis(lag, lag_ticks, "lag: records that wait for a fan-out"),
        *_axis(rate, rate_ticks, "throughput: messages a second that have come to everybody"),
    ]
    if moments:
        line = lags(moments)
        area = [(line[0][0], 0.0), *line, (line[-1][0], 0.0)]
        parts.append(f'<path class="lag" stroke="none" d="{lag.path(area)}Z"/>')
        parts.append(f'<path class="lag" style="fill:none" stroke-width="2" d="{lag.path(line)}"/>')
        line = [(moment.at_s, moment.rate) for moment in moments[1:] or moments]  # the first knows no rate
        parts.append(f'<path class="rate" fill="none" stroke-width="2" d="{rate.path(line)}"/>')
    parts += _rooms(room, rate, story)
    parts += _owners(moments, have)
    parts += _times(until_s, have)
    return "".join(parts) + "</svg>\n"


def _room(story: Story) -> list[tuple[float, float, float]]:
    """(began, ended, events a second) that the budget allows in each step."""
    if not story.budget:
        return []
    return [
        (step.began_s, step.ended_s or story.ended_s, story.budget * min(step.members, story.partitions))
        for step in story.steps
    ]


def _rooms(room: list[tuple[float, float, float]], panel: _Panel, story: Story) -> Iterator[str]:
    load = f"M{panel.x(0):.1f} {panel.y(story.load):.1f}H{panel.x(panel.until_s):.1f}"
    yield f'<path class="rate" fill="none" stroke-dasharray="1 4" d="{load}"/>'
    yield _text(panel.x(0) + 4, panel.y(story.load) - 4, f"{story.load:.0f}/s come in", "soft", "start", 11)
    if not room:
        return
    path = "".join(
        f"{'L' if at else 'M'}{panel.x(began):.1f} {panel.y(most):.1f}H{panel.x(ended):.1f}"
        for at, (began, ended, most) in enumerate(room)
    )
    yield f'<path class="room" fill="none" stroke-dasharray="6 4" d="{path}"/>'
    began, _, most = max(room, key=lambda each: each[2])
    yield _text(panel.x(began) + 4, panel.y(most) + 13, "what the budget allows", "soft", "start", 11)


def _steps(steps: Sequence[Step], partitions: int, panel: _Panel, bottom: float) -> Iterator[str]:
    for step in steps:
        x = panel.x(step.began_s)
        yield f'<path class="step" stroke-dasharray="2 3" d="M{x:.1f} 8V{bottom:.1f}"/>'
        first, _, rest = step.name.partition(" ")
        yield f"<g><title>{escape(step.name)}: {escape(step.why)}</title>"
        yield _text(x + 4, 18, first, "text", "start", 12, bold=True)
        idle = " idle" if first == "add" and step.members > partitions else ""
        rest = rest if " and " not in rest else rest.removeprefix("fanout")
        yield _text(x + 4, 33, rest + idle, "text", "start", 11)
        yield "</g>"


def _axis(panel: _Panel, values: Sequence[float], title: str) -> Iterator[str]:
    for value in values:
        y = panel.y(value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:,.0f}", "soft", "end", 11)
    yield _text(_LEFT, panel.top - 9, title, "text", "start", 12, bold=True)


def _owners(moments: Sequence[Moment], panel: _Panel) -> Iterator[str]:
    for each in owners(moments):
        x, top = panel.x(each.began_s), panel.top + each.partition * _ROW
        width = max(panel.x(each.ended_s) - x, 0.5)
        number = each.owner.rpartition(".")[2]
        fill = f'fill="{COLOURS[(int(number) - 1) % len(COLOURS)]}"' if number.isdigit() else 'class="none"'
        who = each.owner or "nobody, while the group shares out anew"
        yield (
            f'<rect x="{x:.1f}" y="{top + 1:.1f}" width="{width:.1f}" height="{_ROW - 2}" {fill}><title>'
            f"chat.events/{each.partition}: {escape(who)}, {each.began_s:.0f} to {each.ended_s:.0f} s</title></rect>"
        )
        if width > 14 and number.isdigit():
            label = each.owner if width > 60 else number
            yield (
                f'<text x="{x + 5:.1f}" y="{top + 14:.1f}" fill="#fff" font-size="11" '
                f'pointer-events="none">{escape(label)}</text>'
            )
    for row in range(len(moments[0].owners) if moments else 0):
        yield _text(_LEFT - 8, panel.top + row * _ROW + 14, f"partition {row}", "soft", "end", 11)


def _times(until_s: float, panel: _Panel) -> Iterator[str]:
    y = panel.top + panel.height + 16
    for value in ticks(until_s, 8):
        if value <= until_s:
            yield _text(panel.x(value), y, f"{value:.0f} s", "soft", "middle", 11)
    yield _text(
        _LEFT, panel.top - 9, "owners of the partitions of chat.events", "text", "start", 12, bold=True
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight}>'
        f"{escape(text)}</text>"
    )
