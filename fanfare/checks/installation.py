"""Whose stores these are. Pure.

An installation has an id, made once, at random: it must outlive a change of the secret. It stands in PostgreSQL (the
table `installation`), in Kafka (the topic `installation`) and in Redis (the key `installation`), each behind the
installation's prefix. Kafka and PostgreSQL get it together, by the process that first sees both without one, as after
an upgrade from a version that made none: so if only one of the two has it, the other belongs to somebody else, or was
lost. Redis may be emptied at any time, and gets it again. `fanfare claim` makes one installation of the configured
stores, whatever they were: after a restored copy, a lost Kafka, or a changed secret.
"""

import hmac
from collections.abc import Sequence
from enum import Enum
from hashlib import sha256
from typing import Final, NamedTuple

from fanfare.tokens import secrets_of

__all__ = ["UNKNOWN", "Decision", "Marks", "Unknown", "decide", "fingerprints", "secret_problem"]

_CLAIM: Final = (
    "set FANFARE_PREFIX to a name of your own to run beside it, "
    "or run `fanfare claim` (or `fanfare up --claim`) if all of these stores are yours"
)


class Unknown(Enum):
    """The store was not asked, or did not answer."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
Mark = str | None | Unknown
"""An id; None where there is none."""


class Marks(NamedTuple):
    """The ids that the stores hold."""

    kafka: Mark
    redis: Mark
    postgres: Mark


class Decision(NamedTuple):
    """What to do."""

    id: str | None
    """The installation; None where nobody can tell, or where it is to be made."""
    make: bool
    """Kafka and PostgreSQL have to be marked, with a new id."""
    mark_redis: bool
    """Redis has to be marked, with `id` or the new one."""
    problem: str
    """Why not to start, or ''."""


def decide(marks: Marks) -> Decision:
    """Compare the marks of the stores that a process uses."""
    ids = {
        name: mark
        for name, mark in (("Kafka", marks.kafka), ("Redis", marks.redis), ("PostgreSQL", marks.postgres))
        if isinstance(mark, str)
    }
    if len(set(ids.values())) > 1:
        said = ", ".join(f"{name} belongs to installation {mark}" for name, mark in ids.items())
        return Decision(None, make=False, mark_redis=False, problem=f"{said}: {_CLAIM}")
    known = next(iter(ids.values()), None)
    both = (marks.kafka, marks.postgres)
    if UNKNOWN not in both and None in both:
        if both != (None, None):
            marked, other = ("Kafka", "PostgreSQL") if marks.postgres is None else ("PostgreSQL", "Kafka")
            said = f"{marked} belongs to installation {known}, and this {other} does not: {_CLAIM}"
            return Decision(None, make=False, mark_redis=False, problem=said)
        if known is not None:
            said = f"Redis belongs to installation {known}, and Kafka and PostgreSQL do not: {_CLAIM}"
            return Decision(None, make=False, mark_redis=False, problem=said)
        return Decision(None, make=True, mark_redis=marks.redis is None, problem="")
    return Decision(known, make=False, mark_redis=marks.redis is None and known is not None, problem="")


def fingerprints(secret: str) -> list[str]:
    """What PostgreSQL keeps to recognise a secret by, one for each of a list; the secret is not to be had from it."""
    return [
        hmac.new(one.encode(), b"fanfare installation", sha256).hexdigest()[:32] for one in secrets_of(secret)
    ]


def secret_problem(known: str, ours: Sequence[str], installation: str) -> str:
    """Why a process with these secrets does not belong to the installation, or ''.

    Args:
        known: the fingerprint that stands in PostgreSQL; '' where there is none.
        ours: those of the settings.
        installation: its id.

    """
    if not known or not ours or known in ours:
        return ""
    return (
        f"PostgreSQL belongs to installation {installation}, and FANFARE_SECRET is not that installation's: tokens and "
        "sessions of its other processes would not be accepted. Set it to the same value, "
        "set FANFARE_PREFIX to run another installation beside it, or run `fanfare claim` (or `fanfare up --claim`) "
        "after you changed the secret"
    )
