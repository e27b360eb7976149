"""Drives the product's own steps: it does what they wish for over the model's Kafka and Redis."""

from collections.abc import Callable, Generator
from typing import Any

from gateway.recovery.wishes import Now, Steps, Wish

__all__ = ["drive"]


def drive(
    steps: Steps[Any],
    do: Callable[[Now[Any]], Any],
    ask: Callable[[Wish[Any]], Generator[str, None, Any]],
) -> Generator[str, None, Any]:
    """Drive steps to their end; returns and raises what they do.

    Args:
        steps: of the product.
        do: fulfils what is done at once.
        ask: fulfils what takes time: it yields what is about to be done, so that anything can happen before it.

    """
    try:
        wish = next(steps)
        while True:
            try:
                answer = do(wish) if isinstance(wish, Now) else (yield from ask(wish))
            except Exception as error:  # noqa: BLE001 - the steps raise it again, or know better
                wish = steps.throw(error)
            else:
                wish = steps.send(answer)
    except StopIteration as end:
        return end.value
