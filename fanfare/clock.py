"""The time of day as this process believes it: torture shifts it."""

import time

__all__ = ["now_s", "set_offset"]

_offset_s = 0.0


def set_offset(offset_s: float) -> None:
    """Believe that it is so much later, or earlier."""
    global _offset_s  # noqa: PLW0603 - one clock a process
    _offset_s = offset_s


def now_s() -> float:
    """Seconds since 1970."""
    return time.time() + _offset_s
