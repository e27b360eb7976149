"""`fanfare scale` and `fanfare restart`: change a running system."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from fanfare.embedded.control import ask
from fanfare.embedded.folder import DataFolder
from fanfare.environment import load_settings

__all__ = ["restart", "scale"]

# What it means that there is none of a role.
_WITHOUT: Final = {
    "gateway": "nobody can connect until there is one again; who was connected can resume on it for two minutes",
    "fanout": "events wait in Kafka until there is one again",
    "notifier": "deliveries wait in Kafka until there is one again, for an hour",
    "archiver": "messages wait in Kafka to be archived until there is one again",
}


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
            print("\n".join(_in_words(change)))
    if probe and not as_json and any(change["started"] or change["stopped"] for change in said["changes"]):
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


def _in_words(change: dict[str, Any]) -> Iterator[str]:
    """What became of a role, and what follows from it."""
    role = change["role"]
    done = [
        *(f"started {name}" for name in change["started"]),
        *(f"stopped {name}" for name in change["stopped"]),
    ]
    if not done:
        yield f"{role}: there {'is' if change['to'] == 1 else 'are'} {change['to']} already, so nothing changed"
        return
    yield f"{role}: {change['from']} -> {change['to']} ({', '.join(done)}) in {change['seconds']:.1f} s"
    if not change["to"]:
        yield f"{role}: {_WITHOUT.get(role, 'there is none now')}"
    if idle := change["idle"]:
        has = "has" if len(idle) == 1 else "have"
        yield (
            f"{role}: {', '.join(idle)} {has} no partition of {change['topic']}: the others have one each, and it "
            "would take over if one of them left"
        )


def _waited(said: dict[str, Any]) -> str:
    if said["gap_s"] is None:
        return "how long deliveries waited was not measured: without a fanout and a notifier nothing is delivered"
    if said["missing"]:
        return (
            f"deliveries still wait: {said['missing']} of our probes have not come after 15 s; is there a backlog? "
            "`fanfare top` shows it"
        )
    return f"the longest that a delivery waited meanwhile: {1000 * said['gap_s']:.0f} ms"
