"""A shared timer means what asyncio.timeout means."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.time_limit import TimeLimit

FAR, NEAR = 60.0, 0.02


async def test_a_block_in_time_is_left_alone():
    limit = TimeLimit(FAR)
    async with limit.each():
        await asyncio.sleep(0)
    with pytest.raises(KeyError):
        async with limit.each():
            raise KeyError


async def test_what_takes_too_long_is_ended_and_what_comes_after_it_is_not():
    limit = TimeLimit(NEAR)
    with pytest.raises(TimeoutError):
        async with limit.each():
            await asyncio.Event().wait()
    for _ in range(3):
        async with limit.each():
            await asyncio.sleep(NEAR / 10)
    with pytest.raises(TimeoutError):
        async with limit.each():
            await asyncio.Event().wait()


async def test_a_cancellation_from_outside_stays_one():
    limit = TimeLimit(NEAR)

    async def work() -> None:
        async with limit.each():
            await asyncio.Event().wait()

    early = asyncio.create_task(work())
    await asyncio.sleep(0)
    early.cancel()
    with pytest.raises(asyncio.CancelledError):
        await early

    async def stubborn() -> None:
        async with limit.each():
            try:
                await asyncio.Event().wait()
            finally:
                asyncio.current_task().cancel()  # from outside, in the same moment

    both = asyncio.create_task(stubborn())
    with pytest.raises(asyncio.CancelledError):
        await both


async def test_what_swallows_its_cancellation_has_done_it():
    """As with asyncio.timeout: no error comes out of a block that ended by itself."""
    for within in (TimeLimit(NEAR).each, lambda: asyncio.timeout(NEAR)):
        async with within():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                done = True
        assert done
        assert asyncio.current_task().cancelling() == 0


async def test_limits_in_each_other():
    outer, inner = TimeLimit(NEAR), TimeLimit(FAR)
    with pytest.raises(TimeoutError):
        async with outer.each(), inner.each():
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with inner.each(), outer.each():
            await asyncio.Event().wait()


@given(st.lists(st.sampled_from(["quick", "slow", "cancelled"]), min_size=1, max_size=30))
def test_many_at_once_end_as_each_would_alone(kinds):
    async def one(limit: TimeLimit, kind: str) -> str:
        try:
            async with limit.each():
                await (asyncio.sleep(0) if kind == "quick" else asyncio.Event().wait())
        except TimeoutError:
            return "slow"
        except asyncio.CancelledError:
            return "cancelled"
        return "quick"

    async def main() -> list[str]:
        limit = TimeLimit(NEAR)
        tasks = [asyncio.create_task(one(limit, kind)) for kind in kinds]
        await asyncio.sleep(0)
        for task, kind in zip(tasks, kinds, strict=True):
            if kind == "cancelled":
                task.cancel()
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(main()) == kinds


def test_another_event_loop():
    limit = TimeLimit(NEAR)

    async def left_behind() -> None:
        block = limit.each()
        await block.__aenter__()

    async def ended() -> None:
        with pytest.raises(TimeoutError):
            async with limit.each():
                await asyncio.Event().wait()

    for work in (left_behind, ended, left_behind, ended):
        asyncio.run(work())


async def test_what_has_ended_is_not_kept():
    limit = TimeLimit(FAR)
    for _ in range(1000):
        async with limit.each():
            pass
    assert len(limit._begun) == 0
    async with limit.each():
        await asyncio.gather(*(_through(limit) for _ in range(100)))
    assert len(limit._begun) == 0


async def _through(limit: TimeLimit) -> None:
    async with limit.each():
        await asyncio.sleep(0)
