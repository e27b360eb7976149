"""What two samples of a system say of it: rates, lags, percentiles. Pure.

Of a counter that has fallen (a process was started again, a topic was made anew) the whole of the second value counts.
"""

import math
from collections import deque
from collections.abc import Mapping

import msgspec

from fanfare.observe.sample import Group, Partition, Process, Sample

__all__ = [
    "Delivery",
    "Figures",
    "GroupFigures",
    "KafkaFigures",
    "MemberFigures",
    "PartitionFigures",
    "PostgresFigures",
    "ProcessFigures",
    "RedisFigures",
    "Window",
    "figures",
    "quantile",
]


class Delivery(msgspec.Struct, frozen=True):
    """How long events took from the sender's gateway to the sockets of another, or the same."""

    per_s: float
    p50_ms: float | None
    """None: nothing was delivered."""
    p95_ms: float | None
    p99_ms: float | None


class ProcessFigures(msgspec.Struct, frozen=True):
    """A process."""

    name: str
    role: str
    state: str
    ready: bool
    why: str
    cpu: float
    """The part of one core that it uses."""
    memory_bytes: float
    held: int
    live: int
    """Of a gateway: sessions with a connection."""
    away: int
    """Of a gateway: sessions without one, which can be resumed."""
    accepted_per_s: float
    delivery: Delivery
    written_per_s: float
    """Of a gateway: bytes that it gives to sockets."""
    loop_lag_ms: float
    """How late its event loop was at the last look."""


class PartitionFigures(msgspec.Struct, frozen=True):
    """A partition, as a group sees it."""

    topic: str
    number: int
    member: str | None
    lag: int
    lag_before: int
    """The lag at the first sample."""
    incoming_per_s: float
    """Records that are appended."""
    done_per_s: float
    """Records that the group has finished."""
    stayed: bool
    """Whether the same member has it as at the first sample."""


class MemberFigures(msgspec.Struct, frozen=True):
    """A member of a group."""

    name: str
    host: str
    partitions: tuple[str, ...]
    """`topic/0` each; none: the member is idle, for there are no more."""
    lag: int
    done_per_s: float


class GroupFigures(msgspec.Struct, frozen=True):
    """A consumer group."""

    name: str
    state: str
    lag: int
    incoming_per_s: float
    done_per_s: float
    behind_s: float | None
    """How long the group needs for its lag, at the rate at which it works; None: it does not get on."""
    members: tuple[MemberFigures, ...]
    partitions: tuple[PartitionFigures, ...]


class KafkaFigures(msgspec.Struct, frozen=True):
    """Kafka."""

    brokers: int
    partitions: int
    behind: int
    no_leader: int
    records_per_s: float
    """Appended to the topics that groups read."""


class RedisFigures(msgspec.Struct, frozen=True):
    """Redis."""

    memory_bytes: int
    most_bytes: int
    clients: int
    commands_per_s: float


class PostgresFigures(msgspec.Struct, frozen=True):
    """PostgreSQL."""

    connections: int
    commits_per_s: float
    rows_per_s: float
    stored_bytes: int


class Figures(msgspec.Struct, frozen=True):
    """A system over the time between two samples."""

    time: float
    """The time of day of the second, s since 1970."""
    over_s: float
    """How long after the first; 0: there was only one, and all rates are 0."""
    ready: bool
    """Whether each process and each store answers and works."""
    delivery: Delivery
    """Of all gateways together."""
    latency: tuple[tuple[float, float], ...]
    """How many events a second took no longer than so many seconds, and longer than the bound before; the last bound
    is infinite."""
    processes: tuple[ProcessFigures, ...]
    groups: tuple[GroupFigures, ...]
    kafka: KafkaFigures | None
    redis: RedisFigures | None
    postgres: PostgresFigures | None
    problems: dict[str, str]


class Window:
    """The samples of the last seconds: rates over several seconds are calmer than those from one to the next."""

    def __init__(self, over_s: float = 5.0) -> None:
        """Args: over_s: over how long rates are taken, once there are samples for it."""
        self._over_s = over_s
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> Figures:
        """Take the next sample."""
        samples = self._samples
        samples.append(sample)
        # The oldest one that is kept is as old as the window, or a little younger where samples came late.
        while len(samples) > 2 and sample.at_s - samples[1].at_s >= self._over_s:
            samples.popleft()
        return figures(samples[0], sample)


def figures(before: Sample, after: Sample) -> Figures:
    """The figures from two samples; the same sample twice gives rates of 0."""
    over_s = after.at_s - before.at_s
    was = {process.name: process for process in before.processes}
    grown = {one.name: _grown(was.get(one.name), one, over_s) for one in after.processes}
    processes = tuple(_process(grown[one.name], one, over_s) for one in after.processes)
    groups = tuple(
        _group(before.groups.get(name), group, over_s) for name, group in sorted(after.groups.items())
    )
    together: dict[float, float] = {}
    for one in grown.values():
        for bound, count in one.delivery.items():
            together[bound] = together.get(bound, 0.0) + count
    return Figures(
        time=after.time,
        over_s=over_s,
        ready=bool(processes) and all(one.ready for one in processes) and not after.problems,
        delivery=_delivery(together, over_s),
        latency=_latency(together, over_s),
        processes=processes,
        groups=groups,
        kafka=_kafka(after, groups),
        redis=_redis(before, after, over_s),
        postgres=_postgres(before, after, over_s),
        problems=after.problems,
    )


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The value below which a part of the observations is, as Prometheus's histogram_quantile works it out.

    Args:
        buckets: by upper bound, how many observations were not above it.
        part: from 0 to 1.

    Returns:
        None without an observation. Above the largest finite bound, that bound.

    """
    bounds = sorted(buckets)
    if not bounds or not (total := buckets[bounds[-1]]):
        return None
    rank = part * total
    below, lower = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return lower
            share = (rank - below) / (buckets[bound] - below) if buckets[bound] > below else 1.0
            return lower + (bound - lower) * share
        below, lower = buckets[bound], bound
    return lower


def _since(before: float, after: float) -> float:
    """By how much a counter has grown."""
    return after - before if after >= before else after


def _per_s(count: float, over_s: float) -> float:
    return count / over_s if over_s > 0 else 0.0


def _grown(was: Process | None, now: Process, over_s: float) -> Process:
    """A process whose counters say how much they have grown in `over_s`; it may have been asked at other moments."""
    if was is None or was.pid != now.pid:
        # It has begun meanwhile, with all counters at 0.
        was = Process(name=now.name, role=now.role, at_s=now.at_s)
    elif not was.cpu_s:
        was = now  # it did not answer: of how much its counters have grown nothing is known
    part = over_s / (now.at_s - was.at_s) if now.at_s > was.at_s else 1.0
    delivery = {
        bound: part * _since(was.delivery.get(bound, 0.0), count) for bound, count in now.delivery.items()
    }
    return msgspec.structs.replace(
        now,
        cpu_s=part * _since(was.cpu_s, now.cpu_s),
        accepted=part * _since(was.accepted, now.accepted),
        written_bytes=part * _since(was.written_bytes, now.written_bytes),
        delivery=delivery,
    )


def _process(grown: Process, now: Process, over_s: float) -> ProcessFigures:
    return ProcessFigures(
        name=now.name,
        role=now.role,
        state=now.state,
        ready=now.ready,
        why=now.why,
        cpu=_per_s(grown.cpu_s, over_s),
        memory_bytes=now.memory_bytes,
        held=now.held,
        live=now.live,
        away=now.away,
        accepted_per_s=_per_s(grown.accepted, over_s),
        delivery=_delivery(grown.delivery, over_s),
        written_per_s=_per_s(grown.written_bytes, over_s),
        loop_lag_ms=1000 * now.loop_lag_s,
    )


def _delivery(buckets: Mapping[float, float], over_s: float) -> Delivery:
    def ms(part: float) -> float | None:
        found = quantile(buckets, part)
        return None if found is None else found * 1000

    total = buckets[max(buckets)] if buckets else 0.0
    return Delivery(_per_s(total, over_s), ms(0.5), ms(0.95), ms(0.99))


def _latency(buckets: Mapping[float, float], over_s: float) -> tuple[tuple[float, float], ...]:
    found, below = [], 0.0
    for bound in sorted(buckets):
        found.append((bound, _per_s(buckets[bound] - below, over_s)))
        below = buckets[bound]
    return tuple(found)


def _group(before: Group | None, after: Group, over_s: float) -> GroupFigures:
    was = {part.key: part for part in before.partitions} if before else {}
    parts = {part.key: _partition(was.get(part.key, part), part, over_s) for part in after.partitions}
    members = tuple(
        MemberFigures(
            name=member.name,
            host=member.host,
            partitions=member.partitions,
            lag=sum(parts[key].lag for key in member.partitions if key in parts),
            done_per_s=sum(parts[key].done_per_s for key in member.partitions if key in parts),
        )
        for member in after.members
    )
    lag = sum(part.lag for part in parts.values())
    done = sum(part.done_per_s for part in parts.values())
    return GroupFigures(
        name=after.name,
        state=after.state,
        lag=lag,
        incoming_per_s=sum(part.incoming_per_s for part in parts.values()),
        done_per_s=done,
        behind_s=lag / done if done else None if lag else 0.0,
        members=members,
        partitions=tuple(parts.values()),
    )


def _partition(before: Partition, after: Partition, over_s: float) -> PartitionFigures:
    done = (after.committed or 0) - (before.committed or 0) if before.committed is not None else 0
    return PartitionFigures(
        topic=after.topic,
        number=after.number,
        member=after.member,
        lag=after.lag,
        lag_before=before.lag,
        incoming_per_s=_per_s(max(after.end - before.end, 0), over_s),
        done_per_s=_per_s(max(done, 0), over_s),
        stayed=before.member == after.member,
    )


def _kafka(after: Sample, groups: tuple[GroupFigures, ...]) -> KafkaFigures | None:
    if after.kafka is None:
        return None
    appended = {
        (part.topic, part.number): part.incoming_per_s for group in groups for part in group.partitions
    }
    facts = after.kafka
    return KafkaFigures(
        facts.brokers, facts.partitions, facts.behind, facts.no_leader, sum(appended.values())
    )


def _redis(before: Sample, after: Sample, over_s: float) -> RedisFigures | None:
    now, was = after.redis, before.redis or after.redis
    if now is None or was is None:
        return None
    commands = _per_s(_since(was.commands, now.commands), now.at_s - was.at_s or over_s)
    return RedisFigures(now.memory_bytes, now.most_bytes, now.clients, commands)


def _postgres(before: Sample, after: Sample, over_s: float) -> PostgresFigures | None:
    now, was = after.postgres, before.postgres or after.postgres
    if now is None or was is None:
        return None
    over_s = now.at_s - was.at_s or over_s
    commits = _per_s(_since(was.commits, now.commits), over_s)
    return PostgresFigures(
        now.connections, commits, _per_s(_since(was.rows, now.rows), over_s), now.stored_bytes
    )
