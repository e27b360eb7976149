"""Runs the attack: Hypothesis makes the cases, and finds the smallest batch that does what it must not."""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.fuzz.attack import Attack
from tests.fuzz.broken import cases, edits, frames
from tests.stack import Stack

__all__ = ["BATCH", "attack"]

_REQUESTS = 16
_FRAMES = 4
BATCH = _REQUESTS + _FRAMES


def _most_of(often: st.SearchStrategy, seldom: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 15).flatmap(lambda number: often if number else seldom)


def attack(stack: Stack, count: int, *, seed: int | None = None) -> Counter[str]:
    """Send about so many broken requests to a running system; how often what was answered.

    Raises:
        WrongError: the system did what it must not; the smallest batch that shows it is printed.

    """
    with asyncio.Runner() as runner:
        attacker = runner.run(Attack(stack).__aenter__())
        try:

            @settings(
                max_examples=-(-count // BATCH),
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(
                st.lists(_most_of(cases(), edits()), min_size=_REQUESTS, max_size=_REQUESTS),
                st.lists(frames(), min_size=_FRAMES, max_size=_FRAMES),
            )
            def batch(requests: list, messages: list) -> None:
                runner.run(attacker.send(requests, messages))

            (seeded(seed)(batch) if seed is not None else batch)()
            runner.run(attacker.check())
        finally:
            runner.run(attacker.__aexit__(None, None, None))
        return attacker.counts
