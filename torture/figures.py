"""What a run shows besides broken promises: how long resumes took, and whether memory stays flat."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from torture.history import History, SessionLog
from torture.system import System

__all__ = ["Memory", "Resumes", "percentile", "resumes"]

_SAMPLE_S: Final = 2.0
# A process that lived for less says nothing about growth.
_FEW: Final = 60


class Resumes(NamedTuple):
    """Seconds from an open socket to RESUMED, sorted."""

    same: list[float]
    """On the node that had the session."""
    other: list[float]
    """On another one."""


def resumes(history: History) -> Resumes:
    """What each resume took, where both nodes are known. Pure."""
    found = Resumes([], [])
    for session in history.sessions.values():
        for node, before, took in _resumed(session):
            (found.same if node == before else found.other).append(took)
    for each in found:
        each.sort()
    return found


def _resumed(session: SessionLog) -> Iterable[tuple[str, str, float]]:
    """(node, the node before, seconds) of each resume that was finished."""
    for (before, _), (link, live) in pairwise(session.lived):
        if before.node and link.node:
            yield link.node, before.node, live - link.opened


def percentile(values: Sequence[float], of_hundred: float) -> float:
    """The smallest value that so many of a hundred do not exceed; 0 if there are none. `values` rise."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(len(values) * of_hundred / 100))]


@dataclass
class Memory:
    """Resident memory of the services' processes, sampled while a run goes on."""

    system: System
    samples: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """In kB, by name and pid."""

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            for process in self.system.processes().values():
                if process.pid is not None and process.internal and (found := _resident_kb(process.pid)):
                    self.samples.setdefault((process.name, process.pid), []).append(found)
            await asyncio.sleep(_SAMPLE_S)

    def growth(self) -> list[str]:
        """Of each process that lived through most of the run: MB after each fifth of its life."""
        longest = max((len(each) for each in self.samples.values()), default=0)
        return [
            f"{name} {', '.join(f'{each[part * (len(each) - 1) // 5] / 1024:.0f}' for part in range(1, 6))} MB"
            for (name, _), each in sorted(self.samples.items())
            if len(each) > max(longest / 2, _FEW)
        ]


def _resident_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
