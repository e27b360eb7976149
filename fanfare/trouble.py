"""Kinds of trouble with a store: it is away, forbids, misses something, is full; or our own code is wrong. Pure.

None of these is the fault of a record: whichever it is, a worker holds its partition until the trouble is mended. Only
a record that cannot be read or makes no sense is set aside, and that is said by a `PoisonError` where it is judged.
"""

from enum import StrEnum
from typing import Final

__all__ = ["ONE_RECORD", "PASSES", "Trouble"]


class Trouble(StrEnum):
    """Kinds of trouble: the values of the label `reason` of `fanfare_held_partitions`."""

    AWAY = "away"
    """It does not answer, or has no primary, leader or coordinator now."""
    RIGHT = "right"
    """We are not allowed to, or not let in."""
    MISSING = "missing"
    """A topic, table, column, schema or database is not there."""
    READ_ONLY = "read_only"
    """It takes no writes now."""
    FULL = "full"
    """Its memory or disk is full, or it has too many connections."""
    TOO_LARGE = "too_large"
    """A limit of a topic or a table is below the size of a record."""
    REFUSED = "refused"
    """It says that it, or what it holds, is not as it has to be: a setting, a version, a cluster, corrupt data."""
    CODE = "code"
    """An error of our own code."""


# One record of a batch can be the cause; then the others must not have to wait to find out.
ONE_RECORD: Final = frozenset({Trouble.TOO_LARGE, Trouble.CODE})
# Such trouble passes by itself in the life of a healthy system.
PASSES: Final = frozenset({Trouble.AWAY, Trouble.READ_ONLY, Trouble.FULL})
