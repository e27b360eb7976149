"""What `fanfare top` and the autoscaler see: figures worked out of two samples."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram

from fanfare.observe.figures import Window, figures, quantile
from fanfare.observe.sample import WANTED, Group, Process, Redis, Sample, group_of, measured


def group(**partitions: tuple[int, int, str | None]) -> Group:
    """A group that reads p0, p1...: committed, end and member of each."""
    owners = sorted({member for _, _, member in partitions.values() if member})
    return group_of(
        "fanout",
        {
            "state": "Stable",
            "members": [
                {
                    "client": owner,
                    "host": "127.0.0.1",
                    "partitions": [
                        f"chat.events/{name[1:]}" for name, p in partitions.items() if p[2] == owner
                    ],
                }
                for owner in owners
            ],
            "partitions": {
                f"chat.events/{name[1:]}": {
                    "committed": done,
                    "end": end,
                    "lag": end - done,
                    "member": member,
                }
                for name, (done, end, member) in partitions.items()
            },
        },
    )


def sample(at_s: float, *processes: Process, fanout: Group | None = None) -> Sample:
    groups = {fanout.name: fanout} if fanout else {}
    return Sample(at_s=at_s, time=1_000 + at_s, processes=processes, groups=groups)


def test_lag_and_rates_of_a_group():
    before = sample(10, fanout=group(p0=(100, 100, "fanout.1"), p1=(50, 80, "fanout.2")))
    after = sample(12, fanout=group(p0=(120, 140, "fanout.1"), p1=(150, 160, "fanout.1")))
    (found,) = figures(before, after).groups
    assert (found.lag, found.incoming_per_s, found.done_per_s) == (30, 60, 60)
    assert found.behind_s == pytest.approx(0.5)
    (member,) = found.members
    assert (member.name, member.lag, member.done_per_s) == ("fanout.1", 30, 60)
    assert [(part.lag, part.lag_before, part.stayed) for part in found.partitions] == [
        (20, 0, True),
        (10, 30, False),
    ]


def test_a_group_that_does_not_get_on_is_behind_for_nobody_knows_how_long():
    still = group(p0=(100, 140, None))
    (found,) = figures(sample(1, fanout=still), sample(2, fanout=still)).groups
    assert found.behind_s is None


def test_one_sample_says_nothing_of_rates():
    one = sample(
        5, Process(name="gateway.1", role="gateway", cpu_s=7, accepted=9), fanout=group(p0=(1, 9, "a"))
    )
    found = figures(one, one)
    assert (found.over_s, found.processes[0].cpu, found.groups[0].incoming_per_s) == (0, 0, 0)
    assert found.groups[0].lag == 8


def test_a_process_that_was_started_again_counts_from_nothing():
    """Else its rate would be negative, and once it has caught up too small."""
    before = sample(0, Process(name="a", role="gateway", pid=1, cpu_s=50, accepted=1000))
    after = sample(2, Process(name="a", role="gateway", pid=2, cpu_s=1, accepted=10))
    (found,) = figures(before, after).processes
    assert (found.cpu, found.accepted_per_s) == (0.5, 5)


def test_a_process_that_did_not_answer_at_first_does_not_count_all_its_life():
    before = sample(0, Process(name="a", role="gateway", pid=1, state="no answer"))
    after = sample(2, Process(name="a", role="gateway", pid=1, cpu_s=50, accepted=1000))
    (found,) = figures(before, after).processes
    assert (found.cpu, found.accepted_per_s) == (0, 0)


def test_a_process_that_was_asked_at_other_moments_than_the_rest():
    before = sample(
        10, Process(name="a", role="gateway", pid=1, cpu_s=5, accepted=100, at_s=9, delivery={1.0: 10})
    )
    after = sample(
        15, Process(name="a", role="gateway", pid=1, cpu_s=7, accepted=180, at_s=13, delivery={1.0: 30})
    )
    found = figures(before, after)
    (process,) = found.processes
    assert (process.cpu, process.accepted_per_s, process.delivery.per_s) == (0.5, 20, 5)
    assert found.delivery.per_s == 5


def test_a_store_that_was_away_and_came_back():
    before = sample(0)
    after = msgspec.structs.replace(sample(2), redis=Redis(1, 0, 3, 500))
    found = figures(before, after).redis
    assert found is not None
    assert found.commands_per_s == 0


def test_members_of_one_name_are_told_apart():
    """Services outside of `fanfare up` all call themselves by their role."""
    said = {
        "state": "Stable",
        "members": [
            {"client": "fanfare-fanout", "host": host, "partitions": [f"chat.events/{number}"]}
            for number, host in enumerate(("10.0.0.1", "10.0.0.2", "10.0.0.2"))
        ],
        "partitions": {
            f"chat.events/{number}": {"committed": 1, "end": 1, "lag": 0, "member": "fanfare-fanout"}
            for number in range(3)
        },
    }
    found = group_of("fanout", said)
    names = ["fanfare-fanout@10.0.0.1", "fanfare-fanout@10.0.0.2", "fanfare-fanout@10.0.0.2#2"]
    assert [member.name for member in found.members] == names
    assert [part.member for part in found.partitions] == names


def test_the_metrics_of_a_process():
    registry = CollectorRegistry()
    taken = Histogram("fanfare_delivery_seconds", "", buckets=(0.01, 0.1), registry=registry)
    for value in (0.001, 0.05, 0.05, 7):
        taken.observe(value)
    sessions = Gauge("fanfare_gateway_sessions", "", ["state"], registry=registry)
    sessions.labels("live").set(3)
    chosen = registry.restricted_registry(WANTED)
    samples = [(one.name, one.labels, one.value) for family in chosen.collect() for one in family.samples]
    found = measured([*samples, ("process_cpu_seconds_total", {}, 3.5)])
    assert (found["cpu_s"], found["live"], found["away"]) == (3.5, 3, 0)
    assert found["delivery"] == {0.01: 1, 0.1: 3, math.inf: 4}


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_value_that_it_stands_for(values, part):
    bounds = [0.5, 1, 10, 50, math.inf]
    buckets = {bound: float(sum(value <= bound for value in values)) for bound in bounds}
    exact = sorted(values)[max(math.ceil(part * len(values)) - 1, 0)]
    found = quantile(buckets, part)
    assert found is not None
    above = next(bound for bound in bounds if exact <= bound)
    below = max((bound for bound in bounds if bound < above), default=0)
    assert below <= found <= (above if math.isfinite(above) else below)


def test_a_quantile_of_nothing():
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0, math.inf: 0.0}, 0.5) is None


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=50))
def test_a_window_looks_back_for_as_long_as_it_was_told(pauses):
    window = Window(over_s=5)
    now = first = 0.0
    for pause in pauses:
        now += pause
        first = first or now
        found = window.add(sample(now))
        assert found.over_s <= now - first
        # Never much shorter than it could be, and never longer than the window and one pause.
        assert found.over_s >= min(5, now - first) - 1e-9
        assert found.over_s <= 5 + max(pauses)
