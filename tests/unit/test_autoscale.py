"""How many workers the autoscaler wants: on made-up loads, where all is known, and on a trace of a real run."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfare.autoscale.decide import Aim, Decision, Known, backlog, decide, heaviest
from fanfare.observe.figures import GroupFigures, MemberFigures, PartitionFigures, Window
from fanfare.observe.sample import Sample, group_of

WINDOW_S = 5
AIM = Aim(drain_s=30, settle_s=10, calm_s=60)


class Run:
    """A group under a made-up load, whose workers come and go as the autoscaler says."""

    def __init__(self, weights: Sequence[float], per_worker: float, workers: int, aim: Aim = AIM) -> None:
        """Args: weights: of the load that comes to each partition; per_worker: records/s that a worker does."""
        self.weights = [weight / sum(weights) for weight in weights]
        self.per_worker = per_worker
        self.workers = workers
        self.aim = aim
        self.appended = [0.0] * len(weights)
        self.done = [0.0] * len(weights)
        self.committed = [0.0] * len(weights)
        self.now = 0
        self.known = Known()
        self.window = Window(WINDOW_S)
        self.steps: list[tuple[int, int]] = []
        """When the number changed, and to how many."""
        self.said: list[Decision] = []

    def tick(self, load: float) -> GroupFigures:
        """A second passes, in which so many records come."""
        self.now += 1
        for number, weight in enumerate(self.weights):
            self.appended[number] += load * weight
        # Once a second, and what was done since then is told by the next one.
        self.committed = list(self.done)
        for worker in range(self.workers):
            self._work(range(worker, len(self.weights), self.workers))
        (group,) = self.window.add(self._sample()).groups
        decision, self.known = decide(group, self.now, self.known, self.aim)
        self.said.append(decision)
        if decision.workers != self.workers:
            self.workers = decision.workers
            self.steps.append((self.now, self.workers))
        return group

    def _work(self, numbers: range) -> None:
        """What one worker does in a second: from each of its partitions alike, as long as there is something."""
        left = self.per_worker
        # Who has less than an equal share leaves the rest of it to the others.
        waiting = sorted((self.appended[one] - self.done[one], one) for one in numbers)
        for at, (lag, one) in enumerate(waiting):
            part = min(lag, left / (len(waiting) - at))
            self.done[one] += part
            left -= part

    def _sample(self) -> Sample:
        numbers = range(len(self.weights))
        facts = {
            "state": "Stable",
            "members": [
                {
                    "client": f"w{worker:03}",
                    "host": "h",
                    "partitions": [f"t/{number}" for number in numbers[worker :: self.workers]],
                }
                for worker in range(self.workers)
            ],
            "partitions": {
                f"t/{number}": {
                    "committed": int(self.committed[number]),
                    "end": int(self.appended[number]),
                    "lag": int(self.appended[number]) - int(self.committed[number]),
                    "member": "",
                }
                for number in numbers
            },
        }
        return Sample(at_s=self.now, time=self.now, groups={"g": group_of("g", facts)})


def directions(run: Run, first: int) -> list[int]:
    """+1 for each worker more, -1 for each one less."""
    return [after - before for before, after in pairwise([first, *(workers for _, workers in run.steps)])]


weights = st.lists(st.floats(0.1, 1), min_size=1, max_size=12)
loads = st.lists(st.tuples(st.integers(1, 120), st.floats(0, 2000)), min_size=1, max_size=6)


@settings(max_examples=50)
@given(weights=weights, loads=loads, per_worker=st.floats(5, 500), first=st.integers(1, 12))
def test_one_step_at_a_time_and_never_more_workers_than_help(weights, loads, per_worker, first):
    run = Run(weights, per_worker, first)
    for seconds, load in loads:
        for _ in range(seconds):
            run.tick(load)
    assert all(abs(step) == 1 for step in directions(run, first))
    times = [when for when, _ in run.steps]
    assert all(after - before >= AIM.settle_s for before, after in pairwise(times))
    assert all(workers <= max(len(weights), first) for _, workers in run.steps)
    assert all(workers >= AIM.least for _, workers in run.steps)


@settings(max_examples=40)
@given(
    partitions=st.integers(1, 12),
    per_worker=st.floats(20, 500),
    part=st.floats(0.1, 0.4),
    first=st.integers(1, 3),
)
def test_what_enough_workers_can_do_is_done_in_the_stated_time(partitions, per_worker, part, first):
    """From when there are as many workers as are needed, the backlog is gone within `drain_s`.

    There are partitions for more workers than that: else it takes as long as it takes.
    """
    run = Run([1.0] * partitions, per_worker, first)
    load = part * per_worker * partitions
    seconds = int(partitions * (AIM.settle_s + WINDOW_S) + AIM.drain_s) + 60
    behind = [second for second in range(1, seconds) if backlog(run.tick(load))]
    counts = [first, *(workers for _, workers in run.steps)]
    added = [
        when for (when, _), (before, after) in zip(run.steps, pairwise(counts), strict=True) if after > before
    ]
    assert max(behind, default=0) <= max(added, default=0) + AIM.drain_s + WINDOW_S


@settings(max_examples=30)
@given(weights=weights, load=st.floats(1, 2000), per_worker=st.floats(5, 500), first=st.integers(1, 12))
def test_under_a_steady_load_the_number_does_not_go_up_and_down(weights, load, per_worker, first):
    """A worker that comes or goes stops its group for a moment: it must not happen for nothing."""
    run = Run(weights, per_worker, first)
    for _ in range(900):
        run.tick(load)
    steps = directions(run, first)
    after_first_less = steps[steps.index(-1) :] if -1 in steps else []
    assert 1 not in after_first_less


@settings(max_examples=30)
@given(weights=weights, part=st.floats(0, 0.9), per_worker=st.floats(5, 500), first=st.integers(1, 8))
def test_without_a_backlog_nobody_is_added(weights, part, per_worker, first):
    run = Run(weights, per_worker, first)
    load = part * per_worker / heaviest(run.weights, first)
    for _ in range(300):
        run.tick(load)
    assert 1 not in directions(run, first)


def test_when_the_load_is_gone_the_workers_go_one_after_the_other():
    run = Run([1.0] * 8, 100, 1)
    for _ in range(200):
        run.tick(550)
    most = run.workers
    assert most >= 6
    for _ in range(int(most * (AIM.calm_s + AIM.settle_s)) + 60):
        run.tick(0)
    assert run.workers == AIM.least


def test_a_partition_that_is_too_much_for_a_worker_alone_is_not_helped_by_more():
    """Workers that stand idle cost memory, and each that comes stops the group for a moment."""
    run = Run([100, 1, 1, 1], 50, 1)
    for _ in range(300):
        run.tick(500)
    assert run.workers <= 4
    assert "no partition can be taken off the busiest worker" in run.said[-1].why
    assert run.steps[-1][0] < 100


def test_what_is_held_is_not_helped_by_more():
    """As while PostgreSQL is away: the archiver's lag grows, and another archiver would be held, too."""
    run = Run([1.0] * 8, 0, 2)
    for _ in range(120):
        run.tick(100)
    assert run.steps == []
    assert "nothing gets on" in run.said[-1].why


@pytest.mark.parametrize(("there", "wanted"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_there_are_as_many_as_there_have_to_be(there, wanted):
    group = GroupFigures("g", "Stable", 0, 0, 0, 0, tuple(_member(number) for number in range(there)), ())
    decision, _ = decide(group, 100, Known(), Aim(least=3))
    assert decision.workers == wanted


def _member(number: int) -> MemberFigures:
    return MemberFigures(f"w{number}", "h", (), 0, 0)


def test_after_a_worker_has_died_nothing_is_decided_before_the_rates_are_right_again():
    run = Run([1.0] * 8, 100, 4)
    for _ in range(60):
        run.tick(300)
    assert run.steps == []
    run.workers = 3
    said: list[str] = []
    for _ in range(int(AIM.settle_s)):
        run.tick(300)
        said.append(run.said[-1].why)
    assert set(said) == {"the number has just changed"}


# A real run: each fan-out was bound to 40 a second by FANFARE_FANOUT_BUDGET, and `fanfare autoscale fanout --calm 15
# --json` ran beside it. 130 a second came until 65 s, into 7 of the 8 partitions. A line is: when (s), members, how
# many workers were decided on, and of each partition of chat.events its number, member, lag, lag 5 s before, records
# that came and that were done a second, and whether its member stayed.
RECORDED = Path(__file__).with_name("traces") / "overrun.jsonl"


def recorded() -> list[tuple[float, GroupFigures, int]]:
    """The looks of the recorded run, and what was decided."""
    found = []
    for line in RECORDED.read_text().splitlines():
        at_s, count, decided, rows = json.loads(line)
        parts = [
            PartitionFigures(
                "chat.events", number, f"fanout.{member}", lag, before, incoming, done, bool(stayed)
            )
            for number, member, lag, before, incoming, done, stayed in rows
        ]
        members = tuple(
            MemberFigures(
                name=name,
                host="h",
                partitions=tuple(f"chat.events/{part.number}" for part in parts if part.member == name),
                lag=sum(part.lag for part in parts if part.member == name),
                done_per_s=sum(part.done_per_s for part in parts if part.member == name),
            )
            for name in (f"fanout.{number + 1}" for number in range(count))
        )
        group = GroupFigures(
            name="fanout",
            state="Stable",
            lag=sum(part.lag for part in parts),
            incoming_per_s=sum(part.incoming_per_s for part in parts),
            done_per_s=sum(part.done_per_s for part in parts),
            behind_s=None,
            members=members,
            partitions=tuple(parts),
        )
        found.append((at_s, group, decided))
    return found


def test_a_recorded_run_is_decided_as_it_was():
    """Workers are added while they help, none for the two partitions that one worker each is too slow for."""
    aim = Aim(calm_s=15)
    known = Known()
    steps = []
    for at_s, group, decided in recorded():
        decision, known = decide(group, at_s, known, aim)
        assert decision.workers == decided, (at_s, decision)
        if decided != len(group.members):
            steps.append((at_s, decided))
    assert [workers for _, workers in steps] == [2, 3, 4, 5, 6]
    assert steps[-1][0] < 60
    assert 38 < known.per_worker < 42
