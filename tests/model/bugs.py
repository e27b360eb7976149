"""Wrong rules that can be planted, and the checks that have to find each."""

from enum import StrEnum
from typing import Final

__all__ = ["BREAKS", "DOUBLED", "FELL", "LOST", "REORDERED", "TOLD", "Bug"]


class Bug(StrEnum):
    """One rule put to a plausible wrong version."""

    POSITION_UNCHECKED = "position check off in the append script"
    COMMIT_FIRST = "commit before append"
    PARTIAL_BATCH = "batch not all-or-nothing"
    CACHED_PRESENCE = "presence from a cache"
    NO_FENCE = "no fence: two inboxes merged by s"
    LATE_HOP = "hop written after the first frame"
    NO_REACH = "reach check off"
    NO_TOKEN = "loss token ignored"
    SAFE_BY_TIME = "safe offset by time"
    NO_RAISE = "own inbox not raised above the other"
    EARLY_LOST = "what an inbox had before it was raised is left out"
    EARLY_NUMBERS = "what an inbox had before it was raised keeps its numbers"
    EARLY_FROM_RING = "a client within the early part is resumed from the ring"
    ONE_HOP = "a move forgets the hops before it"
    HOPS_NOT_REWRITTEN = "hops not rewritten after a loss"
    NO_CAS = "hops written without comparing the version"
    RACY_PRESENCE = "an old removal may land after a new registration"
    NO_UNREG = "no UNREG marker"
    USER_OVERWRITTEN = "a session's registration overwrites the one of its old inbox"
    PLAIN_LEASE = "renewal makes what is gone again"
    TRIM_UNSEEN = "own read position trimmed and not noticed"
    NEWEST_NOT_RAISED = "what was replayed is not in the next inbox's newest s"
    NO_CUT = "the next inbox is read without its cut"
    ANY_POSITION = "fan-out lets every position of a nonce through"
    NO_LATE_RULE = "fan-out takes records that come after the nonce window"
    FIRST_NOT_REFILLED = "first positions are not written again after a loss"
    UNCLAIMED = "a resume on the session's own node writes no version"
    NOT_TOLD = "the node that a session leaves is not told"
    CUT_AT_FENCE = "histories are cut at the fence, not where the old node stops"


LOST, DOUBLED, REORDERED, FELL, TOLD = "lost", "doubled", "reordered", "fell", "told"

BREAKS: Final[dict[Bug, set[str]]] = {
    Bug.POSITION_UNCHECKED: {DOUBLED, REORDERED},
    Bug.COMMIT_FIRST: {LOST},
    Bug.PARTIAL_BATCH: {LOST},
    Bug.CACHED_PRESENCE: {LOST},
    Bug.NO_FENCE: {LOST, DOUBLED, FELL},
    Bug.LATE_HOP: {LOST, DOUBLED, FELL, TOLD},
    Bug.NO_REACH: {LOST},
    Bug.NO_TOKEN: {LOST, DOUBLED},
    Bug.SAFE_BY_TIME: {LOST},
    Bug.NO_RAISE: {LOST, FELL, TOLD},
    Bug.EARLY_LOST: {LOST},
    Bug.EARLY_NUMBERS: {LOST, DOUBLED, FELL},
    Bug.EARLY_FROM_RING: {LOST},
    Bug.ONE_HOP: {LOST, TOLD},
    Bug.HOPS_NOT_REWRITTEN: {LOST, TOLD},
    Bug.NO_CAS: {LOST, DOUBLED, FELL, TOLD},
    Bug.RACY_PRESENCE: {LOST},
    Bug.NO_UNREG: {LOST},
    Bug.USER_OVERWRITTEN: {LOST},
    Bug.PLAIN_LEASE: {LOST},
    Bug.TRIM_UNSEEN: {LOST},
    Bug.NEWEST_NOT_RAISED: {LOST},
    Bug.NO_CUT: {DOUBLED, REORDERED},
    Bug.ANY_POSITION: {DOUBLED, REORDERED},
    Bug.NO_LATE_RULE: {DOUBLED, REORDERED},
    Bug.FIRST_NOT_REFILLED: {DOUBLED, REORDERED},
    Bug.UNCLAIMED: {LOST, DOUBLED, FELL, TOLD},
    Bug.NOT_TOLD: {LOST, DOUBLED, FELL, TOLD},
    Bug.CUT_AT_FENCE: {LOST, DOUBLED, FELL, TOLD},
}
"""The invariants that each breaks. TOLD: a session that was whole is told that it is not."""
