"""`fanfare up`, `status`, `down` and `reset`."""

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError
from fanfare.environment import load_settings

__all__ = ["down", "reset", "status", "up"]

NOT_RUNNING = 3
DOWN_TIMEOUT_S = 30.0


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready; go on in the background.")
    ] = False,
    scale: Annotated[str, typer.Option(help="How many of each service, such as gateway=2,fanout=3.")] = "",
    procfile: Annotated[Path | None, typer.Option(help="Another Procfile.")] = None,
    stores_only: Annotated[
        bool,
        typer.Option(
            "--stores-only", help="Kafka, Redis and PostgreSQL with topics and tables, no services."
        ),
    ] = False,
    claim: Annotated[
        bool, typer.Option("--claim", help="Make one installation of the stores, whatever they belonged to.")
    ] = False,
    autoscale: Annotated[
        bool,
        typer.Option(
            "--autoscale", help="Add and take away workers by their lag, as `fanfare autoscale` does."
        ),
    ] = False,
    ready_fd: Annotated[int, typer.Option(hidden=True)] = -1,
) -> None:
    """Start everything, and go on until Ctrl-C or `fanfare down`."""
    settings = load_settings()
    folder = DataFolder(settings.home)
    folder.make()
    if detach:
        from fanfare.embedded.detach import start_detached

        options = ["--scale", scale] if scale else []
        options += ["--procfile", str(procfile)] if procfile else []
        options += ["--stores-only"] if stores_only else []
        options += ["--claim"] if claim else []
        options += ["--autoscale"] if autoscale else []
        sys.exit(start_detached(folder, options))
    from fanfare.embedded.runner import run_until_stopped
    from fanfare.embedded.stack import Plan

    plan = Plan(procfile or _default_procfile(), scale, stores_only, claim, autoscale)
    sys.exit(asyncio.run(run_until_stopped(settings, plan, folder, ready_fd)))


def _default_procfile() -> Path:
    here = Path("Procfile")
    return here if here.exists() else Path(__file__).parents[2] / "Procfile"


def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show the processes, the groups in Kafka and the sessions.

    Exit status 0: ready, 1: not ready, 3: not running.
    """
    from fanfare.embedded.status import not_running, read_status

    settings = load_settings()
    folder = DataFolder(settings.home)
    try:
        found = asyncio.run(read_status(settings, folder))
    except NotRunningError as error:
        if as_json:
            print(json.dumps(not_running()))
        else:
            print(error, file=sys.stderr)
        sys.exit(NOT_RUNNING)
    if as_json:
        print(json.dumps(found))
    else:
        _show(found)
    sys.exit(0 if found["ready"] else 1)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    processes = Table("process", "pid", "state", box=None, header_style="bold")
    for name in ("address", "internal"):
        processes.add_column(name, overflow="fold")
    for entry in found["processes"]:
        processes.add_row(
            entry["name"], str(entry["pid"] or "-"), str(entry["state"]), entry["address"], entry["internal"]
        )
    console.print(processes)
    if found["groups"]:
        groups = Table("group", "members", "lag", box=None, header_style="bold")
        for name, group in sorted(found["groups"].items()):
            groups.add_row(name, str(len(group["members"])), str(group["lag"]))
        console.print()
        console.print(groups)
    console.print(f"\n{'ready' if found['ready'] else 'not ready'}, {found['sessions']} sessions")


def down() -> None:
    """Stop everything that `fanfare up` started in this folder."""
    settings = load_settings()
    folder = DataFolder(settings.home)
    pid = folder.holder()
    if pid is None:
        print(f"fanfare is not running in {folder.home}")
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:  # it has just ended
        return
    # Not by number: a pidfd cannot mean another process, and tells of the end even where nobody reaps it.
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGTERM)
    ended, _, _ = select.select([process], [], [], DOWN_TIMEOUT_S + settings.drain_s)
    if not ended:
        raise UpError(f"pid {pid} did not stop in time: see {folder.logs / 'up.log'}, or kill it")
    print("stopped")


def reset() -> None:
    """Remove all data: messages, guilds, people and tokens. Refuses while fanfare runs."""
    settings = load_settings()
    folder = DataFolder(settings.home)
    folder.reset()
    print(f"{folder.home} is empty: the next `fanfare up` starts afresh")
