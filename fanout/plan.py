"""What the fan-out decides, without any I/O."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from fanfare.bus.batches import BROUGHT_BACK
from fanfare.presence import keys
from fanfare.record import Position, Record
from fanfare.retries import is_late

__all__ = ["SOURCE", "Decision", "decide", "delivery_headers", "first_key"]

SOURCE: Final = "source"
# A delivery has a position of its own, and is for every group that reads deliveries.
_OWN: Final = (SOURCE, BROUGHT_BACK)


class Decision(StrEnum):
    """What becomes of an event."""

    DELIVER = "deliver"
    REPEATED = "repeated"
    """The same send stands at another position already."""
    LATE = "late"
    """It was appended so late that nobody could tell whether it is a repetition."""


def first_key(record: Record) -> str | None:
    """Where the first position of this send is noted; None if it cannot be a repetition."""
    return keys.first(record.author, record.channel, record.nonce) if record.nonce else None


def decide(record: Record, appended_ms: int, standing: Position | None) -> Decision:
    """What becomes of an event.

    Args:
        record: the event.
        appended_ms: when the broker appended it.
        standing: the position noted for its nonce, its own if it was the first; None if it has no nonce.

    """
    if is_late(record, appended_ms):
        return Decision.LATE
    if standing is not None and standing != record.position:
        return Decision.REPEATED
    return Decision.DELIVER


def delivery_headers(headers: Sequence[tuple[str, bytes]], source: Position) -> list[tuple[str, bytes]]:
    """The headers of the delivery of an event: those it has, unknown ones too, and its position."""
    return [*(header for header in headers if header[0] not in _OWN), (SOURCE, str(source).encode())]
