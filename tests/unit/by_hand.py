"""Steps driven by hand: a test answers each wish, and sees the next."""

from typing import Any

from gateway.recovery.wishes import Steps, Wish, Within

__all__ = ["ByHand"]


class ByHand:
    """Steps that stand at a wish."""

    def __init__(self, steps: Steps[Any]) -> None:
        self._stack = [steps]
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
        self._go(lambda: self._stack[-1].send(answer))
        return asked

    def fail(self, wish: Any, error: BaseException) -> None:
        """Say that the wish cannot be fulfilled."""
        self.expect(wish)
        self._go(lambda: self._stack[-1].throw(error))

    def within(self, seconds: float) -> None:
        """Go into the steps that have so much time."""
        self.expect(Within)
        assert isinstance(self.wish, Within)
        assert self.wish.seconds == seconds
        self._stack.append(self.wish.steps)
        self._go(lambda: next(self._stack[-1]))

    def drop(self) -> None:
        """Nobody answers any more."""
        while self._stack:
            self._stack.pop().close()

    def _go(self, on: Any) -> None:
        try:
            self.wish = on()
        except StopIteration as end:
            self.wish, result = None, end.value
            self._end(lambda: self._stack[-1].send(result), result)
        except BaseException as error:  # noqa: BLE001 - the steps around them may know better
            self.wish = None
            thrown = error
            self._end(lambda: self._stack[-1].throw(thrown), error)

    def _end(self, go_on: Any, result: Any) -> None:
        """The innermost steps are over: those around them go on with what they returned or raised."""
        self._stack.pop()
        if self._stack:
            self._go(go_on)
        elif isinstance(result, BaseException):
            raise result
        else:
            self.result = result
