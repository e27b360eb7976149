"""How many workers a group should have. Pure.

One worker more where a member would not be done with its backlog in the stated time; one less where the others have
been seen to do as much as they would have to do then, for long enough. One step at a time, and after each a pause in
which the rates become those of the new number.

Whether another number of workers helps is worked out from the partitions: they are dealt out round robin, so a
partition that is alone with its worker is not helped by more of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fanfare.observe.figures import GroupFigures, MemberFigures, PartitionFigures

__all__ = ["Aim", "Decision", "Known", "backlog", "decide", "heaviest"]

# Offsets are committed once a second: what comes in the meantime is no backlog, and neither are a few records.
_COMMITS_S: Final = 2.0
_FEW: Final = 10
# How much less than what it was seen to do a worker has to have, for one of them to leave.
_ROOM: Final = 1.3
# Less of a change to the busiest worker than this is none.
_HELPS: Final = 0.98
# How much a new measurement of what a worker does weighs against the older ones.
_NEWEST: Final = 0.5


@dataclass(frozen=True)
class Aim:
    """What is wanted."""

    drain_s: float = 30.0
    """Within this time a backlog has to be gone."""
    settle_s: float = 10.0
    """After a change nothing is decided for this long; longer than the rates' window."""
    calm_s: float = 60.0
    """For this long fewer workers must have been enough before one leaves."""
    least: int = 1
    most: int = 64


@dataclass(frozen=True)
class Known:
    """What is remembered of a group from one decision to the next."""

    per_worker: float = 0.0
    """Records a second that a worker does: measured while it had a backlog, or else the most that was seen."""
    members: int = -1
    """At the last look; -1: there was none."""
    changed_s: float = -math.inf
    """When the number of members last changed."""
    calm_since_s: float | None = None
    """Since when fewer workers would be enough; None: they would not."""


@dataclass(frozen=True)
class Decision:
    """How many workers a group should have, and why."""

    workers: int
    why: str


def decide(group: GroupFigures, now_s: float, known: Known, aim: Aim) -> tuple[Decision, Known]:
    """How many workers the group should have now: as many as it has, or one more, or one less.

    Args:
        group: its figures, over a few seconds.
        now_s: by a clock that never steps.
        known: what the last call returned; at first `Known()`.
        aim: what is wanted.

    Returns:
        The decision, and what is to be passed to the next call.

    """
    decision, known = _decide(group, now_s, known, aim)
    if decision.workers != len(group.members):
        known = replace(known, changed_s=now_s)
    return decision, known


def backlog(group: GroupFigures) -> int:
    """The records that are not done, of those partitions that have had more of them than a commit may leave."""
    return sum(part.lag for part in group.partitions if _is_behind(part))


def heaviest(loads: Sequence[float], workers: int) -> float:
    """The load of the busiest worker, if partitions with these loads are dealt out round robin."""
    return max((sum(loads[worker::workers]) for worker in range(workers)), default=0.0)


def _decide(group: GroupFigures, now_s: float, known: Known, aim: Aim) -> tuple[Decision, Known]:
    members = len(group.members)
    if members != known.members:
        first = known.members < 0
        known = replace(
            known, members=members, changed_s=known.changed_s if first else now_s, calm_since_s=None
        )
    late = [member for member in group.members if _is_late(member, group)]
    known = replace(known, per_worker=_per_worker(group, late, known.per_worker))
    if now_s - known.changed_s < aim.settle_s:
        return Decision(members, "the number has just changed"), known
    if members < aim.least:
        return Decision(members + 1, f"there have to be {aim.least}"), known
    if members > aim.most:
        return Decision(members - 1, f"there may be {aim.most}"), known
    if backlog(group):
        known = replace(known, calm_since_s=None)
        return _more(group, late, aim), known
    return _fewer(group, now_s, known, aim)


def _more(group: GroupFigures, late: Sequence[MemberFigures], aim: Aim) -> Decision:
    """What to do about a backlog."""
    members = len(group.members)
    stay = f"{backlog(group)} behind, "
    if not late:
        return Decision(members, stay + "in partitions that have just moved")
    slow = [member for member in late if not _done_in_time(member, group, aim.drain_s)]
    if not slow:
        return Decision(members, stay + f"which will be done in {aim.drain_s:.0f} s")
    if not any(member.done_per_s for member in slow):
        return Decision(members, stay + "and nothing gets on: see what holds it, more workers do not help")
    if members >= aim.most:
        return Decision(members, stay + f"and there may not be more than {aim.most} workers")
    loads = [_wanted(part, aim.drain_s) for part in _dealt(group)]
    now = heaviest(loads, members)
    if not any(
        heaviest(loads, more) < _HELPS * now for more in range(members + 1, min(len(loads), aim.most) + 1)
    ):
        return Decision(members, stay + "but no partition can be taken off the busiest worker")
    member = max(slow, key=lambda one: one.lag)
    return Decision(
        members + 1,
        f"{backlog(group)} behind, {group.incoming_per_s:.0f}/s come: {member.name} does {member.done_per_s:.0f}/s "
        f"and would not be done in {aim.drain_s:.0f} s",
    )


def _fewer(group: GroupFigures, now_s: float, known: Known, aim: Aim) -> tuple[Decision, Known]:
    """What to do where there is no backlog."""
    members = len(group.members)
    idle = [member.name for member in group.members if not member.partitions]
    loads = [max(part.incoming_per_s, part.done_per_s) for part in _dealt(group)]
    left = heaviest(loads, members - 1) if members > 1 else math.inf
    if members <= aim.least or (left * _ROOM > known.per_worker and not idle):
        return Decision(members, "no backlog"), replace(known, calm_since_s=None)
    since = now_s if known.calm_since_s is None else known.calm_since_s
    known = replace(known, calm_since_s=since)
    if now_s - since < aim.calm_s:
        return Decision(members, f"no backlog; one less would do, if so for {aim.calm_s:.0f} s"), known
    why = f"{idle[0]} has no partition" if idle else f"a worker does {known.per_worker:.0f}/s"
    return Decision(members - 1, f"no backlog, {group.incoming_per_s:.0f}/s come and {why}"), known


def _per_worker(group: GroupFigures, late: Sequence[MemberFigures], known: float) -> float:
    """What a worker does in a second, after this look."""
    if any(member.done_per_s for member in late):
        rate = sum(member.done_per_s for member in late) / len(late)
        return _NEWEST * rate + (1 - _NEWEST) * known if known else rate
    return max([known, *(member.done_per_s for member in group.members)])


def _is_behind(part: PartitionFigures) -> bool:
    """Whether a partition had work all the time."""
    slack = _COMMITS_S * max(part.incoming_per_s, part.done_per_s) + _FEW
    return part.lag > slack and part.lag_before > slack


def _is_late(member: MemberFigures, group: GroupFigures) -> bool:
    """Whether a member had work all the time, so that its rate is what it can do."""
    parts = _of(member, group)
    return any(_is_behind(part) for part in parts) and all(part.stayed for part in parts)


def _done_in_time(member: MemberFigures, group: GroupFigures, drain_s: float) -> bool:
    return sum(_wanted(part, drain_s) for part in _of(member, group)) <= member.done_per_s


def _wanted(part: PartitionFigures, drain_s: float) -> float:
    """The rate at which a partition has to be read to be done in time."""
    return part.incoming_per_s + (part.lag / drain_s if _is_behind(part) else 0.0)


def _of(member: MemberFigures, group: GroupFigures) -> list[PartitionFigures]:
    return [part for part in group.partitions if part.member == member.name]


def _dealt(group: GroupFigures) -> list[PartitionFigures]:
    """The partitions in the order in which they are dealt out."""
    return sorted(group.partitions, key=lambda part: (part.topic, part.number))
