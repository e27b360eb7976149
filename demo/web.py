"""A run as one HTML file: the picture, what each step did, who read everything, the verdict. Pure; fetches nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from demo.drawing import svg
from demo.story import Story

__all__ = ["page"]

_STYLE: Final = """
:root{color-scheme:light dark;
--ink:#1f2933;--soft:#616e7c;--line:#e4e7eb;--card:#fff;--ground:#f5f7fa;--good:#1a7f4b;--bad:#c0392b}
@media(prefers-color-scheme:dark){:root{
--ink:#e4e7eb;--soft:#9aa5b1;--line:#28323d;--card:#12181f;--ground:#0b0f14;--good:#5fd39a;--bad:#ff8a7a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:980px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 8px}h2{font-size:19px;margin:36px 0 10px}
p{margin:0 0 12px;max-width:70ch}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
.card svg{display:block;width:100%;min-width:640px;height:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:20px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:26px;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:14px}
.good b{color:var(--good)}.bad b,.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0;font-size:14px;color:var(--soft);font-weight:600;white-space:nowrap}
.n{text-align:right;white-space:nowrap}td small{display:block;color:var(--soft);font-size:14px}
code{font:13px ui-monospace,monospace}
"""


def page(story: Story) -> str:
    """The whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Add a consumer and watch the lag fall</title><style>{_STYLE}</style></head><body><main>"
        "<h1>Add a consumer and watch the lag fall</h1>"
        f"<p>{_about(story)}</p>{_tiles(story)}{_broken(story)}"
        f'<div class="card">{svg(story)}</div>'
        f"<h2>Step by step</h2>{_steps(story)}"
        f"<h2>One producer, many groups</h2><p>Each group reads the whole topic, at its own place in the log; "
        f"none takes anything away from another.</p>{_readers(story)}"
        f"<h2>How it was measured</h2>{_method(story)}</main></body></html>\n"
    )


def _about(story: Story) -> str:
    said = (
        f"{story.load:.0f} messages a second come into <code>chat.events</code>, a topic of {story.partitions} "
        f"partitions, and each goes to {story.sessions} sessions. "
    )
    if story.budget:
        return said + (
            f"Each fan-out is made to do no more than {story.budget:.0f} events a second here: a declared budget, so "
            "that a small load can overrun one. Consumers are then added, taken away and killed."
        )
    return said + "Fan-outs do as much as they can. Consumers are added, taken away and killed."


def _tiles(story: Story) -> str:
    def tile(value: str, name: str, kind: str = "") -> str:
        return f'<div class="tile {kind}"><b>{value}</b><span>{name}</span></div>'

    zeros = (("lost", story.lost), ("doubled", story.doubled), ("out of order", story.reordered))
    return (
        '<div class="tiles">'
        + tile(f"{story.accepted:,}", "messages accepted")
        + tile(f"{story.delivered:,}", f"deliveries, to {story.sessions} sessions")
        + "".join(tile(f"{count:,}", name, "bad" if count else "good") for name, count in zeros)
        + "</div>"
    )


def _broken(story: Story) -> str:
    return "".join(f'<p class="bad">Broken: {escape(line)}</p>' for line in story.broken)


def _table(headings: Sequence[str], numbers: int, rows: Iterable[Sequence[str]]) -> str:
    """Args: numbers: the first column that holds numbers; all after it do, too."""

    def cell(tag: str, at: int, text: str) -> str:
        return f"<{tag}{' class=n' if at >= numbers else ''}>{text}</{tag}>"

    head = "".join(cell("th", at, escape(text)) for at, text in enumerate(headings))
    body = "".join(
        "<tr>" + "".join(cell("td", at, text) for at, text in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _steps(story: Story) -> str:
    rows = []
    for step in story.steps:
        command = f"<small><code>$ {escape(step.command)}</code></small>" if step.command else ""
        what = f"<b>{escape(step.name)}</b><small>{escape(step.why)}</small>{command}"
        numbers = (f"{step.members}", f"{step.lag_before:,}", f"{step.lag_after:,}", f"{step.rate:.0f}")
        rows.append((what, *numbers, f"{step.gap_s:.2f} s"))
    return _table(("step", "fan-outs", "lag before", "after", "messages/s", "longest gap"), 1, rows)


def _readers(story: Story) -> str:
    rows = [
        (f"<b>{escape(one.group)}</b><small>{escape(one.note)}</small>", f"{one.read:,}", f"{one.of:,}")
        for one in story.readers
    ]
    return _table(("group", "records read", "records there"), 1, rows)


def _method(story: Story) -> str:
    return (
        f'<p class="soft">One run of <code>fanfare demo scale</code> on {escape(story.where)}. Lag is what Kafka says: '
        "end of the log less what the group has committed; it commits once a second, so up to a second of messages is "
        "lag of a group that keeps up. A gap is the longest time in which nothing of a partition came to the sessions "
        "though something was accepted and due. Lost, doubled and out of order are counted by the checker of "
        "<code>fanfare torture</code>, from what each session got and from Kafka's log.</p>"
    )
