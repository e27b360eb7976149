"""The timer of all connections."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.timers import Wheel


@given(st.lists(st.floats(0, 20)), st.lists(st.floats(0, 25)))
def test_each_call_comes_once_not_before_its_deadline_and_within_a_second_of_turning(deadlines, turns):
    wheel, called = Wheel(), []
    for at, deadline in enumerate(deadlines):
        wheel.at(deadline, lambda now, at=at: called.append((at, now)))
    for now in sorted(turns):
        before = len(called)
        wheel.turn(now)
        for at, told in called[before:]:
            assert told == now >= deadlines[at]
        assert all(at in dict(called) for at, deadline in enumerate(deadlines) if deadline + 1 <= now)
    assert len(called) == len(dict(called))


def test_earlier_deadlines_come_first():
    wheel, called = Wheel(), []
    for deadline in (3.0, 1.0, 2.0):
        wheel.at(deadline, lambda _, deadline=deadline: called.append(deadline))
    wheel.turn(10.0)
    assert called == [1.0, 2.0, 3.0]


def test_a_call_may_ask_for_the_next():
    wheel, called = Wheel(), []

    def again(now: float) -> None:
        called.append(now)
        wheel.at(now, again)

    wheel.at(1.0, again)
    for now in (1.0, 2.0, 3.0):
        wheel.turn(now)
    assert called == [1.0, 2.0, 3.0], "once a turn, even if it is due at once"
