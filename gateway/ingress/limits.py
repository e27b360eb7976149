"""How many messages and reactions a user may send to a channel, by this process. Pure: time is an argument."""

from typing import Final, NamedTuple

from gateway.ingress.errors import RateLimitedError

__all__ = ["WINDOW_S", "Quota", "RateLimits"]

WINDOW_S: Final = 5.0
# The limit that clients are told when there is none: most send one request at a time to a route without a limit.
_UNLIMITED: Final = 1000
_SWEEP: Final = 10_000


class Quota(NamedTuple):
    """What is left, as the headers tell it."""

    limit: int
    remaining: int
    reset_after: float
    """Seconds."""
    bucket: str


class RateLimits:
    """Fixed windows of 5 s per user and channel."""

    def __init__(self, limit: int, *, what: str = "messages") -> None:
        """Args: limit: how many per window; 0: as many as they like; what: is counted, for clients."""
        self._limit = limit
        self._what = what
        self._windows: dict[tuple[int, int], tuple[float, int]] = {}

    def take(self, user: int, channel: int, now: float) -> None:
        """Count a message.

        Args:
            user: who sends it.
            channel: where to.
            now: seconds, of a monotonic clock.

        Raises:
            RateLimitedError: it is one too many.

        """
        if not self._limit:
            return
        began, count = self._window(user, channel, now)
        if count >= self._limit:
            raise RateLimitedError(began + WINDOW_S - now, self._limit, f"{self._what}-{channel}")
        if not count and len(self._windows) > _SWEEP:
            self._windows = {key: one for key, one in self._windows.items() if now - one[0] < WINDOW_S}
        self._windows[user, channel] = (began, count + 1)

    def quota(self, user: int, channel: int, now: float) -> Quota:
        """What is left. Arguments as for `take`."""
        if not self._limit:
            return Quota(_UNLIMITED, _UNLIMITED - 1, 1.0, self._what)
        began, count = self._window(user, channel, now)
        return Quota(
            self._limit, self._limit - count, round(began + WINDOW_S - now, 3), f"{self._what}-{channel}"
        )

    def _window(self, user: int, channel: int, now: float) -> tuple[float, int]:
        began, count = self._windows.get((user, channel), (now, 0))
        return (began, count) if now - began < WINDOW_S else (now, 0)
