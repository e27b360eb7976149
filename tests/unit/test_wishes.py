"""Steps are driven to their end, and learn of everything that goes wrong."""

import asyncio

import pytest

from gateway.recovery.crossing import LastS, MarkMoved, RaiseAbove, SendFence, cross, depart
from gateway.recovery.wishes import Now, Wish, fulfil, nothing_at_once
from tests.unit.by_hand import ByHand


class Slow(Wish):
    pass


class AtOnce(Now):
    pass


async def test_answers_come_back_and_what_is_returned_is_returned():
    def steps():
        return (yield from Slow()), (yield from AtOnce())

    async def ask(_):
        return "slow"

    assert await fulfil(steps(), lambda _: "at once", ask) == ("slow", "at once")


async def test_what_keeps_a_wish_from_being_fulfilled_is_thrown_into_the_steps():
    def steps():
        try:
            yield from Slow()
        except LookupError:
            return (yield from AtOnce())

    async def ask(_):
        raise LookupError

    assert await fulfil(steps(), lambda _: "instead", ask) == "instead"


@pytest.mark.parametrize("slow", [True, False])
async def test_what_the_steps_do_not_handle_is_raised(slow):
    def steps():
        yield from Slow() if slow else AtOnce()

    async def ask(_):
        raise LookupError

    def do(_):
        raise LookupError

    with pytest.raises(LookupError):
        await fulfil(steps(), do, ask)


async def test_steps_that_are_cancelled_put_things_in_order():
    """Else the registration of a client that has gone would stay for ever."""
    done = []

    def steps():
        try:
            yield from Slow()
        except BaseException:
            yield from AtOnce()
            raise

    waiting = asyncio.Event()

    async def ask(_):
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(fulfil(steps(), done.append, ask))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(done) == 1


def test_who_wishes_for_nothing_at_once_is_not_answered():
    with pytest.raises(NotImplementedError):
        nothing_at_once(AtOnce())


def test_a_crossing_notes_where_the_own_inbox_is_before_its_fence_is_sent():
    hand = ByHand(cross("b.1", ["a.1", "c.1"]))
    hand.answer(LastS("b.1"), 70)
    hand.answer(SendFence(frozenset({"a.1", "b.1", "c.1"})), ("name", {"t/0": 5}))
    assert hand.result == (70, {"t/0": 5})


def test_a_departure_raises_the_own_inbox_above_the_marker():
    hand = ByHand(depart("b.1", "a.1", {"x": 3}))
    hand.answer(MarkMoved("a.1", {"x": 3}), 90)
    assert hand.wish.s == 90
    assert hand.wish.inbox == "b.1"
    hand.answer(RaiseAbove, 100_000)
    assert hand.result == (90, 100_000)
