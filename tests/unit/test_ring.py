"""The ring against a plain list."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fanfare.record import Record
from gateway.delivery.ring import Event, Ring
from gateway.protocol.frames import Dispatch


def event(s: int, size: int = 0) -> Event:
    return Event(Dispatch(s, Record(type="X", payload=b"x" * size)), None)


class RingMachine(RuleBasedStateMachine):
    @initialize(limit=st.integers(1, 6000), floor=st.integers(0, 10))
    def begin(self, limit, floor):
        self.limit, self.s = limit, floor
        self.ring = Ring(limit, floor)
        self.all = []
        self.floors = [floor]

    @rule(gap=st.integers(1, 4), size=st.integers(0, 3000))
    def append(self, gap, size):
        self.s += gap
        made = event(self.s, size)
        self.all.append(made)
        self.floors.append(self.s)
        assert self.ring.append(made) == len(self.all) - 1

    @invariant()
    def keeps_the_newest(self):
        ring = self.ring
        assert ring.end == len(self.all)
        assert [ring[index] for index in range(ring.start, ring.end)] == self.all[ring.start :]
        assert ring.floor == self.floors[ring.start]

    @invariant()
    def keeps_as_much_as_fits(self):
        kept = [each.dispatch.size for each in self.all[self.ring.start :]]
        assert sum(kept) <= self.limit or len(kept) == 1
        if self.ring.start:
            assert sum(kept) + self.all[self.ring.start - 1].dispatch.size > self.limit

    @invariant()
    def finds_what_is_after(self):
        for s in range(self.ring.floor, self.s + 2):
            expected = next((i for i, e in enumerate(self.all) if e.dispatch.s > s), len(self.all))
            assert self.ring.after(s) == expected

    @invariant()
    def refuses_what_is_gone(self):
        if self.ring.start:
            with pytest.raises(IndexError):
                self.ring[self.ring.start - 1]
        with pytest.raises(IndexError):
            self.ring[self.ring.end]

    @invariant()
    def does_not_hold_on_to_what_is_gone(self):
        # Reached into on purpose: a list that only grows is not seen from outside.
        assert len(self.ring._events) <= 2 * (self.ring.end - self.ring.start) + 1


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=30)


def test_the_newest_is_kept_however_large():
    ring = Ring(10, 0)
    ring.append(event(1, 1000))
    ring.append(event(2, 1000))
    assert (ring.start, ring.end, ring.floor) == (1, 2, 1)


def test_what_is_cleared_is_gone_and_indices_go_on():
    ring = Ring(1000, 0)
    ring.append(event(1))
    ring.append(event(2))
    ring.clear(5)
    assert (ring.start, ring.end, ring.floor) == (2, 2, 5)
    assert ring.append(event(6)) == 2
    assert (ring.after(5), ring.after(6)) == (2, 3)
