"""Metrics that the services share. One registry per process; every name begins with `fanfare_`.

A service defines its own next to its code, in the same `REGISTRY`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

__all__ = ["REGISTRY", "Measured", "exposition", "samples"]

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
_PROCESS: Final = ProcessCollector(registry=REGISTRY)
for _collector in (PlatformCollector, GCCollector):
    _collector(registry=REGISTRY)

# Seconds; from a hop on one machine to an outage.
LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

STATE = Gauge("fanfare_state", "1 for the state that the process is in.", ["state"], registry=REGISTRY)
DRAIN_UNTIL = Gauge(
    "fanfare_drain_until_seconds",
    "When a process that was told to stop is to be done with it, in seconds since 1970; 0 before.",
    registry=REGISTRY,
)
LOOP_LAG = Gauge("fanfare_loop_lag_seconds", "How late the event loop's last tick was.", registry=REGISTRY)

# The consume loop.
RECORDS = Counter("fanfare_consumed_records", "Records handled.", ["group", "topic"], registry=REGISTRY)
BATCHES = Counter("fanfare_consumed_batches", "Batches handled.", ["group", "topic"], registry=REGISTRY)
BATCH_SIZE = Histogram(
    "fanfare_consumed_batch_size", "Records in a batch.", ["group"], buckets=SIZE_BUCKETS, registry=REGISTRY
)
HANDLE_SECONDS = Histogram(
    "fanfare_handle_seconds",
    "How long a batch took, retries included.",
    ["group"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
RETRIES = Counter(
    "fanfare_batch_retries",
    "Tries of a batch that failed. outage: something it needs was away. error: anything else.",
    ["group", "kind"],
    registry=REGISTRY,
)
HELD = Gauge(
    "fanfare_held_partitions",
    "Partitions that wait for something to be mended, by what is wrong.",
    ["group", "reason"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "fanfare_dead_letters", "Records moved to the dead letters.", ["group", "topic"], registry=REGISTRY
)
SKIPPED = Counter(
    "fanfare_skipped_records", "Records deleted before they were read.", ["group", "topic"], registry=REGISTRY
)
COMMITS = Counter("fanfare_commits", "Commits of a consumer.", ["group", "outcome"], registry=REGISTRY)
REBALANCES = Counter(
    "fanfare_rebalances", "Times that partitions were assigned.", ["group"], registry=REGISTRY
)
ASSIGNED = Gauge(
    "fanfare_assigned_partitions", "Partitions that this member has.", ["group"], registry=REGISTRY
)
LAG = Gauge(
    "fanfare_lag_records",
    "Records in the log that this member has not finished, as of its last fetch.",
    ["group", "topic", "partition"],
    registry=REGISTRY,
)

# The producer.
PRODUCED = Counter("fanfare_produced_records", "Records acknowledged by Kafka.", ["topic"], registry=REGISTRY)
PRODUCE_FAILED = Counter(
    "fanfare_produce_failures", "Records that Kafka did not acknowledge.", ["topic"], registry=REGISTRY
)
PRODUCE_REFUSED = Counter(
    "fanfare_produce_refused",
    "Records never handed over, because Kafka was away or too much waited.",
    registry=REGISTRY,
)
PRODUCE_SECONDS = Histogram(
    "fanfare_produce_seconds",
    "From handing over to the acknowledgement.",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
UNACKNOWLEDGED = Gauge(
    "fanfare_unacknowledged_bytes", "Bytes handed over and not acknowledged.", registry=REGISTRY
)
BROKER_CLOCK = Gauge(
    "fanfare_broker_clock_ahead_seconds",
    "How far a broker's clock was ahead of ours at the last acknowledgement.",
    registry=REGISTRY,
)


Measured = tuple[str, Mapping[str, str], float]
"""One value: its name, its labels, and what it is."""


def samples(names: Sequence[str]) -> list[Measured]:
    """What some of the metrics say, without working the others out."""
    chosen = REGISTRY.restricted_registry(names)
    # The registry does not know what the collector of the process tells of.
    families = itertools.chain(chosen.collect(), _PROCESS.collect())
    return [
        (one.name, one.labels, one.value)
        for family in families
        for one in family.samples
        if one.name in names
    ]


def exposition() -> bytes:
    """The metrics in Prometheus's text format."""
    return generate_latest(REGISTRY)
