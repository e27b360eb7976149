"""Ending tasks for certain.

A cancellation can get lost: aiokafka's `close()` waits for a task of its own and swallows what comes meanwhile.
So whoever must be sure that a task ends asks again.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

__all__ = ["end", "retrieve", "uninterrupted"]

_AGAIN_S: Final = 0.2
_T = TypeVar("_T")


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until each of them is done; what they raise is left to those who look at them."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)


def retrieve(task: asyncio.Future[Any]) -> None:
    """Take note of a task's error, for when all who waited for it are gone: it is nobody's then."""
    if not task.cancelled():
        task.exception()


async def uninterrupted(step: Coroutine[Any, Any, _T], limit_s: float) -> _T:
    """Wait for a step that loses something if it is cancelled half-way, such as a connection just made.

    A cancellation takes effect when the step is done, or after `limit_s`.
    """
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=limit_s)
        if not task.cancel():
            retrieve(task)
        raise
