"""Limits of time for what is done thousands of times a second: `asyncio.timeout` at a quarter of its cost.

`asyncio.timeout` sets a timer and takes it back, which costs some 5 us each time. Here all that have the same limit
share one timer: who began first has to be done first. The meaning is that of `asyncio.timeout` (TimeoutError out of the
block; a cancellation from outside stays one), but that a limit holds from the entry on and cannot be moved.
"""

import asyncio
from collections import deque
from types import TracebackType

__all__ = ["TimeLimit"]


class TimeLimit:
    """`async with limit.each():` ends the block with TimeoutError if it takes longer."""

    __slots__ = ("_begun", "_loop", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        """Args: seconds: for each block."""
        self.seconds = seconds
        self._begun: deque[_Block] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def each(self) -> "_Block":
        """The context of one block."""
        return _Block(self)

    def _begin(self, block: "_Block") -> float:
        """Count a block from now on; when it is due."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The one before has ended, and its timer with it.
            self._loop, self._timer = loop, None
            self._begun.clear()
        due = loop.time() + self.seconds
        self._begun.append(block)
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)
        return due

    def _end(self) -> None:
        """Forget those that are done and began before all others."""
        while self._begun and self._begun[0].task is None:
            self._begun.popleft()

    def _look(self) -> None:
        """Cancel what is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._begun and (self._begun[0].task is None or self._begun[0].due <= now):
            self._begun.popleft().expire()
        self._timer = loop.call_at(self._begun[0].due, self._look) if self._begun else None


class _Block:
    __slots__ = ("_cancelled_before", "_expired", "_limit", "due", "task")

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._expired = False
        self._cancelled_before = 0
        self.due = 0.0
        self.task: asyncio.Task[object] | None = None
        """Which is in the block; None: it has left."""

    def expire(self) -> None:
        """Cancel the task, if it is still in the block."""
        if self.task is not None:
            self._expired = True
            self.task.cancel()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._cancelled_before = task.cancelling()
        self.task = task
        self.due = self._limit._begin(self)  # noqa: SLF001 - a part of it

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        task, self.task = self.task, None
        self._limit._end()  # noqa: SLF001
        if not self._expired or task is None:
            return
        # As asyncio.timeout does: a cancellation from outside, at the same time, stays one.
        if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error
