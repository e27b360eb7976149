"""The alerts: what wakes somebody, when, and what to do then. Pure.

Each has its section in docs/operations.md, "Alerts". `page` wakes somebody, `ticket` waits for the morning.
"""

from typing import Any, Final, NamedTuple

__all__ = ["ALERTS", "DRAIN_EACH_S", "DRAIN_SPARE_S", "FOREIGN", "Alert", "rules"]

DRAIN_SPARE_S: Final = 5
"""A gateway that has asked its clients to reconnect waits a little for them to close by themselves."""
DRAIN_EACH_S: Final = 10
"""How often it is looked whether one takes longer: the moment for that is short."""

FOREIGN: Final = frozenset({
    "redis_memory_used_bytes", "redis_memory_max_bytes", "up",
    "process_resident_memory_bytes", "process_cpu_seconds_total",
})  # fmt: skip
"""What others define: the exporter of Redis, Prometheus itself, and its client library for each process."""


class Alert(NamedTuple):
    """One of them."""

    name: str
    expression: str
    wait: str
    severity: str
    says: str
    each: str = ""
    """How often it is evaluated; empty: as often as all are by default."""


ALERTS: Final = (
    Alert(
        "FanfareDown",
        'up{job=~".*fanfare.*"} == 0',
        "2m",
        "page",
        "{{ $labels.instance }} does not answer Prometheus.",
    ),
    Alert(
        "FanfareLagAge",
        # What waits, over what is done in a second: how old the newest record will be when its turn comes.
        "sum by (group) (fanfare_lag_records) / sum by (group) (rate(fanfare_consumed_records_total[5m])) > 30",
        "3m",
        "page",
        "Group {{ $labels.group }} is {{ $value | humanizeDuration }} behind.",
    ),
    Alert(
        "FanfareGroupStuck",
        "sum by (group) (fanfare_lag_records) > 0"
        " and sum by (group) (increase(fanfare_consumed_records_total[5m])) == 0",
        "2m",
        "page",
        "Group {{ $labels.group }} has {{ $value }} records before it and handles none.",
    ),
    Alert(
        "FanfareHeldPartitions",
        "sum by (group, reason) (fanfare_held_partitions) > 0",
        "2m",
        "page",
        "Group {{ $labels.group }} holds {{ $value }} partitions: {{ $labels.reason }}.",
    ),
    Alert(
        "FanfareDeadLetters",
        "sum by (group, topic) (increase(fanfare_dead_letters_total[15m])) > 0",
        "0m",
        "ticket",
        "Group {{ $labels.group }} set records of {{ $labels.topic }} aside.",
    ),
    Alert(
        "FanfareSlowCloses",
        'sum(rate(fanfare_gateway_closes_total{code="4000"}[5m]))'
        " > 0.01 * clamp_min(sum(fanfare_gateway_connections), 100)",
        "5m",
        "ticket",
        "{{ $value | humanize }} websockets a second are closed as too slow, or by errors.",
    ),
    Alert(
        "FanfareLoopLag",
        "avg_over_time(fanfare_loop_lag_seconds[2m]) > 0.25",
        "3m",
        "page",
        "The loop of {{ $labels.instance }} is {{ $value | humanizeDuration }} late.",
    ),
    Alert(
        "FanfareDrainOverrun",
        # Between the end of a process's own window and its grace: after that kubelet has killed it, and nobody is told.
        f"time() - (fanfare_drain_until_seconds > 0) > {DRAIN_SPARE_S}",
        "0m",
        "ticket",
        "{{ $labels.instance }} still runs {{ $value | humanizeDuration }} after its window to drain.",
        f"{DRAIN_EACH_S}s",
    ),
    Alert(
        "FanfareRefusedSends",
        'sum(rate(fanfare_ingress_answers_total{answer!="accepted"}[5m]))'
        " > 0.05 * sum(rate(fanfare_ingress_answers_total[5m]))",
        "3m",
        "page",
        "{{ $value | humanize }} sends a second are not accepted.",
    ),
    Alert(
        "FanfareRedisMemory",
        "redis_memory_used_bytes / (redis_memory_max_bytes > 0) > 0.8",
        "5m",
        "page",
        "Redis uses {{ $value | humanizePercentage }} of its memory; at all of it, it takes no writes.",
    ),
)


def rules() -> dict[str, Any]:
    """The rules as Prometheus reads them; the object of its operator has the same as its spec."""
    groups = [
        {
            "name": f"fanfare-each-{each}" if each else "fanfare",
            **({"interval": each} if each else {}),
            "rules": [_rule(one) for one in ALERTS if one.each == each],
        }
        for each in dict.fromkeys(one.each for one in ALERTS)
    ]
    return {"groups": groups}


def _rule(one: Alert) -> dict[str, Any]:
    return {
        "alert": one.name,
        "expr": one.expression,
        "for": one.wait,
        "labels": {"severity": one.severity},
        "annotations": {"summary": one.says, "runbook": f"docs/operations.md#{one.name.lower()}"},
    }
