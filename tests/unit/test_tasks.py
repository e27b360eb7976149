"""Ending tasks for certain."""

import asyncio
import contextlib

import pytest

from fanfare import tasks
from fanfare.tasks import end, uninterrupted


async def test_a_task_that_swallows_its_cancellation_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(tasks, "_AGAIN_S", 0)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
    assert swallowed == 3


async def test_what_is_done_is_left_alone():
    async def broken() -> None:
        raise ValueError

    task = asyncio.create_task(broken())
    await asyncio.wait((task,))
    await end([task])
    assert isinstance(task.exception(), ValueError)


async def test_a_step_is_finished_before_the_cancellation_counts():
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def step() -> None:
        begun.set()
        await go_on.wait()
        finished.set()

    task = asyncio.create_task(uninterrupted(step(), 60))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished.is_set()


async def test_a_step_that_takes_too_long_is_cancelled():
    async def step() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(uninterrupted(step(), 0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_answers_and_errors_come_through():
    async def answer() -> int:
        return 3

    async def broken() -> None:
        raise ValueError

    assert await uninterrupted(answer(), 1) == 3
    with pytest.raises(ValueError):  # noqa: PT011 - our own
        await uninterrupted(broken(), 1)
