"""How long deliveries stood still: per partition, the time in which something waited and nothing came. Pure.

In a backlog each message waits for those before it; that says how long the queue is, not how long a change held it up.
So a message counts from when it was accepted, or from when the one before it in its partition came, if that was later.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torture.history import History, Outcome

__all__ = ["Stall", "arrivals", "longest", "stalls"]


class Stall(NamedTuple):
    """A time without a delivery in a partition where one was due."""

    began: float
    ended: float
    partition: int


def arrivals(history: History, partition_of_channel: Mapping[int, int]) -> Iterable[tuple[int, float, float]]:
    """(partition, accepted, came) of each message: when a sender was told, and when the last session had it."""
    came: dict[int, float] = {}
    for session in history.sessions.values():
        for message, at in zip(session.ids, session.at, strict=True):
            came[message] = max(at, came.get(message, 0.0))
    accepted: dict[int, tuple[float, int]] = {}
    for attempts in history.attempts.values():
        for attempt in attempts:
            if attempt.outcome is Outcome.ACCEPTED:
                known = accepted.get(attempt.id)
                if known is None or attempt.ended < known[0]:
                    accepted[attempt.id] = attempt.ended, attempt.channel
    for message, (at, channel) in accepted.items():
        if message in came:
            yield partition_of_channel[channel], at, came[message]


def stalls(messages: Iterable[tuple[int, float, float]]) -> list[Stall]:
    """Between each two deliveries of a partition, how long one was due."""
    lanes: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for partition, accepted, came in messages:
        lanes[partition].append((came, accepted))
    found = []
    for partition, lane in lanes.items():
        before = 0.0
        for came, accepted in sorted(lane):
            began = max(before, accepted)
            if came > began:
                found.append(Stall(began, came, partition))
            before = came
    return found


def longest(found: Iterable[Stall], began: float, ended: float) -> float:
    """Seconds of the longest one that ended in this time."""
    return max((one.ended - one.began for one in found if began <= one.ended < ended), default=0.0)
