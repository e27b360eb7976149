"""The picture of a run as a file: SVG by our own drawing, PNG by matplotlib, a requirement of development only."""

import importlib.util
from pathlib import Path
from typing import Any

from demo.drawing import COLOURS, lags, owners, svg
from demo.story import Story

__all__ = ["can_draw", "draw"]


def can_draw(path: Path) -> str:
    """Why a picture of this kind cannot be drawn; '' if it can."""
    if path.suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        return (
            "a .png is drawn by matplotlib, which is not installed (it comes with the requirements of development: "
            "`make check` installs them). A .svg and --html need nothing"
        )
    return ""


def draw(story: Story, path: Path) -> None:
    """Write the picture, as what the name ends in: .svg or .png."""
    if path.suffix == ".svg":
        path.write_text(svg(story), "utf-8")
    else:
        _png(story, path)


def _png(story: Story, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only for drawing

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(
        3, 1, figsize=(10, 6.6), sharex=True, layout="constrained", height_ratios=(5, 4, 3)
    )
    figure.suptitle("Add a consumer and watch the lag fall", fontweight="bold")
    lag, rate, have = panels
    times = [moment.at_s for moment in story.moments]
    curve = [waiting for _, waiting in lags(story.moments)]
    lag.fill_between(times, curve, color="#c0392b", alpha=0.16, linewidth=0)
    lag.plot(times, curve, color="#c0392b")
    lag.set_ylabel("lag (records)")
    rate.plot(times, [moment.rate for moment in story.moments], color="#1a7f4b")
    rate.axhline(story.load, color="#1a7f4b", linestyle=":", linewidth=1)
    if story.budget:
        room = [story.budget * min(step.members, story.partitions) for step in story.steps]
        edges = [*(step.began_s for step in story.steps), story.ended_s]
        rate.stairs(
            room, edges, color="#616e7c", linestyle="--", baseline=None, label="what the budget allows"
        )
        rate.legend(frameon=False, loc="upper left", fontsize=8)
    rate.set_ylabel("messages/s\nwith everybody")
    _owners(story, have)
    for panel in (lag, rate):
        panel.set_ylim(bottom=0)
        panel.grid(visible=True, axis="y", alpha=0.3)
    for step in story.steps:
        for panel in panels:
            panel.axvline(step.began_s, color="#9aa5b1", linestyle="--", linewidth=0.8)
        lag.annotate(
            step.name.replace(" ", "\n", 1),
            (step.began_s, 1.02),
            xycoords=("data", "axes fraction"),
            fontsize=8,
        )
    have.set_xlim(0, max(story.ended_s, 1.0))
    have.set_xlabel(f"seconds; {story.where}")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _owners(story: Story, panel: Any) -> None:
    for each in owners(story.moments):
        number = each.owner.rpartition(".")[2]
        colour = COLOURS[(int(number) - 1) % len(COLOURS)] if number.isdigit() else "#e4e7eb"
        panel.broken_barh(
            [(each.began_s, each.ended_s - each.began_s)], (each.partition - 0.42, 0.84), color=colour
        )
        if each.ended_s - each.began_s > 4 and number.isdigit():
            panel.text(each.began_s + 0.5, each.partition, number, color="white", va="center", fontsize=8)
    panel.set_yticks(range(story.partitions), [f"partition {number}" for number in range(story.partitions)])
    panel.invert_yaxis()
    panel.set_ylabel("owners (fanout.N)")
