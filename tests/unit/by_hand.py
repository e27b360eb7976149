"""Steps driven by hand: a test answers each wish, and sees the next."""

from typing import Any

from gateway.recovery.wishes import Steps, Wish

__all__ = ["ByHand"]


class ByHand:
    """Steps that stand at a wish."""

    def __init__(self, steps: Steps[Any]) -> None:
        self._steps = steps
        self.wish: Wish[Any] | None = None
        """What is wished for now; None at the end."""
        self.result: Any = None
        self._go(lambda: next(steps))

    def expect(self, wish: Any) -> None:
        """Stand at a wish: of this kind, or just this one."""
        assert isinstance(self.wish, wish) if isinstance(wish, type) else self.wish == wish

    def answer(self, wish: Any, answer: Any = None) -> Any:
        """Answer the wish at which the steps stand, of this kind or just this one; returns it."""
        self.expect(wish)
        asked = self.wish
        self._go(lambda: self._steps.send(answer))
        return asked

    def fail(self, wish: Any, error: BaseException) -> None:
        """Say that the wish cannot be fulfilled."""
        self.expect(wish)
        self._go(lambda: self._steps.throw(error))

    def _go(self, on: Any) -> None:
        try:
            self.wish = on()
        except StopIteration as end:
            self.wish, self.result = None, end.value
        except BaseException:
            self.wish = None
            raise
