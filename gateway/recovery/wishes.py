"""Steps without I/O: a generator decides what is done in which order, and whoever drives it does it.

A generator yields wishes and is sent the answers. The gateway answers them from Redis, Kafka and its own memory
(`fulfil`); the model of the delivery rules (tests/model) drives the very same generators over stores that are plain
state; a unit test answers by hand. Pure.
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Now", "Steps", "Wish", "Within", "fulfil", "nothing_at_once"]

_T = TypeVar("_T")


class Wish(Generic[_T]):
    """Something that takes time: meanwhile others have their turn, and the answer may be an exception.

    `answer = yield from SomeWish(...)` in a generator.
    """

    __slots__ = ()

    def __iter__(self) -> "Generator[Wish[Any], Any, _T]":
        """Yield the wish, and return the answer that is sent."""
        answer: _T = yield self
        return answer


class Now(Wish[_T]):
    """A wish that is fulfilled at once: nobody else has a turn before the answer."""

    __slots__ = ()


Steps = Generator[Wish[Any], Any, _T]
"""What decides: it yields wishes, is sent answers, or thrown what kept a wish from being fulfilled."""


# Wishes are not frozen: that makes them three times as slow to make, and thousands of sessions come at one time.
@dataclass(slots=True)
class Within(Wish[_T]):
    """What steps return that may take so many seconds; then they are cancelled, and TimeoutError is thrown."""

    seconds: float
    steps: Steps[_T]


async def fulfil(
    steps: Steps[_T], do: Callable[[Now[Any]], Any], ask: Callable[[Wish[Any]], Awaitable[Any]]
) -> _T:
    """Drive a generator to its end; returns what it returns, and raises what it raises.

    Args:
        steps: the generator. It is also told when the task is cancelled, so that it can put things in order.
        do: fulfils what is done at once.
        ask: fulfils what takes time.

    """
    try:
        wish = next(steps)
        while True:
            try:
                answer = do(wish) if isinstance(wish, Now) else await ask(wish)
            except BaseException as error:  # noqa: BLE001 - the steps raise it again, or know better
                wish = steps.throw(error)
            else:
                wish = steps.send(answer)
    except StopIteration as end:
        result: _T = end.value
        return result


def nothing_at_once(wish: Now[Any]) -> Any:
    """For steps that wish for nothing that is done at once."""
    raise NotImplementedError(wish)
