"""The whole program: a system, its world, and the rows that were asked for."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torture.faults.catalogue import by_name
from torture.figures import percentile
from torture.history import History
from torture.run import Row, Wanted, run_mix, run_one
from torture.settling import SETTLE_S
from torture.system import Scale, System, new_folder, seeded
from torture.world import World, make_world

__all__ = ["Choice", "run"]

_MIX_S: Final = 90.0


@dataclass(frozen=True)
class Choice:
    """What was asked for."""

    fault: str
    """Names of faults with commas between, `all` or `mix`."""
    seed: int = 1
    seconds: float = 0.0
    rate: float = 30.0
    receivers: int = 120
    changes: float = 4.0
    settle_s: float = SETTLE_S
    """How long everybody may take after a row to get what they are owed."""
    brokers: int = 0
    scale: str = ""
    folder: Path | None = None
    plant: tuple[str, str] | None = None
    """A bug, and the role that has it."""
    again: int = 1
    """Repeat a clean row so often with the next seeds."""


async def run(choice: Choice, say: Callable[[str], None]) -> list[Row]:
    """Do it; `say` is told how it goes, and of each violation."""
    folder = choice.folder or new_folder()
    folder.mkdir(parents=True, exist_ok=True)
    scale = _scale(choice)
    say(f"seed {choice.seed}, {scale.brokers} brokers, {scale.option}, in {folder}")
    rows: list[Row] = []
    small = choice.fault == "all" or "disk-full" in choice.fault
    async with System(folder, scale, plant=choice.plant, small_disks=small) as system:
        world = await make_world(system.settings, max(8, choice.receivers // 2), seeded(choice.seed, "world"))
        names = list(by_name()) if choice.fault == "all" else choice.fault.split(",")
        for number, name in enumerate(names * choice.again):
            if number >= len(names) and not all(row.passed for row in rows):
                break
            path = folder / f"history-{number:02}-{name}.jsonl"
            with path.open("wb") as file:
                seed = choice.seed + number // len(names)
                rows.append(await _row(choice, seed, system, world, name, History(file), f"{number}-", say))
            await system.ready()
            _tell(rows[-1], choice, path, say)
    if choice.folder is None and all(row.passed for row in rows):
        with contextlib.suppress(OSError):
            await asyncio.to_thread(shutil.rmtree, folder)
    return rows


def _scale(choice: Choice) -> Scale:
    needs = by_name()
    brokers = choice.brokers
    if not brokers:
        few = all(name in needs and needs[name]().brokers == 1 for name in choice.fault.split(","))
        brokers = 1 if few else 3
    counts = {}
    for part in filter(None, choice.scale.split(",")):
        role, _, number = part.partition("=")
        counts[role.strip()] = int(number)
    return Scale(brokers=brokers, **counts)


async def _row(
    choice: Choice,
    seed: int,
    system: System,
    world: World,
    name: str,
    history: History,
    label: str,
    say: Callable[[str], None],
) -> Row:
    seconds = choice.seconds or (_MIX_S if name == "mix" else 0.0)
    wanted = Wanted(seed, seconds, choice.rate, choice.receivers, choice.changes, say, choice.settle_s)
    if name == "mix":
        return await run_mix(system, world, wanted, history, label)
    return await run_one(system, world, by_name()[name](), wanted, history, label)


def _tell(row: Row, choice: Choice, path: Path, say: Callable[[str], None]) -> None:
    if row.skipped:
        say(f"{row.fault}: SKIPPED, {row.skipped}")
        return
    verdict = row.verdict
    say(
        f"{row.fault}: {'ok' if row.passed else 'BROKEN'} in {row.took_s:.0f} s: {verdict.sent} sent, "
        f"{verdict.accepted} accepted, {verdict.refused} refused, {verdict.unknown} unknown, "
        f"{verdict.delivered} deliveries to {verdict.sessions} sessions; lost {verdict.lost}, "
        f"doubled {verdict.doubled}, reordered {verdict.reordered}, told {verdict.told}, "
        f"gap {verdict.gap_s:.2f} s, recovery {verdict.recovery_s:.1f} s"
    )
    for where, took in zip(("the same node", "another node"), row.resumes, strict=True):
        if took:
            p50, p99 = percentile(took, 50), percentile(took, 99)
            say(f"  {len(took)} resumes on {where}: median {1000 * p50:.0f} ms, 99th {1000 * p99:.0f} ms")
    if row.memory:
        say(f"  memory: {'; '.join(row.memory)}")
    for violation in verdict.violations:
        say(f"  {violation.kind}: {violation.text}")
    if verdict.more:
        say(f"  and {verdict.more} more")
    for line in row.trails:
        say(f"  {line}")
    if not row.passed:
        say(f"  repeat with --fault {row.fault} --seed {choice.seed}; its history: {path}")
