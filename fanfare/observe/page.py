"""The page of `fanfare top`: figures as lines of text. Pure.

Of each group the page shows a table: a row for each member, a column for each partition, and in the cell how far the
member is behind there. So a partition that goes to another member moves from one row to the next.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from fanfare.observe.figures import Figures, GroupFigures, PartitionFigures, ProcessFigures

__all__ = ["amount", "page", "size"]

_LABEL: Final = 18
_CELL: Final = 5
_RATE: Final = 10
# Offsets are committed once a second, so a lag of what comes in that time says nothing; twice that is on the safe side.
_CALM_S: Final = 2.0
_LATE_S: Final = 10.0
# In the order in which an event passes them.
_ORDER: Final = ("fanout", "notifier", "archiver")


def page(seen: Figures, width: int = 80, *, every_topic: bool = False, dot: str = "·") -> list[Text]:
    """The lines of the page, none longer than `width` if that is 60 or more.

    Args:
        seen: what is shown.
        width: columns of the terminal.
        every_topic: also topics in which nothing happens.
        dot: what a cell shows where the member does not have the partition.

    """
    lines = [*_head(seen, width)]
    for group in sorted(seen.groups, key=_place):
        lines += [Text(), *_group(group, width, every_topic=every_topic, dot=dot)]
    lines += [Text(), *_gateways(seen)]
    lines += [Text(), *_stores(seen)]
    lines += _troubles(seen)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def amount(value: float) -> str:
    """A number in four characters or less: 950, 9999, 12k, 3.4M."""
    if value < 9.95 and value != int(value):
        return f"{value:.1f}"
    if round(value) < 10_000:
        return f"{value:.0f}"
    for unit in "kMG":
        value /= 1000
        if value < 9.95 and unit != "k":
            return f"{value:.1f}{unit}"
        if round(value) < 1000:
            return f"{value:.0f}{unit}"
    return f"{value:.0f}G"


def size(count: float) -> str:
    """Bytes for people: 12 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _place(group: GroupFigures) -> tuple[int, str]:
    return _ORDER.index(group.name) if group.name in _ORDER else len(_ORDER), group.name


def _head(seen: Figures, width: int) -> Iterable[Text]:
    at = f"{datetime.fromtimestamp(seen.time, UTC).astimezone():%H:%M:%S}"
    state = ("ready", "bold green") if seen.ready else ("not ready", "bold red")
    line = Text.assemble(("fanfare", "bold"), "  ", state)
    right = f"{at}, over {seen.over_s:.0f} s"
    line.append(" " * max(width - len(line) - len(right), 2) + right, "dim")
    yield line
    accepted = sum(process.accepted_per_s for process in seen.processes)
    live = sum(process.live for process in seen.processes)
    taken = seen.delivery
    line = Text.assemble(
        (f"{live}", "bold"), " sessions   ", (amount(accepted), "bold"), " sends/s   ",
        (amount(taken.per_s), "bold"), " events/s",
    )  # fmt: skip
    if taken.p50_ms is not None and taken.p95_ms is not None and taken.p99_ms is not None:
        line.append("   p50 ").append(_ms(taken.p50_ms), "bold")
        line.append("  p95 ").append(_ms(taken.p95_ms), "bold")
        line.append("  p99 ").append(_ms(taken.p99_ms), "bold")
    yield line


def _group(group: GroupFigures, width: int, *, every_topic: bool, dot: str) -> Iterable[Text]:
    line = Text.assemble((f"{group.name:<{_LABEL}}", "bold"))
    count = len(group.members)
    line.append(f"{count} member{'' if count == 1 else 's'}", "" if count else "bold red")
    line.append("   lag ").append(
        amount(group.lag), f"bold {_colour(group.lag, group.incoming_per_s + group.done_per_s)}"
    )
    line.append(f"   in {amount(group.incoming_per_s)}/s   done {amount(group.done_per_s)}/s")
    if group.behind_s is None:
        line.append("   does not get on", "bold red")
    elif group.behind_s > _CALM_S:
        line.append(f"   {_seconds(group.behind_s)} behind", "yellow")
    if group.members and group.state != "Stable":
        line.append("   rebalancing", "bold yellow")
    yield line
    topics: dict[str, list[PartitionFigures]] = {}
    for part in group.partitions:
        topics.setdefault(part.topic, []).append(part)
    widest = max(map(len, topics.values()), default=0)
    quiet = []
    for topic, parts in topics.items():
        if every_topic or len(parts) == widest or any(part.lag or part.incoming_per_s for part in parts):
            yield from _topic(group, topic, parts, width, dot)
        else:
            quiet.append(f"{topic} ({len(parts)})")
    if quiet:
        yield Text(f"  nothing happens in {', '.join(quiet)}", "dim")
    idle = [member.name for member in group.members if not member.partitions]
    if idle and topics:
        are = "is" if len(idle) == 1 else "are"
        yield Text(f"  {', '.join(idle)} {are} idle: every partition has its member already", "yellow")


def _topic(
    group: GroupFigures, topic: str, parts: Sequence[PartitionFigures], width: int, dot: str
) -> Iterable[Text]:
    """A table of a topic; of a wide one several below each other."""
    fits = max((width - _LABEL - _RATE) // _CELL, 1)
    for begin in range(0, len(parts), fits):
        block = parts[begin : begin + fits]
        numbers = "".join(f"{part.number:>{_CELL}}" for part in block)
        yield Text(f"  {topic:<{_LABEL - 2}}{numbers}{'done':>{_RATE}}", "dim")
        names: list[str | None] = [member.name for member in group.members if member.partitions]
        if any(part.member is None for part in block):
            names.append(None)
        for name in names:
            label = name or "nobody"
            line = Text(f"  {label[: _LABEL - 3]:<{_LABEL - 2}}", "" if name else "bold red")
            for part in block:
                if part.member == name:
                    colour = _colour(part.lag, part.incoming_per_s + part.done_per_s) if name else "bold red"
                    line.append(f"{amount(part.lag):>{_CELL}}", colour)
                else:
                    line.append(f"{dot:>{_CELL}}", "dim")
            rate = sum(part.done_per_s for part in block if part.member == name)
            yield line.append(f"{amount(rate) + '/s':>{_RATE}}")
        if any(part.done_per_s for part in block):
            rates = "".join(f"{amount(part.done_per_s):>{_CELL}}" for part in block)
            total = amount(sum(part.done_per_s for part in block)) + "/s"
            yield Text(f"  {'done/s':<{_LABEL - 2}}{rates}{total:>{_RATE}}", "dim")


def _gateways(seen: Figures) -> Iterable[Text]:
    head = _columns("sessions", "away", "sends/s", "events/s", "p50", "p99")
    yield Text(f"{'processes':<{_LABEL}}{head}{'cpu':>8}", "dim")
    for process in seen.processes:
        cells = [""] * 6
        if process.role == "gateway":
            taken = process.delivery
            cells = [
                str(process.live),
                str(process.away),
                amount(process.accepted_per_s),
                amount(taken.per_s),
                "-" if taken.p50_ms is None else _ms(taken.p50_ms),
                "-" if taken.p99_ms is None else _ms(taken.p99_ms),
            ]
        line = Text(f"{process.name[: _LABEL - 1]:<{_LABEL}}", "" if process.ready else "bold red")
        line.append(_columns(*cells))
        yield line.append(f"{100 * process.cpu:>6.0f} %", "yellow" if process.cpu > 0.9 else "")
    if not seen.processes:
        yield Text("  none known: name their internal addresses", "dim")


def _columns(*cells: str) -> str:
    return "".join(f"{cell:>9}" for cell in cells)


def _stores(seen: Figures) -> Iterable[Text]:
    if kafka := seen.kafka:
        parts, style = f"{kafka.partitions} partitions", ""
        if kafka.no_leader:
            parts, style = f"{kafka.no_leader} of {parts} without leader", "bold red"
        elif kafka.behind:
            parts, style = f"{kafka.behind} of {parts} not in sync", "yellow"
        brokers = f"{kafka.brokers} broker{'' if kafka.brokers == 1 else 's'}"
        yield _store("Kafka", f"{brokers}, {parts}", f"{amount(kafka.records_per_s)} records/s", style)
    if redis := seen.redis:
        most = f" of {size(redis.most_bytes)}" if redis.most_bytes else ""
        facts = f"{size(redis.memory_bytes)}{most}, {redis.clients} clients"
        yield _store("Redis", facts, f"{amount(redis.commands_per_s)} commands/s")
    if postgres := seen.postgres:
        facts = f"{size(postgres.stored_bytes)}, {postgres.connections} connections"
        yield _store("PostgreSQL", facts, f"{amount(postgres.rows_per_s)} rows/s")


def _store(name: str, facts: str, rate: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<{_LABEL}}", "bold"), (f"{facts:<44}", style), f"{rate:>18}")


def _troubles(seen: Figures) -> Iterable[Text]:
    titles = {"kafka": "Kafka", "redis": "Redis", "postgres": "PostgreSQL"}
    for name, why in seen.problems.items():
        yield Text.assemble(
            (f"{titles[name]:<{_LABEL}}", "bold"), ("is away: ", "bold red"), " ".join(why.split())
        )
    for process in seen.processes:
        if not process.ready:
            yield Text.assemble((f"{process.name:<{_LABEL}}", "bold red"), _unready(process))


def _unready(process: ProcessFigures) -> str:
    return process.why or process.state or "does not answer"


def _colour(lag: float, per_s: float) -> str:
    """Args: per_s: records that come, and records that are done."""
    if lag <= _CALM_S * per_s / 2:
        return ""
    return "yellow" if lag <= _LATE_S * per_s / 2 else "red"


def _ms(value: float) -> str:
    if value < 1000:
        return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
    return f"{value / 1000:.1f} s" if value < 10_000 else f"{value / 1000:.0f} s"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
