"""What a system looked like at one moment: counters as they stood, nothing worked out yet."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

__all__ = [
    "WANTED",
    "Group",
    "Kafka",
    "Member",
    "Partition",
    "Postgres",
    "Process",
    "Redis",
    "Sample",
    "group_of",
    "measured",
]

_DELIVERY: Final = "fanfare_delivery_seconds_bucket"
WANTED: Final = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "fanfare_gateway_sessions",
    "fanfare_ingress_answers_total",
    "fanfare_gateway_written_bytes_total",
    "fanfare_held_partitions",
    "fanfare_loop_lag_seconds",
    _DELIVERY,
)
"""What is asked of a process's metrics."""


# Of every process the same few.
_bound = lru_cache(maxsize=256)(float)


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process, as the supervisor sees it and as it answers."""

    name: str
    role: str
    pid: int | None = None
    state: str = ""
    ready: bool = False
    why: str = ""
    """Why it is not ready, or ''."""
    at_s: float = 0.0
    """When it was asked, by the clock of the sample's `at_s`."""
    cpu_s: float = 0.0
    """CPU time used since it began."""
    memory_bytes: float = 0.0
    live: int = 0
    """Sessions with a connection; of a gateway."""
    away: int = 0
    """Sessions without one, which can be resumed."""
    accepted: float = 0.0
    """Sends that it has accepted."""
    written_bytes: float = 0.0
    """Of a gateway: bytes of frames that it has given to sockets."""
    loop_lag_s: float = 0.0
    """How late its event loop was at the last look."""
    held: int = 0
    """Partitions that wait for something to be mended."""
    delivery: dict[float, float] = {}
    """Events by how many seconds they took from the sender's gateway to the sockets of this one: upper bound of the
    bucket, and how many took no longer than that."""


class Member(msgspec.Struct, frozen=True):
    """A member of a consumer group."""

    name: str
    """Its client id; made different where several have the same."""
    host: str
    partitions: tuple[str, ...]
    """`topic/0` each."""


class Partition(msgspec.Struct, frozen=True):
    """A partition that a group reads."""

    topic: str
    number: int
    committed: int | None
    """The offset up to which the group is done; None: it has committed none."""
    end: int
    """The offset that the next record will get."""
    lag: int
    """Records that are not done."""
    member: str | None
    """The member that has it."""

    @property
    def key(self) -> str:
        """`topic/0`."""
        return f"{self.topic}/{self.number}"


class Group(msgspec.Struct, frozen=True):
    """A consumer group."""

    name: str
    state: str
    """As Kafka calls it: Stable, PreparingRebalance, CompletingRebalance, Empty, Dead."""
    members: tuple[Member, ...]
    partitions: tuple[Partition, ...]


class Kafka(msgspec.Struct, frozen=True):
    """Kafka at a glance."""

    brokers: int
    partitions: int
    """Of this installation's topics."""
    behind: int
    """Partitions of which a replica is not in sync."""
    no_leader: int
    """Partitions that nobody can write to or read."""


class Redis(msgspec.Struct, frozen=True):
    """Redis at a glance."""

    memory_bytes: int
    most_bytes: int
    """Its `maxmemory`; 0: none."""
    clients: int
    commands: int
    """Since it began."""
    at_s: float = 0.0
    """When it was asked, by the clock of the sample's `at_s`."""


class Postgres(msgspec.Struct, frozen=True):
    """PostgreSQL at a glance."""

    connections: int
    commits: int
    """Since its statistics began."""
    rows: int
    """Inserted, since its statistics began."""
    stored_bytes: int
    """Size of the database."""
    at_s: float = 0.0
    """When it was asked, by the clock of the sample's `at_s`."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A system at one moment."""

    at_s: float
    """By a clock that never steps: only differences mean something."""
    time: float
    """The time of day, s since 1970."""
    processes: tuple[Process, ...] = ()
    groups: dict[str, Group] = {}
    kafka: Kafka | None = None
    """None: it does not answer; `problems` says how."""
    redis: Redis | None = None
    postgres: Postgres | None = None
    problems: dict[str, str] = {}
    """For each of `kafka`, `redis` and `postgres` that does not answer, why."""


def group_of(name: str, facts: Mapping[str, Any]) -> Group:
    """A group, from what `describe_groups` says of it."""
    clients = [member["client"] for member in facts["members"]]
    members: list[Member] = []
    for member in facts["members"]:
        called = member["client"]
        if clients.count(called) > 1:
            called = f"{called}@{member['host']}"
            taken = sum(one.name.startswith(called) for one in members)
            called += f"#{taken + 1}" if taken else ""
        members.append(Member(called, member["host"], tuple(member["partitions"])))
    owners = {key: member.name for member in members for key in member.partitions}
    partitions = []
    for key, part in facts["partitions"].items():
        topic, _, number = key.rpartition("/")
        partitions.append(
            Partition(topic, int(number), part["committed"], part["end"], part["lag"], owners.get(key))
        )
    return Group(name, facts["state"], tuple(members), tuple(partitions))


def measured(samples: Iterable[tuple[str, Mapping[str, str], float]]) -> dict[str, Any]:
    """The fields of a `Process` that its metrics hold. Args: samples: name, labels and value of each."""
    sums: dict[str, float] = {}
    delivery: dict[float, float] = {}
    for called, labels, value in samples:
        if called == _DELIVERY:
            delivery[_bound(labels["le"])] = value
        else:
            name = f"{called} {labels.get('state') or labels.get('answer') or ''}".rstrip()
            sums[name] = sums.get(name, 0.0) + value
    return {
        "cpu_s": sums.get("process_cpu_seconds_total", 0.0),
        "memory_bytes": sums.get("process_resident_memory_bytes", 0.0),
        "live": int(sums.get("fanfare_gateway_sessions live", 0)),
        "away": int(sums.get("fanfare_gateway_sessions away", 0)),
        "accepted": sums.get("fanfare_ingress_answers_total accepted", 0.0),
        "written_bytes": sums.get("fanfare_gateway_written_bytes_total", 0.0),
        "loop_lag_s": sums.get("fanfare_loop_lag_seconds", 0.0),
        "held": int(sums.get("fanfare_held_partitions", 0)),
        "delivery": delivery,
    }
