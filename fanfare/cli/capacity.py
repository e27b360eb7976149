"""`fanfare capacity`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["capacity"]


def capacity(
    users: Annotated[float, typer.Option(help="People, such as 1e6.", min=1)],
    guilds: Annotated[float, typer.Option(help="Guilds that there are.", min=1)],
    msgs_per_s: Annotated[float, typer.Option(help="Messages a second, at the peak.", min=0)],
    *,
    online: Annotated[
        float, typer.Option(help="The part of the people that is online then.", min=0, max=1)
    ] = 0.2,
    guilds_per_user: Annotated[float, typer.Option(help="Guilds that each person is in.", min=0)] = 5.0,
    node_gb: Annotated[float, typer.Option(help="Memory that a gateway may use.", min=0.1)] = 2.0,
    kafka_cores: Annotated[float, typer.Option(help="Cores of all brokers together.", min=0.1)] = 6.0,
    postgres_cores: Annotated[float, typer.Option(help="Of the database.", min=0.1)] = 4.0,
    replicas: Annotated[int, typer.Option(help="Of each partition.", min=1)] = 3,
    units: Annotated[Path | None, typer.Option(help="Another file of unit costs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What a load needs: processes, partitions, memory, bandwidth, and what saturates first.

    From unit costs that were measured on one machine: another is faster or slower. Averages, not peaks within a second.
    """
    from rich.console import Console
    from rich.table import Table

    from fanfare.capacity.model import BUSY, Load, plan
    from fanfare.capacity.units import UnitsError, load_units

    load = Load(
        users=users,
        guilds=guilds,
        msgs_per_s=msgs_per_s,
        online=online,
        guilds_per_user=guilds_per_user,
        node_bytes=node_gb * 1e9,
        kafka_cores=kafka_cores,
        postgres_cores=postgres_cores,
        replicas=replicas,
    )
    try:
        costs = load_units(units)
        found = plan(load, costs)
    except (UnitsError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(1) from None
    if as_json:
        body = asdict(found) | {"first": found.first.name, "ceiling": found.ceiling, "machine": costs.machine}
        typer.echo(json.dumps(body))
        return
    out = Console(soft_wrap=True)
    table = Table("part", "processes", "CPU-seconds a second", "cores", "busy")
    for part in found.parts:
        table.add_row(part.name, str(part.count), f"{part.cpu_s:.2f}", f"{part.cores:g}", f"{part.busy:.0%}")
    out.print(table)
    flow = found.flow
    for name, value in (
        ("partitions", f"{found.partitions}"),
        ("deliveries", f"{flow.deliveries:,.0f}/s"),
        ("appends to inboxes", f"{flow.appends:,.0f}/s"),
        ("a gateway", f"{found.sessions_per_node:,.0f} sessions, {found.node_bytes / 1e6:,.0f} MB"),
        ("Redis", f"{found.redis_bytes / 1e9:,.2f} GB"),
        ("to clients", f"{found.client_bytes_per_s / 1e6:,.1f} MB/s"),
        ("into Kafka, all replicas", f"{found.kafka_bytes_per_s / 1e6:,.1f} MB/s"),
        ("Kafka's log of a day, all replicas", f"{found.log_bytes / 1e9:,.1f} GB"),
        ("PostgreSQL, a day", f"{found.row_bytes_per_day / 1e9:,.1f} GB"),
    ):
        out.print(f"{name}: {value}")
    first = found.first
    full = (
        "is saturated" if first.busy > 1 else f"is busy for more than {BUSY:.0%}" if first.busy > BUSY else ""
    )
    out.print(
        f"[bold]{first.name}[/bold] saturates first, at {found.ceiling:,.0f} messages/s"
        + (f"; it {full} at this load" if full else "")
    )
    out.print(f"unit costs measured on {costs.machine}", style="dim")
