"""The rule for sends that are repeated (docs/design.md, section 5, "Retries").

The first log position of a (sender, nonce) counts, and none that came too late. Both follow from the log
alone, so every worker and every replay decides the same.
"""

from fanfare.constants import NONCE_WINDOW_S
from fanfare.ids import snowflake_ms
from fanfare.record import Record

__all__ = ["MESSAGE_CREATE", "is_late"]

MESSAGE_CREATE = "MESSAGE_CREATE"


def is_late(record: Record, appended_ms: int) -> bool:
    """Whether a new message must be dropped, because it was appended too long after its id was made.

    By then its nonce may be forgotten, so nothing could tell that it is a repetition. Changes to guilds are
    never late: the outbox may relay them whenever it can.

    Args:
        record: any record.
        appended_ms: when the broker appended it; never this machine's clock.

    """
    return record.type == MESSAGE_CREATE and appended_ms - snowflake_ms(record.id) > NONCE_WINDOW_S * 1000
