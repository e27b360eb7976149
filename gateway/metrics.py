"""What a gateway counts."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from fanfare.telemetry.metrics import LATENCY_BUCKETS, REGISTRY

__all__ = [
    "CLOSES",
    "CONNECTIONS",
    "CUT",
    "DELIVERY_SECONDS",
    "ENTRIES",
    "FENCE_RECORDS",
    "INVALID",
    "RESUMES",
    "RESUME_SECONDS",
    "SESSIONS",
    "STARTS",
    "UNIDENTIFIED",
    "WRITTEN",
]

CONNECTIONS: Final = Gauge("fanfare_gateway_connections", "Open websockets.", registry=REGISTRY)
CLOSES: Final = Counter(
    "fanfare_gateway_closes",
    "Websockets that this node closed, by close code; 4000: the client was too slow, or something failed here.",
    ["code"],
    registry=REGISTRY,
)
UNIDENTIFIED: Final = Gauge(
    "fanfare_unidentified_connections",
    "Connections of a public port that have not identified.",
    ["port"],
    registry=REGISTRY,
)
CUT: Final = Counter(
    "fanfare_connections_cut",
    "Connections that were cut because they cost too much, or took too long.",
    ["port", "why"],
    registry=REGISTRY,
)
SESSIONS: Final = Gauge(
    "fanfare_gateway_sessions", "Sessions held, live and away.", ["state"], registry=REGISTRY
)
STARTS: Final = Counter("fanfare_gateway_identifies", "Sessions started.", registry=REGISTRY)
RESUMES: Final = Counter(
    "fanfare_gateway_resumes",
    "Sessions resumed: from the ring, the stream or another inbox.",
    ["way"],
    registry=REGISTRY,
)
INVALID: Final = Counter(
    "fanfare_gateway_invalid_sessions",
    "Resumes refused: told that the session is not whole.",
    ["why"],
    registry=REGISTRY,
)
RESUME_SECONDS: Final = Histogram(
    "fanfare_gateway_resume_seconds",
    "From RESUME to RESUMED.",
    ["way"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
ENTRIES: Final = Counter("fanfare_gateway_entries", "Inbox entries taken.", registry=REGISTRY)
DELIVERY_SECONDS: Final = Histogram(
    "fanfare_delivery_seconds",
    "From when a gateway took an event to when this one had written it to its sockets.",
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
FENCE_RECORDS: Final = Counter("fanfare_gateway_fence_records", "Fence records produced.", registry=REGISTRY)


class _Written(Collector):
    """Counts without the four calls that a Counter takes: they cost as much as a write to a few sockets."""

    def __init__(self) -> None:
        self.bytes = 0

    @override
    def collect(self) -> Iterable[Metric]:
        said = "Bytes of frames given to sockets."
        yield CounterMetricFamily("fanfare_gateway_written_bytes", said, value=self.bytes)

    describe = collect


WRITTEN: Final = _Written()
REGISTRY.register(WRITTEN)
