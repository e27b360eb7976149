"""The steps of crossing from one inbox to another (docs/design.md, section 5: RESUME on another node). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fanfare.constants import EARLY_NUMBERS
from gateway.recovery.path import Fence
from gateway.recovery.wishes import Steps, Wish

__all__ = ["LastS", "MarkMoved", "RaiseAbove", "SendFence", "cross", "depart"]


@dataclass(slots=True)
class LastS(Wish[int]):
    """`s` of the newest entry of an inbox; InboxGoneError is thrown if there is no such inbox."""

    inbox: str


@dataclass(slots=True)
class SendFence(Wish[tuple[str, Fence]]):
    """Put a fence for inboxes into every partition of the source topics; answers its name and its offsets."""

    inboxes: frozenset[str]


@dataclass(slots=True)
class MarkMoved(Wish[int]):
    """Tell the node of an inbox that sessions move, each as of a version of its moves; answers the marker's `s`."""

    inbox: str
    sessions: Mapping[str, int]


@dataclass(slots=True)
class RaiseAbove(Wish[int]):
    """Raise an inbox above `s`, and leave so many numbers free below; answers `s` of the filler."""

    inbox: str
    s: int
    gap: int


def cross(own: str, others: Iterable[str]) -> Steps[tuple[int, Fence]]:
    """Put a fence into the own inbox and into others, whose sessions are registered for the own one.

    Returns: the own inbox's last `s` before the fence was sent, and the fence's offsets.
    """
    since = yield from LastS(own)
    _, f = yield from SendFence(frozenset({own, *others}))
    return since, f


def depart(own: str, other: str, sessions: Mapping[str, int]) -> Steps[tuple[int, int]]:
    """Tell another node that its sessions move, and raise the own inbox above that.

    Args:
        own: where they move to.
        other: the other inbox, which has shown the fence.
        sessions: the version of the moves of each.

    Returns:
        `s` of the marker in the other inbox, below which the part of the sessions ends there; and T, the filler's
        `s` in the own one. The numbers below T, as many as `EARLY_NUMBERS`, are nobody's.

    """
    marker = yield from MarkMoved(other, sessions)
    # Above the marker, so that a number says on which side of it a client is.
    t = yield from RaiseAbove(own, marker, EARLY_NUMBERS)
    return marker, t
