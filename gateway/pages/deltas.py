"""What of a system's figures a watcher is sent: only the rows that have changed. Pure."""

import math
from typing import Any

__all__ = ["Tables", "changes", "tables"]

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]
"""Tables of rows, by the names of the tables and of the rows."""


def tables(figures: dict[str, Any]) -> Tables:
    """The figures of `fanfare.observe` (as JSON has them) as tables, rounded to what an eye can tell apart."""
    partitions = {
        f"{group['name']} {part['topic']}/{part['number']}": {
            "group": group["name"],
            "topic": part["topic"],
            "number": part["number"],
            "owner": part["member"] or "",
            "lag": part["lag"],
            "incoming": _round(part["incoming_per_s"]),
            "done": _round(part["done_per_s"]),
        }
        for group in figures["groups"]
        for part in group["partitions"]
    }
    processes = {
        one["name"]: {
            "role": one["role"],
            "state": "ready" if one["ready"] else one["why"] or one["state"] or "does not answer",
            "ready": one["ready"],
            "cpu": _round(one["cpu"] * 100),
            "memory": round(one["memory_bytes"] / 1_000_000),
            "sessions": one["live"],
            "away": one["away"],
            "held": one["held"],
            "accepted": _round(one["accepted_per_s"]),
            "written": _round(one["written_per_s"]),
            # Tenths of a millisecond would make every row another one each second.
            "loop": round(one["loop_lag_ms"]),
            **_delivery(one["delivery"]),
        }
        for one in figures["processes"]
    }
    stores = {
        name: {fact: _round(value) for fact, value in figures[name].items()}
        for name in ("kafka", "redis", "postgres")
        if figures[name] is not None
    }
    groups = {
        group["name"]: {
            "state": group["state"],
            "lag": group["lag"],
            "incoming": _round(group["incoming_per_s"]),
            "done": _round(group["done_per_s"]),
            "members": len(group["members"]),
            "idle": sum(not member["partitions"] for member in group["members"]),
        }
        for group in figures["groups"]
    }
    system = {
        "delivery": _delivery(figures["delivery"]),
        "problems": dict(figures["problems"]),
    }
    return {
        "partitions": partitions,
        "processes": processes,
        "groups": groups,
        "stores": stores,
        "system": system,
        "latency": _latency(figures["latency"]),
    }


def changes(before: Tables, after: Tables) -> dict[str, Any]:
    """What makes `before` into `after`: rows to set, and the names of rows that are gone, by table."""
    put = {
        table: {name: row for name, row in rows.items() if before.get(table, {}).get(name) != row}
        for table, rows in after.items()
    }
    gone = {
        table: [name for name in rows if name not in after.get(table, {})] for table, rows in before.items()
    }
    return {
        "set": {table: rows for table, rows in put.items() if rows},
        "gone": {table: names for table, names in gone.items() if names},
    }


def _latency(buckets: list[list[float | None]]) -> dict[str, Row]:
    """Rows by how long; JSON has no infinite number."""
    rows: dict[str, Row] = {}
    longest = 0.0
    for order, (bound, per_s) in enumerate(buckets):
        endless = bound is None or math.isinf(bound)
        name = f"longer than {_ms(longest)}" if endless else _ms(bound or 0.0)
        rows[name] = {"order": order, "per_s": _round(per_s)}
        longest = longest if endless else bound or 0.0
    return rows


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _delivery(found: dict[str, Any]) -> Row:
    return {
        "delivered": _round(found["per_s"]),
        "p50": _round(found["p50_ms"]),
        "p95": _round(found["p95_ms"]),
        "p99": _round(found["p99_ms"]),
    }


def _round(value: float | None) -> float | None:
    """Three digits."""
    return None if value is None else float(f"{value:.3g}") if value % 1 else value
