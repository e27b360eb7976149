"""How a pair of topics gets more partitions: the rules, and what they do to who writes and who reads."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.bus.grow import refusal
from fanfare.bus.growth import GrowthLog
from fanfare.bus.growth_rules import (
    CUT_LEAD_S,
    LEASE_S,
    STRICT_S,
    Abort,
    Beat,
    Cut,
    Grown,
    Pause,
    Phase,
    Prepare,
    State,
)
from fanfare.bus.partitions import partition_of
from fanfare.bus.topics import CHAT_EVENTS, DELIVERIES_OF, GROWTH
from fanfare.settings import Settings

LEAD_MS = int(CUT_LEAD_S * 1000)


def folded(*steps, every_ms=1000):
    state = State()
    for number, step in enumerate(steps):
        state.take(step, number * every_ms)
    return state


def grown(token="a", old=4, new=8):
    return [Prepare(token, CHAT_EVENTS, old, new), Pause(token), Cut(token), Grown(token)]


def test_writers_stop_from_the_pause_until_it_is_grown():
    steps = grown()
    assert [folded(*steps[:upto]).closed(CHAT_EVENTS) for upto in range(5)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    state = folded(*steps)
    assert state.count(CHAT_EVENTS) == 8
    assert state.waited_s == {"a": 2.0}
    assert not folded(*steps[:3]).closed("guild.events")


def test_of_two_at_once_the_first_in_the_log_counts():
    """Both would cut otherwise, and a record could be void by one and not by the other."""
    state = folded(Prepare("a", CHAT_EVENTS, 4, 8), Prepare("b", CHAT_EVENTS, 4, 16), Pause("b"), Cut("b"))
    assert state.under_way is not None
    assert (state.under_way.token, state.under_way.phase) == ("a", Phase.PREPARED)


def test_after_the_cut_there_is_no_way_back_and_before_it_nothing_has_changed():
    steps = grown()
    assert folded(*steps[:3], Abort("a")).closed(CHAT_EVENTS)
    given_up = folded(*steps[:2], Abort("a", "why"), Cut("a"), Grown("a"))
    assert given_up.under_way is None
    assert given_up.cuts(CHAT_EVENTS) == []
    assert given_up.count(CHAT_EVENTS) == 0
    assert given_up.aborted == {"a": "why"}


def test_what_is_known_is_good_for_less_while_a_pair_grows():
    assert folded().lease_s == LEASE_S
    assert folded(*grown()[:1]).lease_s == STRICT_S
    assert folded(*grown()).lease_s == LEASE_S


def test_it_can_only_grow():
    assert folded(*grown(), Prepare("b", CHAT_EVENTS, 8, 8)).under_way is None
    assert folded(*grown(), Prepare("b", CHAT_EVENTS, 8, 9)).under_way is not None


@given(st.lists(st.sampled_from([*grown("a"), *grown("b", 8, 16), Abort("a"), Abort("b"), Beat("a")])))
def test_whatever_stands_in_the_log_partitions_never_become_fewer(steps):
    state, before = State(), 0
    for at, step in enumerate(steps):
        state.take(step, at)
        assert state.count(CHAT_EVENTS) >= before
        before = state.count(CHAT_EVENTS)
        counts = [count for _, count in state.cuts(CHAT_EVENTS)]
        assert counts == sorted(set(counts))
        assert len(counts) >= (before > 0)


@pytest.fixture
async def log():
    log = GrowthLog(Settings(), clock=lambda: 0.0)
    for number, step in enumerate(grown()):
        log.state.take(step, number * 1000)
    return log


def keys(log, moved):
    found = (key for key in itertools.count(1) if (partition_of(key, 4) != partition_of(key, 8)) is moved)
    return list(itertools.islice(found, 20))


async def test_what_was_written_with_the_old_number_after_the_cut_is_void(log):
    """A gateway that slept through a growth would put a message behind newer ones of its channel."""
    cut_ms = 2000 + LEAD_MS
    for key in keys(log, moved=True):
        old, name = partition_of(key, 4), str(key).encode()
        assert log.void(CHAT_EVENTS, old, name, cut_ms + 1)
        assert not log.void(CHAT_EVENTS, old, name, cut_ms)  # before it: everybody had it before it went on
        assert not log.void(CHAT_EVENTS, partition_of(key, 8), name, cut_ms + 1)
        assert not log.void("guild.events", old, name, cut_ms + 1)
    for key in keys(log, moved=False):
        assert not log.void(CHAT_EVENTS, partition_of(key, 4), str(key).encode(), cut_ms + 1)


async def test_fences_are_never_void(log):
    """They go into each partition, whatever their key."""
    assert not any(log.void(CHAT_EVENTS, number, b"0", 1 << 40) for number in range(8))


async def test_of_two_records_of_a_channel_the_later_has_the_higher_number(log):
    """The cache and the database keep what is newer by the place in the log, and a new partition begins at 0."""
    last_of_old = log.state.base(CHAT_EVENTS, 2000 + LEAD_MS) + 1_000_000
    first_of_new = log.state.base(CHAT_EVENTS, 2001 + LEAD_MS) + 0
    assert last_of_old == 1_000_000
    assert last_of_old < first_of_new < 1 << 53  # as Redis counts
    assert log.state.base_now(CHAT_EVENTS) == first_of_new
    assert log.state.base_now("guild.events") == 0


async def test_what_is_known_ages():
    now = 100.0
    log = GrowthLog(Settings(), clock=lambda: now)
    assert not log.fresh()
    log._known_s = now
    assert log.fresh()
    now += LEASE_S - 0.1
    assert log.fresh()
    log.state.take(Prepare("a", CHAT_EVENTS, 4, 8), 0)
    assert not log.fresh()
    now += 0.2
    assert not log.fresh()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("topic", "new", "said"),
    [
        ("chat.events", 12, "has 12 partitions already"),
        ("chat.events", 1, "none can be taken away"),
        ("chat.deliveries", 24, "fanfare topics grow chat.events 24"),
        ("nowhere", 24, "nowhere cannot grow"),
        ("location.events", 24, "there is no topic location.events"),
        ("guild.events", 24, "by other means"),
        ("chat.events", 24, ""),
    ],
)
def test_what_cannot_grow_is_said(topic, new, said):
    counts = {CHAT_EVENTS: 12, DELIVERIES_OF[CHAT_EVENTS]: 12, GROWTH: 1}
    counts |= {"guild.events": 6, "guild.deliveries": 4, "location.deliveries": 4}
    why = refusal(topic, new, counts)
    assert said in why
    assert bool(said) == bool(why)
