"""The rule for sends that are repeated (docs/design.md, section 5, "Retries").

Of the log positions of a (sender, nonce), the first one counts, unless it came too late. Both follow from the log
alone, so every worker decides the same, whenever it reads.
"""

from enum import Enum, auto
from typing import Final, NamedTuple, Self

from fanfare.constants import NONCE_WINDOW_S
from fanfare.ids import snowflake_ms
from fanfare.record import Position, Record

__all__ = ["MESSAGE_CREATE", "First", "Outcome", "first_of", "is_late", "outcome_of"]

MESSAGE_CREATE: Final = "MESSAGE_CREATE"
_WINDOW_MS: Final = NONCE_WINDOW_S * 1000
# How well the clocks of gateway and broker are known to each other: times of both are whole ms, and both drift.
_MARGIN_MS: Final = 1000


class Outcome(Enum):
    """What `is_late` will say of a message that its gateway knows to be in the log, by the gateway's clock."""

    KEPT = auto()
    DROPPED = auto()
    UNKNOWN = auto()
    """It was appended at about the end of the window."""


class First(NamedTuple):
    """What Redis notes of a (sender, nonce): the log position that won, and the id that stands there."""

    position: Position
    id: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """A record as the first of its nonce."""
        return cls(record.position, record.id)

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """What `packed` made."""
        position, ident = value.decode().rsplit(" ", 1)
        return cls(Position.parse(position), int(ident))

    @property
    def packed(self) -> str:
        """As it stands in Redis."""
        return f"{self.position} {self.id}"


def first_of(record: Record, known: First | None) -> First:
    """What stands for a record's nonce: what is known, or the record itself.

    A nonce is forgotten after its window, and then the client may use it for another message. So ids that are further
    apart than the window are two messages, even if Redis still has the nonce.

    Args:
        record: an event with a nonce.
        known: what was noted of the nonce before.

    """
    own = First.of(record)
    if known is None or abs(snowflake_ms(known.id) - snowflake_ms(record.id)) > _WINDOW_MS:
        return own
    return known


def is_late(record: Record, appended_ms: int) -> bool:
    """Whether a new message must be dropped, because it was appended too long after its id was made.

    By then its nonce may be forgotten, so nothing could tell that it is a repetition. A message without a nonce
    is none, and changes to guilds are never late: the outbox may relay them whenever it can.

    Args:
        record: any record.
        appended_ms: when the broker appended it; never this machine's clock.

    """
    return (
        record.type == MESSAGE_CREATE
        and bool(record.nonce)
        and appended_ms - snowflake_ms(record.id) > _WINDOW_MS
    )


def outcome_of(ident: int, *, sent_ms: float, acknowledged_ms: float, ahead_ms: float) -> Outcome:
    """What becomes of a message with a nonce.

    Args:
        ident: its id.
        sent_ms: when it was handed over, by the gateway's clock: it was not appended before that.
        acknowledged_ms: when it was acknowledged, by the same clock: it was not appended after that.
        ahead_ms: how far the broker's clock is ahead of that one.

    """
    end_ms = snowflake_ms(ident) + _WINDOW_MS - ahead_ms
    if sent_ms - _MARGIN_MS > end_ms:
        return Outcome.DROPPED
    if acknowledged_ms + _MARGIN_MS > end_ms:
        return Outcome.UNKNOWN
    return Outcome.KEPT
