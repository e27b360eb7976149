"""The command `fanfare torture`, which an entry point in pyproject.toml brings to `fanfare`."""

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["torture"]


def torture(
    fault: Annotated[
        str, typer.Option(help="Names with commas, `all` (each alone) or `mix` (at random).")
    ] = "mix",
    seed: Annotated[int, typer.Option(help="The same seed does the same again, as far as that can be.")] = 1,
    seconds: Annotated[float, typer.Option(help="How long the load goes on at least; a mix, all of it.")] = 0,
    rate: Annotated[float, typer.Option(help="Messages a second.")] = 30,
    receivers: Annotated[int, typer.Option(help="Sessions.")] = 120,
    changes: Annotated[float, typer.Option(help="Changes of messages, and of a guild, a second.")] = 4,
    brokers: Annotated[int, typer.Option(help="Brokers, 1 or 3. Default: as many as the faults need.")] = 0,
    scale: Annotated[str, typer.Option(help="How many of each service.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Where to keep everything; default, a new one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, on the last line.")] = False,
    table: Annotated[Path | None, typer.Option(help="Write the figures to this file, as Markdown.")] = None,
    names: Annotated[bool, typer.Option("--list", help="The names of the faults.")] = False,
) -> None:
    """Break a system of its own in every way we know, under load, and check what clients saw.

    Exit status 1: a promise was broken; what, where the message went and the seed are printed.
    """
    from torture.faults.catalogue import by_name
    from torture.program import Choice, run

    # Stores that go away are what this is about.
    for noisy in ("aiokafka", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    known = by_name()
    if names:
        for name, kind in known.items():
            print(f"{name:<20} {(kind.__doc__ or '').splitlines()[0]}")
        return
    if not {*fault.split(",")} <= {"all", "mix", *known}:
        raise typer.BadParameter(f"{fault!r} is none of all, mix, {', '.join(known)}", param_hint="--fault")
    if brokers not in {0, 1, 3}:
        raise typer.BadParameter("1 or 3", param_hint="--brokers")
    choice = Choice(
        fault=fault,
        seed=seed,
        seconds=seconds,
        rate=rate,
        receivers=receivers,
        changes=changes,
        brokers=brokers,
        scale=scale,
        folder=folder,
    )

    async def until_stopped() -> list[Any]:
        task = asyncio.ensure_future(run(choice, say=lambda line: print(line, file=sys.stderr, flush=True)))
        # What was started has to be stopped.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        rows = asyncio.run(until_stopped())
    except asyncio.CancelledError:
        sys.exit(130)
    if table is not None:
        table.write_text(_markdown(rows), "utf-8")
    _say(rows, as_json=as_json)
    sys.exit(0 if all(row.passed for row in rows) else 1)


def _figures(row: Any) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "fault": row.fault,
        "accepted": verdict.accepted,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "reordered": verdict.reordered,
        "told": verdict.told,
        "gap_s": verdict.gap_s,
        "recovery_s": verdict.recovery_s,
        "aim_s": row.aim_s,
        "skipped": row.skipped,
        "resume_ms": {
            where: {"count": len(took), "p50": _ms(took, 50), "p99": _ms(took, 99)}
            for where, took in zip(("same_node", "other_node"), row.resumes, strict=True)
        },
    }


def _ms(seconds: list[float], of_hundred: float) -> float:
    from torture.figures import percentile

    return round(1000 * percentile(seconds, of_hundred), 1)


def _say(rows: list[Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"faults": [_figures(row) for row in rows]}))
    else:
        _show(rows)


def _markdown(rows: list[Any]) -> str:
    lines = [
        "| fault | accepted | delivered | lost | doubled | reordered | told | longest gap | aim | recovery |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row.verdict
        counts = (found.accepted, found.delivered, found.lost, found.doubled, found.reordered, found.told)
        cells = [f"{count:,}" for count in counts]
        cells += [f"{seconds:.1f} s" for seconds in (found.gap_s, row.aim_s, found.recovery_s)]
        lines.append(f"| {row.fault} | {' | '.join(['skipped'] * 9 if row.skipped else cells)} |")
    return "\n".join(lines) + "\n"


def _show(rows: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    headings = (
        "fault",
        "accepted",
        "delivered",
        "lost",
        "doubled",
        "reordered",
        "told",
        "gap",
        "aim",
        "recovery",
        "",
    )
    table = Table(box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"fault", ""} else "right")
    for row in rows:
        if row.skipped:
            table.add_row(row.fault, *[""] * (len(headings) - 2), f"SKIPPED: {row.skipped}", style="yellow")
            continue
        verdict = row.verdict
        numbers = (
            verdict.accepted,
            verdict.delivered,
            verdict.lost,
            verdict.doubled,
            verdict.reordered,
            verdict.told,
        )
        times = (
            f"{verdict.gap_s:.2f} s",
            f"{row.aim_s:.1f} s" if row.aim_s else "",
            f"{verdict.recovery_s:.1f} s",
        )
        said = (
            "ok" if row.passed else "BROKEN: " + ", ".join(sorted({one.kind for one in verdict.violations}))
        )
        table.add_row(row.fault, *map(str, numbers), *times, said, style="" if row.passed else "red")
    Console(width=150).print(table)
