"""The services of a running `fanfare up`: how many of each there are, and changing that while they work.

A process that leaves is told to stop and finishes its work: a worker's partitions go to the others, a gateway's clients
resume on other nodes. So there is one change at a time, one process after the other.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from fanfare.embedded.child import Child, Spec
from fanfare.embedded.errors import UpError
from fanfare.embedded.services import MOST_OF_A_KIND
from fanfare.embedded.supervisor import Supervisor

__all__ = ["Change", "Fleet"]

_START_S: Final = 60.0


@dataclass
class Change:
    """What became of one role."""

    role: str
    before: int
    after: int
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def describe(self) -> dict[str, Any]:
        """As JSON: `from` and `to` are no names in Python."""
        said = asdict(self)
        return {"role": said.pop("role"), "from": said.pop("before"), "to": said.pop("after")} | said


class Fleet:
    """The services among the supervisor's children."""

    def __init__(self, supervisor: Supervisor, make: Callable[[str, int], Spec], roles: list[str]) -> None:
        """Args: make: the spec of a role's process with a number; roles: what may be scaled."""
        self._supervisor = supervisor
        self._make = make
        self.roles = roles
        """What may be scaled."""
        self._changing = asyncio.Lock()

    async def scale(self, wanted: Mapping[str, int]) -> list[Change]:
        """Start or stop processes until there are so many of each role; returns when they are ready, or gone.

        Raises:
            UpError: a role or number cannot be, another change is under way, or a process does not get ready: then
                what was started for this is stopped again.

        """
        self.check(wanted)
        async with self._alone():
            return [await self._scale_one(role, count) for role, count in wanted.items()]

    async def restart(self, what: str) -> list[str]:
        """Stop and start again the process with this name, or those of this role one after the other.

        Raises:
            UpError: there is none, another change is under way, or one does not get ready.

        """
        async with self._alone():
            children = [
                child for child in self._supervisor.children if what in {child.spec.name, child.spec.role}
            ]
            children = [child for child in children if child.spec.role in self.roles]
            if not children:
                names = ", ".join(sorted(child.spec.name for role in self.roles for child in self._of(role)))
                raise UpError(f"there is no process and no service {what!r}: there are {names or 'none'}")
            for child in children:
                await self._supervisor.remove(child)
                await self._supervisor.start_ready([child.spec], _START_S)
            return [child.spec.name for child in children]

    def count(self, role: str) -> int:
        """How many processes of a role there are."""
        return len(self._of(role))

    def check(self, wanted: Mapping[str, int]) -> None:
        """Look whether there can be so many.

        Raises:
            UpError: there is no such role, or no such number.

        """
        for role, count in wanted.items():
            if role not in self.roles:
                raise UpError(f"there is no service {role!r}: there are {', '.join(self.roles) or 'none'}")
            if not 0 <= count <= MOST_OF_A_KIND:
                raise UpError(f"{role}={count} is not a number from 0 to {MOST_OF_A_KIND}")

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if self._changing.locked():
            raise UpError("another change is under way: try again when it is done")
        async with self._changing:
            yield

    def _of(self, role: str) -> list[Child]:
        """The processes of a role, by their numbers."""
        found = [child for child in self._supervisor.children if child.spec.role == role]
        return sorted(found, key=_number)

    async def _scale_one(self, role: str, count: int) -> Change:
        began = time.monotonic()
        there = self._of(role)
        change = Change(role, len(there), count)
        taken = {_number(child) for child in there}
        free = (number for number in range(1, MOST_OF_A_KIND + count + 1) if number not in taken)
        for _ in range(count - len(there)):
            spec = self._make(role, next(free))
            try:
                await self._supervisor.start_ready([spec], _START_S)
            except UpError:
                for child in [one for one in self._of(role) if one.spec is spec]:
                    await self._supervisor.remove(child)
                raise
            change.started.append(spec.name)
        for child in there[count:][::-1]:
            await self._supervisor.remove(child)
            change.stopped.append(child.spec.name)
        change.seconds = round(time.monotonic() - began, 3)
        return change


def _number(child: Child) -> int:
    return int(child.spec.name.rpartition(".")[2])
