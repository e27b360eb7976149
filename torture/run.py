"""A row of the table: load, fault, settling, check."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from torture import evidence
from torture.changers import disagreements
from torture.check import Entry, Verdict, check
from torture.faults.base import Context, Fault, SkippedError
from torture.faults.catalogue import by_name
from torture.figures import Memory, Resumes, resumes
from torture.history import FaultTimes, History
from torture.load import Load
from torture.settling import SETTLE_S, gather_facts, settle
from torture.system import BadSystemError, System, seeded
from torture.world import EPOCH_MS, World

__all__ = ["Row", "Wanted", "run_mix", "run_one"]

_WARM_S: Final = 2.0
_TAIL_S: Final = 3.0
_LAST_ANSWERS_S: Final = 30.0
_TRAILS: Final = 2
_BEFORE_MS: Final = 300_000
# Real clients besides: few, because each takes as much as many of ours.
_BOTS: Final = 3


@dataclass(frozen=True)
class Wanted:
    """How hard."""

    seed: int
    seconds: float
    rate: float
    receivers: int
    changes: float
    """Edits, reactions and the like, a second."""
    say: Callable[[str], None]
    """Told how it goes."""
    settle_s: float = SETTLE_S
    """How long everybody may take at the end to get what they are owed."""


@dataclass
class Row:
    """What came out of one fault."""

    fault: str
    verdict: Verdict
    aim_s: float = 0.0
    skipped: str = ""
    took_s: float = 0.0
    trails: list[str] = field(default_factory=list)
    resumes: Resumes = field(default_factory=lambda: Resumes([], []))
    memory: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Every promise held."""
        return bool(self.skipped) or self.verdict.clean


async def run_one(
    system: System, world: World, fault: Fault, wanted: Wanted, history: History, label: str
) -> Row:
    """A run with one fault."""
    rng = seeded(wanted.seed, fault.name)
    if fault.brokers > system.scale.brokers:
        return Row(fault.name, Verdict(), fault.aim_s, skipped=f"it needs {fault.brokers} brokers")
    try:
        await fault.prepare(system, rng)
    except SkippedError as skipped:
        return Row(fault.name, Verdict(), fault.aim_s, skipped=str(skipped))

    async def work(load: Load) -> None:
        await fault.run(Context(system, load, history, rng))

    try:
        row = await _run(system, world, fault.name, wanted, history, label, work)
    finally:
        await fault.clean(system)
    row.aim_s = fault.aim_s
    return row


async def run_mix(system: System, world: World, wanted: Wanted, history: History, label: str) -> Row:
    """A run with faults at random moments, some at once."""
    rng = seeded(wanted.seed, "mix")

    async def work(load: Load) -> None:
        until = time.monotonic() + wanted.seconds
        context = Context(system, load, history, rng, short=True)
        async with asyncio.TaskGroup() as group:
            for lane in range(2):
                group.create_task(_mix_lane(context, Random(rng.random()), until, lane))  # noqa: S311

    return await _run(system, world, "mix", wanted, history, label, work)


# Faults that are known to get in each other's way only because of how they are done.
_LANES: Final = (
    ("kill-", "stop-fanout", "stop-notifier", "stop-archiver", "scale-workers"),
    ("redis-", "kafka-leader", "postgres-down", "half-open", "mass-reconnect"),
)


async def _mix_lane(context: Context, rng: Random, until: float, lane: int) -> None:
    kinds = [
        kind
        for name, kind in by_name().items()
        if name.startswith(_LANES[lane]) and kind().mixes and kind().brokers <= context.system.scale.brokers
    ]
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(rng.uniform(0.5, 4), left))
        if until - time.monotonic() < 5:
            return
        fault = rng.choice(kinds)()
        context.history.note("mix", fault.name, time.monotonic())
        await fault.run(context)


async def _run(
    system: System,
    world: World,
    name: str,
    wanted: Wanted,
    history: History,
    label: str,
    work: Callable[[Load], Coroutine[Any, Any, None]],
) -> Row:
    began, since_ms = time.monotonic(), int(time.time() * 1000)
    # What was sent before may still come, and is no phantom.
    log_ms = since_ms - _BEFORE_MS
    load = Load(
        system,
        world,
        history,
        seed=wanted.seed,
        receivers=wanted.receivers,
        rate=wanted.rate,
        label=label,
        bots=_BOTS,
        changes=wanted.changes,
    )
    trouble = ""
    log: list[Entry] = []
    apart: list[str] = []
    memory = Memory(system)
    watching = asyncio.create_task(memory.watch(), name="memory")
    try:
        await load.start()
        wanted.say(f"  {name}: {wanted.receivers} sessions after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(_WARM_S)
        try:
            await work(load)
        except* BadSystemError as errors:
            trouble = "; ".join(str(error) for error in errors.exceptions)
        await asyncio.sleep(max(_TAIL_S, wanted.seconds - (time.monotonic() - began)))
        wanted.say("".join(f"  {name}: {_told(times)}\n" for times in history.faults).rstrip())
        await load.enough(_LAST_ANSWERS_S)
        log = await settle(
            system,
            world,
            history,
            log_ms,
            away=lambda: load.away,
            say=wanted.say,
            within_s=wanted.settle_s,
        )
        if wanted.changes:
            wanted.say(f"  {name}: {load.changers.told}")
            apart = await disagreements(system, world, load.receivers, since_ms - EPOCH_MS << 22)
    except TimeoutError:
        trouble = "not all receivers got ready"
    finally:
        watching.cancel()
        await load.stop()
    facts = await gather_facts(system, world, log, since_ms, within_s=wanted.settle_s)
    verdict = check(history, facts)
    if trouble:
        verdict.add("system", trouble)
    for line in apart:
        verdict.add("apart", line)
    row = Row(name, verdict, took_s=round(time.monotonic() - began, 1))
    row.resumes, row.memory = resumes(history), memory.growth()
    for violation in [one for one in verdict.violations if one.message][:_TRAILS]:
        row.trails.append(f"{violation.message}:")
        row.trails += [
            f"  {line}" for line in await evidence.trail(system, history, violation.message, log_ms)
        ]
    return row


def _told(times: FaultTimes) -> str:
    parts = (("observed", times.observed), ("over", times.healed))
    after = ", ".join(f"{what} after {at - times.applied:.1f} s" for what, at in parts if at is not None)
    return f"{times.name} ({times.detail}) {after}"
