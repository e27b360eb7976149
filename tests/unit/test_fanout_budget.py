"""A fan-out with a budget: the demonstration is overrun by what it says, not by more or less."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.bus.names import TopicPartition
from fanout.budget import Budget, Pace

RATES = st.floats(1, 10_000)
BATCHES = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 20)), min_size=1)
"""Seconds after the one before, and how many events."""


@given(RATES, BATCHES)
def test_never_more_than_the_rate(rate, batches):
    pace, now, begun = Pace(rate), 100.0, []
    for later, count in batches:
        now += later
        begun.append((now + pace.wait(count, now), count))
    for first, (since, _) in enumerate(begun):
        until, last = begun[-1]
        between = sum(count for _, count in begun[first:]) - last
        assert between <= rate * (until - since) + 1e-6 * rate


@given(RATES, BATCHES)
def test_nobody_waits_while_there_is_room(rate, batches):
    pace, now, free = Pace(rate), 100.0, 100.0
    for later, count in batches:
        now += later
        begin = now + pace.wait(count, now)
        assert begin == pytest.approx(max(now, free))
        free = begin + count / rate


async def test_a_batch_gets_to_the_handler_as_it_is():
    got = []

    async def handler(partition, batch):
        got.append((partition, batch))

    budget = Budget(1000, handler)
    await asyncio.gather(*(budget.handle(TopicPartition("t", number), [number]) for number in range(3)))
    assert sorted(got) == [(("t", number), [number]) for number in range(3)]


@pytest.mark.parametrize(("rate", "records"), [(0.5, 1), (30, 1), (100, 5)])
def test_no_batch_holds_up_a_rebalance(rate, records):
    """The budget's waits are part of a batch, and a member gives its partitions back only after its batches."""
    assert Budget(rate, None).batch_records == records
