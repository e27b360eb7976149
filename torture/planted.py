"""`python -m torture.planted BUG ROLE`: a service that breaks a rule of delivery, to see that the checker finds it.

The service's own code is as it is; the rule is replaced in this process, before the service starts.

    no-position-check   notifier  the append script takes a record again that stands in the inbox already
    commit-first        notifier  a batch is committed before it is appended
    cached-presence     notifier  who is where is looked up every few seconds, not after each batch was fetched
    resume-from-now     gateway   a session that comes back to its node goes on with the newest event
"""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from fanfare.bus.batches import BatchRunner
from fanfare.bus.consumer import Consumer
from fanfare.presence import inboxes
from gateway.delivery.ring import Ring
from notifier.worker import Notifier
from torture.child import main

__all__ = ["BUGS", "plant_bug"]

# Long enough that a kill falls into it, short enough that all goes on.
_SLOW_S: Final = 0.15
_CACHED_S: Final = 5.0


def _no_position_check() -> None:
    script: Any = inboxes.APPEND
    rule = "if offset > high[partition] then"
    text = script._text  # noqa: SLF001 - it is to be broken
    assert rule in text, "the append script has no such rule any more"
    script._text = text.replace(rule, "if true then")  # noqa: SLF001
    script._sha = hashlib.sha1(script._text.encode(), usedforsecurity=False).hexdigest()  # noqa: SLF001


def _commit_first() -> None:
    consumer: Any = Consumer
    run: Any = BatchRunner.run
    process = consumer._process  # noqa: SLF001 - it is to be broken

    async def committed_first(self: Any, lane: Any) -> None:
        owner, original = self, lane.runner

        class Early:
            @staticmethod
            async def run(partition: Any, messages: Any) -> None:
                lane.done = messages[-1].offset + 1
                await owner._commit([lane], None)
                await asyncio.sleep(_SLOW_S)
                await run(original, partition, messages)

        lane.runner = Early()
        await process(self, lane)

    consumer._process = committed_first  # noqa: SLF001


def _cached_presence() -> None:
    notifier: Any = Notifier
    look_up = notifier._look_up  # noqa: SLF001 - it is to be broken
    known: dict[Any, tuple[float, Any]] = {}

    async def cached(self: Any, whose: Any) -> Any:
        key = tuple(sorted(whose.guilds)), tuple(sorted(whose.users))
        at, found = known.get(key, (0.0, None))
        if found is None or time.monotonic() - at > _CACHED_S:
            found = await look_up(self, whose)
            known[key] = time.monotonic(), found
        return found

    notifier._look_up = cached  # noqa: SLF001


def _resume_from_now() -> None:
    ring: Any = Ring
    ring.after = lambda self, _s: self.end


BUGS: Final[dict[str, tuple[str, Callable[[], None]]]] = {
    "no-position-check": ("notifier", _no_position_check),
    "commit-first": ("notifier", _commit_first),
    "cached-presence": ("notifier", _cached_presence),
    "resume-from-now": ("gateway", _resume_from_now),
}


def plant_bug(bug: str, role: str) -> None:
    """Break a rule in this process. Raises: SystemExit: there is no such bug in this role."""
    where, plant = BUGS.get(bug, ("", None))
    if plant is None or where != role:
        known = ", ".join(f"{name} {place}" for name, (place, _) in BUGS.items())
        sys.exit(f"no bug {bug!r} for {role!r}; there are: {known}")
    plant()


if __name__ == "__main__":
    plant_bug(sys.argv[1], sys.argv[2])
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main(sys.argv[2])
