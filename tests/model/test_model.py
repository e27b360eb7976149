"""The delivery rules hold in every run of the model, and each wrong rule that is planted is found."""

from collections import Counter
from functools import cache

import pytest

from tests.model.bugs import BREAKS, TOLD, Bug
from tests.model.check import ViolationError
from tests.model.schedules import SCHEDULES, Stage
from tests.model.simulation import Simulation
from tests.model.world import Stored

SEEDS = range(10)
ENOUGH = 9
"""Of ten seeds."""


@cache
def unbroken(seed: int) -> Simulation:
    """A run with the right rules."""
    simulation = Simulation(seed)
    simulation.run()
    return simulation


@cache
def directed(scheduled: Bug, seed: int, *planted: Bug) -> str:
    """What a schedule breaks, '' for nothing."""
    stage = Stage(seed, *planted)
    try:
        SCHEDULES[scheduled](stage)
        stage.end()
    except ViolationError as error:
        return error.kind
    return TOLD if stage.sim.told else ""


def by_chance(bug: Bug, seed: int) -> str:
    """What a run breaks, '' for nothing."""
    try:
        Simulation(seed, [bug]).run()
    except ViolationError as error:
        return error.kind
    return ""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_session_is_whole_or_told(seed: int) -> None:
    unbroken(seed)


def test_the_runs_come_through_every_way_of_resuming() -> None:
    ways = sum((unbroken(seed).ways for seed in SEEDS), Counter[str]())
    told = sum((unbroken(seed).told for seed in SEEDS), Counter[str]())
    assert ways["ring"] > 100
    assert ways["early"] > 10
    assert min(ways[f"adopted over {hops}"] for hops in (1, 2, 3)) > 0
    assert min(ways[f"stream over {hops}"] for hops in (1, 2)) > 0
    assert {"inbox gone", "out of reach", "unregistered"} <= told.keys()


@pytest.mark.parametrize("bug", [bug for bug in Bug if bug not in SCHEDULES])
def test_chance_finds(bug: Bug) -> None:
    found = [by_chance(bug, seed) for seed in SEEDS]
    assert sum(kind in BREAKS[bug] for kind in found) >= ENOUGH, found


@pytest.mark.parametrize("bug", SCHEDULES)
def test_a_schedule_finds(bug: Bug) -> None:
    right = [directed(bug, seed) for seed in SEEDS]
    assert set(right) <= {"", TOLD}, right
    wrong = [directed(bug, seed, bug) for seed in SEEDS]
    caught = [
        kind in BREAKS[bug] and (kind != TOLD or before != TOLD)
        for kind, before in zip(wrong, right, strict=True)
    ]
    assert sum(caught) >= ENOUGH, (wrong, right)


@pytest.mark.parametrize(
    "bug",
    [Bug.LATE_HOP, Bug.NO_CAS, Bug.UNCLAIMED, Bug.HOPS_NOT_REWRITTEN, Bug.SAFE_BY_TIME, Bug.TRIM_UNSEEN],
)
def test_sessions_that_are_live_are_not_told(bug: Bug) -> None:
    assert [directed(bug, seed) for seed in SEEDS] == [""] * len(SEEDS)


def test_where_retention_has_passed_everybody_is_told() -> None:
    stage = Stage(0)
    stage.begin(stage.a)
    stage.stall_notifiers(400)
    stage.ticks(40)
    for name, log in stage.sim.kafka.deliveries.items():
        stage.sim.kafka.beginnings[name] = len(log)
    stage.sim.redis.lose(Stored())
    stage.until(lambda: stage.a.generation > 1 and stage.a.ready)
    assert stage.sim.told["retention"] == 1


def test_a_run_is_the_same_each_time() -> None:
    first, second = Simulation(3), Simulation(3)
    for simulation in (first, second):
        simulation.run(200)
    assert first.ways == second.ways
    assert first.kafka.deliveries == second.kafka.deliveries
