"""Snowflakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import CLOCK_SKEW_S, SNOWFLAKE_EPOCH_MS
from fanfare.ids import ClockSkewError, Snowflakes, snowflake_ms

NOW = 1_800_000_000_000
WORKERS = st.integers(0, 1023)


def test_the_layout_is_discords():
    made = Snowflakes(worker=5).next(NOW + 0.7)
    assert made == (NOW - SNOWFLAKE_EPOCH_MS) << 22 | 5 << 12
    assert snowflake_ms(made) == NOW


def test_documented_example():
    # Discord's documentation, "Snowflakes": 175928847299117063.
    assert snowflake_ms(175928847299117063) == 1462015105796


@given(
    WORKERS,
    st.lists(
        st.tuples(st.just("next"), st.integers(-5, 5))
        | st.tuples(st.just("observe"), WORKERS, st.integers(-5, 5), st.integers(0, 4095))
        | st.tuples(st.just("move"), WORKERS)
    ),
)
def test_ids_rise_above_all_that_was_made_or_seen(worker, steps):
    ids, highest = Snowflakes(worker), 0
    for step in steps:
        match step:
            case "next", ahead:
                made = ids.next(NOW + ahead)
                assert made > highest
                assert snowflake_ms(made) >= NOW + ahead
                assert made >> 12 & 1023 == worker
                highest = made
            case "observe", other, ahead, counter:
                seen = (NOW + ahead - SNOWFLAKE_EPOCH_MS) << 22 | other << 12 | counter
                ids.observe(seen)
                highest = max(highest, seen)
            case "move", worker:
                ids.move(worker)


def test_a_busy_millisecond_runs_ahead():
    ids = Snowflakes(1)
    made = [ids.next(NOW) for _ in range(5000)]
    assert made == sorted(set(made))
    assert snowflake_ms(made[-1]) == NOW + 1


@pytest.mark.parametrize("off_ms", [CLOCK_SKEW_S * 1000 + 1, -CLOCK_SKEW_S * 1000 - 1])
def test_a_clock_that_is_off_makes_no_ids(off_ms):
    ids = Snowflakes(1)
    ids.skew(NOW + off_ms, NOW)
    with pytest.raises(ClockSkewError, match="synchronise"):
        ids.next(NOW)
    ids.skew(NOW + CLOCK_SKEW_S * 1000, NOW)
    assert ids.next(NOW)


@pytest.mark.parametrize("worker", [-1, 1024])
def test_worker_numbers_have_ten_bits(worker):
    with pytest.raises(ValueError, match="1023"):
        Snowflakes(worker)
