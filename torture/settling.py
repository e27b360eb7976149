"""The end of a run: until everybody has what they are owed, and what the log and the stores say then."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from torture import evidence
from torture.check import Entry, Facts, missing
from torture.history import History
from torture.system import System
from torture.world import World

__all__ = ["SETTLE_S", "gather_facts", "settle"]

SETTLE_S: Final = 45.0
"""How long everybody may take to get what they are owed."""

_SNOWFLAKE_EPOCH_MS: Final = 1_420_070_400_000
_LOOK_S: Final = 0.5
_READ_S: Final = 30.0
# What comes twice may come a moment later.
_QUIET_S: Final = 1.0


async def settle(
    system: System,
    world: World,
    history: History,
    since_ms: int,
    *,
    away: Callable[[], int],
    say: Callable[[str], None],
    within_s: float = SETTLE_S,
) -> list[Entry]:
    """Wait until everybody has what they are owed, or it is clear that they will not get it.

    Args:
        system: where it runs.
        world: who may see what.
        history: of the run.
        since_ms: when the log is read from.
        away: asked how many sessions are not connected.
        say: told how it goes.
        within_s: how long that may take.

    Returns:
        The log, as it was read last.

    """
    deadline = time.monotonic() + within_s
    log: list[Entry] = []
    quiet = False
    told = (0, 0)
    while time.monotonic() < deadline:
        found = await _read_log(system, since_ms)
        if found is not None:
            log = [entry for entry in found if entry.channel in world.audience]
            owed = missing(history, Facts(log, world.audience, frozenset(world.direct)))
            gone = away()
            whole = not owed and not gone
            if whole and quiet:
                return log
            if not whole and (owed, gone) != told:
                told = owed, gone
                say(f"  settling: {owed} deliveries owed, {gone} sessions away")
            quiet = whole
            await asyncio.sleep(_QUIET_S if whole else _LOOK_S)
            continue
        await asyncio.sleep(_LOOK_S)
    return log


async def _read_log(system: System, since_ms: int) -> list[Entry] | None:
    """The log, or None while Kafka is away. In a task of its own: aiokafka does not always survive a timeout."""
    reading = asyncio.create_task(evidence.read_log(system.settings, since_ms))
    await asyncio.wait((reading,), timeout=_READ_S)
    if not reading.done():
        reading.cancel()
        await asyncio.wait((reading,), timeout=_QUIET_S)
        return None
    try:
        return reading.result()
    except (KafkaError, OSError, asyncio.CancelledError):
        return None


async def gather_facts(
    system: System, world: World, log: list[Entry], since_ms: int, *, within_s: float = SETTLE_S
) -> Facts:
    """The log and what the stores tell; the archiver may take a moment more, but no longer than `within_s`."""
    after = (since_ms - _SNOWFLAKE_EPOCH_MS) << 22
    expected: dict[int, set[int]] = {}
    first: set[tuple[int, str]] = set()
    for entry in sorted(log, key=lambda one: (one.partition, one.offset)):
        if (entry.author, entry.nonce) not in first:
            first.add((entry.author, entry.nonce))
            if entry.id > after:
                expected.setdefault(entry.channel, set()).add(entry.id)
    rest: dict[int, list[int]] = {}
    database: dict[int, list[int]] = {}
    deadline = time.monotonic() + within_s
    while True:
        with suppress(*evidence.Errors):
            rest = await evidence.rest_ids(system, world, after)
            database = await evidence.database_ids(system.settings, world.audience, after)
        same = all(
            set(rest.get(channel, ())) == set(database.get(channel, ())) == expected.get(channel, set())
            for channel in world.audience
        )
        if same or time.monotonic() > deadline:
            return Facts(log, world.audience, frozenset(world.direct), rest, database, after)
        await asyncio.sleep(_LOOK_S)
