"""What the archiver needs of a place that it writes to. Each one is a consumer group of its own.

So one that is slow, or away, does not hold the others up.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.telemetry.metrics import REGISTRY, SIZE_BUCKETS

__all__ = ["BATCH_ROWS", "EVENTS", "LEFT_OUT", "ROWS", "Sink"]

# `sink` is the group, `kind` what the rows are: messages, changes (edits and deletions), positions.
ROWS: Final = Counter("fanfare_archived_rows", "Rows written.", ["sink", "kind"], registry=REGISTRY)
BATCH_ROWS: Final = Histogram(
    "fanfare_archive_batch_rows",
    "Rows written at once: in a transaction, or in a file.",
    ["sink", "kind"],
    buckets=(*SIZE_BUCKETS, 2000, 5000, 10_000, 20_000, 50_000),
    registry=REGISTRY,
)
LEFT_OUT: Final = Counter(
    "fanfare_archive_left_out_rows",
    "Rows that were not written, because they are older than what is kept or their author's data was deleted.",
    ["sink", "kind"],
    registry=REGISTRY,
)


EVENTS: Final = tuple(DELIVERIES_OF)
"""Every topic of events."""


class Sink(Protocol):
    """Somewhere that the log is archived to."""

    @property
    def group(self) -> str:
        """The consumer group."""

    @property
    def topics(self) -> Sequence[str]:
        """What it reads."""

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Take the next records of a partition; some may have come before.

        Raises:
            PoisonError: a record cannot be archived.
            StoreError, OSError: the sink is away, or has no room.

        """

    def safe(self, partition: TopicPartition) -> int | None:
        """Up to which offset of a partition the sink has all, whatever is killed; None: all that was handed over."""

    async def run(self) -> None:
        """For ever: what has to be done from time to time, such as making room ahead and dropping what is old."""

    async def flush(self) -> None:
        """Write what waits. Raises as `handle`; then it waits on, or is read again."""
