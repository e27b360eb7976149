"""Grafana's dashboards, made from a table of panels. Pure."""

from typing import Any, Final, NamedTuple

__all__ = ["DASHBOARDS", "Panel", "dashboard"]


class Panel(NamedTuple):
    """A graph."""

    title: str
    unit: str
    """As Grafana names it."""
    queries: tuple[tuple[str, str], ...]
    """Expressions, and what each line is called."""


def _quantiles(metric: str, *by: str) -> tuple[tuple[str, str], ...]:
    labels = ", ".join(("le", *by))
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    return tuple(
        (
            f"histogram_quantile({part}, sum by ({labels}) (rate({metric}_bucket[5m])))",
            f"{name} {names}".strip(),
        )
        for part, name in ((0.5, "p50"), (0.99, "p99"))
    )


DASHBOARDS: Final[dict[str, tuple[Panel, ...]]] = {
    "Fanfare: the way of an event": (
        Panel("Sends by answer", "reqps", (
            ("sum by (answer) (rate(fanfare_ingress_answers_total[1m]))", "{{answer}}"),
        )),
        Panel("Records handled", "ops", (
            ("sum by (group) (rate(fanfare_consumed_records_total[1m]))", "{{group}}"),
        )),
        Panel("Lag", "short", (("sum by (group) (fanfare_lag_records)", "{{group}}"),)),
        Panel("Lag as time", "s", (
            (
                (
                    "sum by (group) (fanfare_lag_records)"
                    " / sum by (group) (rate(fanfare_consumed_records_total[5m]))"
                ),
                "{{group}}",
            ),
        )),
        Panel("A batch takes", "s", _quantiles("fanfare_handle_seconds", "group")),
        Panel("Until Kafka acknowledges", "s", _quantiles("fanfare_produce_seconds")),
        Panel("Held partitions", "short", (
            ("sum by (group, reason) (fanfare_held_partitions)", "{{group}} {{reason}}"),
        )),
        Panel("Dead letters", "ops", (
            ("sum by (group, topic) (rate(fanfare_dead_letters_total[5m]))", "{{group}} {{topic}}"),
        )),
        Panel("Entries appended to inboxes", "ops", (
            ("sum(rate(fanfare_inbox_entries_total[1m]))", "appended"),
            ("sum(rate(fanfare_inbox_repeated_total[1m]))", "dropped as repeated"),
        )),
        Panel("Rebalances", "ops", (("sum by (group) (rate(fanfare_rebalances_total[5m]))", "{{group}}"),)),
    ),
    "Fanfare: gateways": (
        Panel("Connections", "short", (("fanfare_gateway_connections", "{{instance}}"),)),
        Panel("Sessions", "short", (("sum by (state) (fanfare_gateway_sessions)", "{{state}}"),)),
        Panel("Starts and resumes", "ops", (
            ("sum(rate(fanfare_gateway_identifies_total[1m]))", "identify"),
            ("sum by (way) (rate(fanfare_gateway_resumes_total[1m]))", "resume: {{way}}"),
        )),
        Panel("From RESUME to RESUMED", "s", _quantiles("fanfare_gateway_resume_seconds", "way")),
        Panel("Refused resumes", "ops", (
            ("sum by (why) (rate(fanfare_gateway_invalid_sessions_total[5m]))", "{{why}}"),
        )),
        Panel("Closed by the node", "ops", (
            ("sum by (code) (rate(fanfare_gateway_closes_total[5m]))", "{{code}}"),
        )),
        Panel("Cut before identifying", "ops", (
            ("sum by (port, why) (rate(fanfare_connections_cut_total[5m]))", "{{port}} {{why}}"),
        )),
        Panel("Loop lag", "s", (("fanfare_loop_lag_seconds", "{{instance}}"),)),
        Panel("Memory", "bytes", (("process_resident_memory_bytes", "{{instance}}"),)),
        Panel("CPU", "percentunit", (("rate(process_cpu_seconds_total[1m])", "{{instance}}"),)),
    ),
}  # fmt: skip


def dashboard(title: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "uid": title.lower().replace(":", "").replace(" ", "-"),
        "title": title,
        "tags": ["fanfare"],
        "timezone": "utc",
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "gridPos": {"x": number % 2 * 12, "y": number // 2 * 8, "w": 12, "h": 8},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "targets": [
                    {
                        "refId": chr(ord("A") + at),
                        "datasource": source,
                        "expr": expression,
                        "legendFormat": legend,
                    }
                    for at, (expression, legend) in enumerate(panel.queries)
                ],
            }
            for number, panel in enumerate(DASHBOARDS[title])
        ],
    }
