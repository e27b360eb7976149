"""Looks at the groups of a running system every second, decides, and acts."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from fanfare.autoscale.decide import Aim, Decision, Known, decide
from fanfare.observe.collect import Collector
from fanfare.observe.figures import GroupFigures, Window

__all__ = ["ROLES", "Look", "autoscale", "looks"]

ROLES: Final = ("fanout", "notifier", "archiver")
"""The workers; each is the only one in the group of its name."""
# Rates over less than this are those of one commit or another.
_WINDOW_S: Final = 5.0
_EVERY_S: Final = 1.0


@dataclass(frozen=True)
class Look:
    """What was seen of a group at one moment, and decided."""

    at_s: float
    """By a clock that never steps."""
    group: GroupFigures
    decision: Decision

    @property
    def changes(self) -> bool:
        """Whether there should be another number of workers."""
        return self.decision.workers != len(self.group.members)

    @property
    def said(self) -> str:
        """The decision in a line."""
        return f"{self.group.name}: {len(self.group.members)} -> {self.decision.workers}: {self.decision.why}"


async def looks(collector: Collector, aim: Aim, roles: Iterable[str]) -> AsyncGenerator[Look, None]:
    """Look at the groups of these roles for ever; the first looks come when there are rates.

    While Kafka does not answer nothing is seen, and nothing decided.
    """
    window, known, began_s = Window(_WINDOW_S), dict.fromkeys(roles, Known()), time.monotonic()
    while True:
        sample = await collector.sample()
        if sample.kafka is None:
            window, began_s = Window(_WINDOW_S), time.monotonic()
        else:
            seen = {group.name: group for group in window.add(sample).groups}
            for role in known:
                if role in seen and sample.at_s - began_s >= _WINDOW_S:
                    decision, known[role] = decide(seen[role], sample.at_s, known[role], aim)
                    yield Look(sample.at_s, seen[role], decision)
        await asyncio.sleep(_EVERY_S)


async def autoscale(
    collector: Collector,
    aim: Aim,
    roles: Iterable[str],
    act: Callable[[Look], Awaitable[None]],
    say: Callable[[str], None],
) -> None:
    """Give each group the workers that it needs, for ever.

    Args:
        collector: sees the groups.
        aim: what is wanted.
        roles: whose groups.
        act: does what was decided; an error of it is its own to say.
        say: told of each change, in a line.

    """
    async with aclosing(looks(collector, aim, roles)) as every:
        async for look in every:
            if look.changes:
                say(look.said)
                await act(look)
