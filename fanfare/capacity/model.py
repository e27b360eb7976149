"""What a load needs. Pure: unit costs and a load in, a plan out.

Each Python process and Redis use one core at the most; a broker and PostgreSQL use more than one. Gateways and workers
are added until each is busy for at most `BUSY` of a second per second; what cannot be added to is where it ends.
Guilds count as equally large: people in larger ones hear more, which is what `--guilds-per-user` is for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fanfare.capacity.units import Service, Units
from fanfare.constants import INBOX_CAP_ENTRIES

__all__ = ["BUSY", "Flow", "Load", "Part", "Plan", "nodes_of_a_guild", "plan", "seconds"]

# How busy a process may be on the average: above it, waiting times grow fast.
BUSY: Final = 0.6
_LEAST_PARTITIONS: Final = 8
_MOST_NODES: Final = 1 << 20
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for."""

    users: float
    guilds: float
    msgs_per_s: float
    online: float = 0.2
    """The part of the users that is online at the peak."""
    guilds_per_user: float = 5.0
    node_bytes: float = 2e9
    """Memory that a gateway may use."""
    kafka_cores: float = 6.0
    """Of all brokers together."""
    postgres_cores: float = 4.0
    replicas: int = 3

    @property
    def sessions(self) -> float:
        """Sessions at the peak, one for each user who is online."""
        return self.users * self.online

    @property
    def audience(self) -> float:
        """How many sessions are in the guild of a message."""
        return self.users * self.guilds_per_user / self.guilds * self.online


@dataclass(frozen=True, slots=True)
class Flow:
    """What goes through a system in a second."""

    messages: float
    deliveries: float
    """Frames written to sockets."""
    appends: float
    """Messages times the nodes that each goes to."""
    partitions: int
    archived: bool = True
    elsewhere: float = 0.0
    """Appends to nodes whose gateways are not counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of process in a plan."""

    name: str
    count: int
    """Processes; of a store, what was given."""
    cpu_s: float
    """CPU-seconds a second, of all together."""
    cores: float
    """Cores that all together can use."""
    grows: bool
    """Whether more of it help."""

    @property
    def busy(self) -> float:
        """The part of its cores that is used."""
        return self.cpu_s / self.cores


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs."""

    parts: tuple[Part, ...]
    partitions: int
    flow: Flow
    sessions_per_node: float
    node_bytes: float
    redis_bytes: float
    """Registrations, and inboxes as full as they get; not nonces and recent messages."""
    client_bytes_per_s: float
    """To all clients."""
    kafka_bytes_per_s: float
    """Into the logs, all replicas."""
    log_bytes: float
    """Of a day's messages in chat.events and an hour's in chat.deliveries, at this rate, all replicas."""
    row_bytes_per_day: float

    @property
    def first(self) -> Part:
        """What saturates first when the load grows and gateways and workers are added."""
        return max((part for part in self.parts if not part.grows), key=lambda part: part.busy)

    @property
    def ceiling(self) -> float:
        """Messages a second at which it does."""
        return self.flow.messages / self.first.busy if self.first.busy else math.inf

    def part(self, name: str) -> Part:
        """The part of that name."""
        return next(part for part in self.parts if part.name == name)


def nodes_of_a_guild(nodes: int, audience: float) -> float:
    """On how many nodes, on the average, a guild with so many sessions is; they choose nodes at random."""
    if nodes == 1:
        return min(1.0, audience)
    return min(float(nodes) * -math.expm1(audience * math.log1p(-1.0 / nodes)), audience)


def seconds(units: Units, flow: Flow, counts: Mapping[str, int]) -> dict[str, float]:
    """CPU-seconds that each kind of process uses in a second.

    Args:
        units: unit costs.
        flow: what goes through.
        counts: how many there are of each kind; one of those not named.

    """
    gateway = units.gateway
    found = {
        "gateway": counts.get("gateway", 1) * gateway.idle_us
        + flow.messages * gateway.message_us
        + (flow.appends - flow.elsewhere) * gateway.entry_us
        + flow.deliveries * gateway.delivery_us
    }
    # What comes while a partition's batch is under way is in the next one.
    batches = flow.messages / (1 + flow.messages / flow.partitions * units.cycle_s)
    for name in ("fanout", "notifier", "archiver", "redis", "kafka", "postgres"):
        unit: Service = getattr(units, name)
        busy = flow.archived or name not in {"archiver", "postgres"}
        found[name] = counts.get(name, 1) * unit.idle_us + busy * (
            batches * unit.batch_us + flow.messages * unit.message_us + flow.appends * unit.append_us
        )
    return {name: value / 1e6 for name, value in found.items()}


def plan(load: Load, units: Units) -> Plan:
    """What the load needs."""
    nodes, flow = _nodes(load, units)
    partitions = _LEAST_PARTITIONS
    while True:
        flow = Flow(flow.messages, flow.deliveries, flow.appends, partitions)
        counts = {"gateway": nodes} | _workers(units, flow)
        # Twice as many as the workers that share them, so that they share evenly.
        if partitions >= 2 * max(counts["fanout"], counts["notifier"], counts["archiver"]):
            break
        partitions *= 2
    used = seconds(units, flow, counts)
    cores = {"redis": 1.0, "kafka": load.kafka_cores, "postgres": load.postgres_cores}
    parts = [Part(name, counts[name], used[name], float(counts[name]), grows=True) for name in counts]
    parts += [Part(name, 1, used[name], each, grows=False) for name, each in cores.items()]
    logged = load.msgs_per_s * units.log_bytes * load.replicas
    return Plan(
        parts=tuple(parts),
        partitions=partitions,
        flow=flow,
        sessions_per_node=load.sessions / nodes,
        node_bytes=units.gateway.base_bytes + load.sessions / nodes * units.gateway.session_bytes,
        redis_bytes=load.sessions * units.registration_bytes + nodes * INBOX_CAP_ENTRIES * units.entry_bytes,
        client_bytes_per_s=flow.deliveries * units.frame_bytes,
        kafka_bytes_per_s=logged,
        log_bytes=logged / 2 * (_DAY_S + 3600),
        row_bytes_per_day=load.msgs_per_s * units.row_bytes * _DAY_S,
    )


def _workers(units: Units, flow: Flow) -> dict[str, int]:
    """How many of each worker; each of them is idle for itself."""
    used = seconds(units, flow, dict.fromkeys(("fanout", "notifier", "archiver"), 0))
    found = {}
    for name in ("fanout", "notifier", "archiver"):
        unit: Service = getattr(units, name)
        found[name] = max(1, math.ceil(used[name] / (BUSY - unit.idle_us / 1e6)))
    return found


def _nodes(load: Load, units: Units) -> tuple[int, Flow]:
    """The fewest gateways that have the memory and the time, and what goes through them."""

    def flow(nodes: int) -> Flow:
        appends = load.msgs_per_s * nodes_of_a_guild(nodes, load.audience)
        deliveries = load.msgs_per_s * load.audience
        return Flow(load.msgs_per_s, deliveries, appends, _LEAST_PARTITIONS)

    def enough(nodes: int) -> bool:
        each = units.gateway.base_bytes + load.sessions / nodes * units.gateway.session_bytes
        busy = seconds(units, flow(nodes), {"gateway": nodes})["gateway"] / nodes
        return each <= load.node_bytes and busy <= BUSY

    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST_NODES:
            raise ValueError(
                "no number of gateways is enough: a message a second costs each of them too much"
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high, flow(high)
