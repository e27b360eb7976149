"""A consumer group of one's own: it counts what is said in each channel, and knows nothing of Fanfare's services.

It is all that it takes to read everything that happens. As many of these as wanted, in one group or in several, take
nothing away from anybody: each group has its own place in the log.
"""

from collections import Counter
from contextlib import aclosing

from fanfare.bus.tail import tail
from fanfare.settings import Settings

__all__ = ["GROUP", "Analytics"]

GROUP = "analytics"


class Analytics:
    """One member of the group `analytics`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: set[tuple[int, int]] = set()
        self.channels: Counter[int] = Counter()
        """Messages by channel."""

    @property
    def read(self) -> int:
        """Records that it has read, each counted once."""
        return len(self._seen)

    async def run(self) -> None:
        """Read until cancelled."""
        async with aclosing(tail(self._settings, "chat.events", from_beginning=True, group=GROUP)) as records:
            async for record in records:
                place = record.partition, record.offset
                if place in self._seen:
                    continue  # after a rebalance a group reads again what it had not committed
                self._seen.add(place)
                headers = dict(record.headers)
                if headers.get("type") == b"MESSAGE_CREATE":
                    self.channels[int(headers["channel"])] += 1
