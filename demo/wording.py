"""What is said of each step of `fanfare demo scale`. Pure."""

from typing import Final

from demo.plan import Kind, Planned
from demo.story import Story

__all__ = ["words"]

_NUMBERS: Final = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")


def words(planned: Planned, story: Story) -> tuple[str, str]:
    """The command of a step, '' for none, and what it shows."""
    partitions = _NUMBERS[story.partitions]
    command = f"fanfare scale fanout={planned.members} --no-probe"
    match planned.kind:
        case Kind.ALONE:
            why = "one fan-out has all partitions"
            if story.budget:
                why += (
                    f", and may do {story.budget:.0f} of the {story.load:.0f} messages/s that come: lag grows"
                )
            return "", why + "."
        case Kind.ADD:
            share, more = divmod(story.partitions, planned.members)
            each = f"{_NUMBERS[share]} of the {partitions} partitions each"
            if more:
                has = f"{_NUMBERS[more]} {'has' if more == 1 else 'have'} {_NUMBERS[share + 1]}"
                each = f"{partitions} partitions for {_NUMBERS[planned.members]} members, so {has}"
            return command, f"the group shares out anew: {each}."
        case Kind.SPARE:
            return command, (
                f"one too many. chat.events has {partitions} partitions, and a partition has one owner in a group, so "
                f"fanout.{planned.members} is idle."
            )
        case Kind.REMOVE:
            return command, "two leave: each finishes what it has, commits, and the others go on at once."
        case Kind.KILL:
            return "kill -9", (
                "nobody says goodbye. Kafka notices after 3 s without a heartbeat, and others go on from what was "
                "committed."
            )
