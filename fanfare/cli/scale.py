"""`fanfare scale` and `fanfare restart`: change a running system."""

import asyncio
import json
from typing import Annotated, Any

import typer

from fanfare.embedded.control import ask
from fanfare.embedded.folder import DataFolder
from fanfare.environment import load_settings

__all__ = ["restart", "scale"]


def scale(
    wanted: Annotated[list[str], typer.Argument(help="ROLE=NUMBER, such as fanout=3 notifier=1.")],
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each role.")] = False,
    probe: Annotated[
        bool,
        typer.Option(
            help="Measure how long deliveries wait, by 40 events a second in each partition. Without it a scale "
            "does not wait for a backlog, nor adds to it."
        ),
    ] = True,
) -> None:
    """Start or stop processes until there are so many of each role; processes that leave finish their work.

    Returns when new processes are ready and the others are gone, and says how long deliveries waited meanwhile.
    """
    counts = {}
    for part in (part for word in wanted for part in word.split(",") if part):
        role, equals, number = part.partition("=")
        if not equals or not number.isascii() or not number.isdigit():
            raise typer.BadParameter(f"{part!r} is not ROLE=NUMBER")
        counts[role.strip()] = int(number)
    said = asyncio.run(
        ask(DataFolder(load_settings().home), {"do": "scale", "wanted": counts, "probe": probe})
    )
    for change in said["changes"]:
        if as_json:
            print(json.dumps(change | {"gap_s": said["gap_s"]}))
        else:
            print(_in_words(change))
    if probe and not as_json:
        print(_waited(said))


def restart(
    what: Annotated[
        str, typer.Argument(help="A process, such as gateway.1, or all of a role, such as fanout.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Stop and start again a process, or all of a role one after the other."""
    said = asyncio.run(ask(DataFolder(load_settings().home), {"do": "restart", "what": what}))
    if as_json:
        print(json.dumps(said))
    else:
        print(f"restarted {', '.join(said['restarted'])}")
        print(_waited(said))


def _in_words(change: dict[str, Any]) -> str:
    done = [f"started {name}" for name in change["started"]] + [
        f"stopped {name}" for name in change["stopped"]
    ]
    said = ", ".join(done) or "nothing to do"
    return f"{change['role']}: {change['from']} -> {change['to']} ({said}) in {change['seconds']:.1f} s"


def _waited(said: dict[str, Any]) -> str:
    if said["missing"]:
        return f"deliveries still wait: {said['missing']} of our probes have not come (is a service at 0?)"
    return f"the longest that a delivery waited meanwhile: {1000 * said['gap_s']:.0f} ms"
