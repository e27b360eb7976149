"""Ending tasks for certain, and sharing what they find.

A cancellation can get lost: aiokafka's `close()` waits for a task of its own and swallows what comes meanwhile, and
until Python 3.12 `asyncio.wait_for` forgets one that comes together with what it waits for. So code that must be sure
that a task ends has to cancel it again and again: `end` does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

__all__ = ["Gathered", "Shared", "end", "retrieve", "together", "uninterrupted"]

_AGAIN_S: Final = 0.2
_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)
_Q = TypeVar("_Q")


class Shared(Generic[_K, _T]):
    """Shared questions: an answer is for every task that asked before the question was sent."""

    def __init__(self, ask: Callable[[_K], Awaitable[_T]]) -> None:
        """Args: ask: sends the question of a key, and returns the answer."""
        self._ask = ask
        self._next: dict[_K, asyncio.Task[_T]] = {}
        self._sent: dict[_K, asyncio.Task[_T]] = {}

    async def of(self, key: _K) -> _T:
        """The answer to a question that is sent after this call. Raises what `ask` raises."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._answer(key))
            task.add_done_callback(retrieve)
        return await asyncio.shield(task)

    async def _answer(self, key: _K) -> _T:
        before = self._sent.get(key)
        if before is not None:
            await asyncio.wait((before,))
        task = self._sent[key] = self._next.pop(key)
        try:
            return await self._ask(key)
        finally:
            if self._sent.get(key) is task:
                del self._sent[key]


class Gathered(Generic[_Q, _T]):
    """Questions that are asked together: those that come during one request share the next one, in their order."""

    def __init__(self, ask: Callable[[list[_Q]], Awaitable[Sequence[_T | Exception]]], most: int) -> None:
        """Prepare.

        Args:
            ask: sends some questions, and returns the answer to each, which may be an exception; what it raises is
                the answer to all.
            most: questions in a request.

        """
        self._ask = ask
        self._most = most
        self._waiting: list[tuple[_Q, asyncio.Future[_T]]] = []
        self._task: asyncio.Task[None] | None = None

    async def of(self, question: _Q) -> _T:
        """The answer. Cancelling is safe, but the question may be sent all the same. Raises as `ask` does."""
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, done))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="gathered")
        return await done

    async def close(self) -> None:
        """Stop; calls that still wait are cancelled."""
        if self._task is not None:
            await end((self._task,))
        for _, done in self._waiting:
            done.cancel()

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                batch = [one for one in batch if not one[1].done()]
                try:
                    answers = await self._ask([question for question, _ in batch]) if batch else []
                except Exception as error:  # noqa: BLE001 - it is passed on
                    answers = [error] * len(batch)
                except BaseException:
                    for _, done in batch:
                        done.cancel()
                    raise
                for (_, done), answer in zip(batch, answers, strict=True):
                    if done.done():
                        continue
                    if isinstance(answer, Exception):
                        done.set_exception(answer)
                    else:
                        done.set_result(answer)
        finally:
            self._task = None


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until each of them is done; their errors stay in them, for code that looks at them."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run works that never end by themselves; once one of them does end, end the others, for certain.

    A TaskGroup cancels each of its tasks once, and waits for ever for one whose cancellation got lost.

    Raises what the first one raised.
    """
    tasks = [asyncio.get_running_loop().create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _until_ended(tasks)
        raise
    if await _until_ended(tasks):
        raise asyncio.CancelledError
    for task in done:
        if task.cancelled():
            raise RuntimeError("a task was cancelled by code that does not own it")
        task.result()


async def _until_ended(tasks: Iterable[asyncio.Future[Any]]) -> bool:
    """`end` tasks, even if this call is cancelled meanwhile; returns whether it was."""
    told = False
    ending = asyncio.get_running_loop().create_task(end(tasks))
    while not ending.done():
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError:
            told = True
    return told


def retrieve(task: asyncio.Future[Any]) -> None:
    """Retrieve a task's error although nobody waits for it any more, so that asyncio does not complain of it."""
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
