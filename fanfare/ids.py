"""Ids: snowflakes for users, guilds, channels and messages; `s` for inbox entries.

A snowflake is Discord's: 42 bits of milliseconds since 2015, 10 bits of worker number, 12 bits of counter.
"""

from typing import Final

from fanfare.constants import CLOCK_SKEW_S, SNOWFLAKE_EPOCH_MS

__all__ = ["MAX_ID", "ClockSkewError", "Snowflakes", "first_snowflake", "snowflake_ms"]

MAX_ID: Final = (1 << 63) - 1
"""Ids have 63 bits, because databases count with a sign."""

_COUNTER_BITS: Final = 12
_MACHINE_BITS: Final = 22
_COUNTER_MAX: Final = (1 << _COUNTER_BITS) - 1


class ClockSkewError(Exception):
    """This machine's clock is too far off the Redis server's for ids to be made: synchronise it (NTP)."""


def snowflake_ms(snowflake: int) -> int:
    """When the snowflake was made, ms since 1970."""
    return (snowflake >> _MACHINE_BITS) + SNOWFLAKE_EPOCH_MS


def first_snowflake(ms: int) -> int:
    """The lowest snowflake of a millisecond since 1970."""
    return ms - SNOWFLAKE_EPOCH_MS << _MACHINE_BITS


class Snowflakes:
    """Makes ids with a hybrid clock: strictly rising, and never below an id that was seen."""

    __slots__ = ("_last", "_skew_ms", "_worker")

    def __init__(self, worker: int) -> None:
        """Args: worker: this process's number, 0 to 1023, that nobody else has now."""
        if not 0 <= worker < 1024:
            raise ValueError(f"worker number {worker} is not between 0 and 1023")
        self._worker = worker
        self._last = 0
        self._skew_ms = 0.0

    def move(self, worker: int) -> None:
        """Go on with another worker number, because the lease of the old one is gone."""
        self._worker = worker
        # Within one millisecond the worker number orders: a smaller one has to wait for the next.
        self._last |= _COUNTER_MAX

    def observe(self, snowflake: int) -> None:
        """Take note of an id made elsewhere."""
        ms, worker = snowflake >> _MACHINE_BITS, snowflake >> _COUNTER_BITS & 1023
        # Within one millisecond the worker number orders, and then the counter.
        counter = (
            snowflake & _COUNTER_MAX if worker == self._worker else _COUNTER_MAX * (worker > self._worker)
        )
        self._last = max(self._last, ms << _COUNTER_BITS | counter)

    def skew(self, clock_ms: float, server_ms: float) -> None:
        """Take note of what this clock and the Redis server's showed at one moment."""
        self._skew_ms = clock_ms - server_ms

    def next(self, now_ms: float) -> int:
        """The next id.

        Raises:
            ClockSkewError: the clock is more than 5 s off the Redis server's.

        """
        if abs(self._skew_ms) > CLOCK_SKEW_S * 1000:
            raise ClockSkewError(
                f"the clock is {self._skew_ms / 1000:+.1f} s off the Redis server's: synchronise it"
            )
        floor = max(int(now_ms) - SNOWFLAKE_EPOCH_MS, 0) << _COUNTER_BITS
        self._last = max(self._last + 1, floor)
        ms, counter = self._last >> _COUNTER_BITS, self._last & _COUNTER_MAX
        return ms << _MACHINE_BITS | self._worker << _COUNTER_BITS | counter
