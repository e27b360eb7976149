"""`fanfare autoscale`: as many workers as their lag and rates ask for."""

import asyncio
import contextlib
import sys
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
import typer

from fanfare.autoscale.decide import Aim
from fanfare.autoscale.keda import Scaled, manifest, usual_rate
from fanfare.autoscale.loop import ROLES, Look, looks
from fanfare.bus.client import KafkaAwayError
from fanfare.bus.names import Names
from fanfare.capacity.units import load_units
from fanfare.cli.running import running
from fanfare.embedded.control import ask
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError
from fanfare.observe.collect import Collector
from fanfare.settings import Settings

__all__ = ["autoscale"]

_ONCE_S: Final = 12.0


def autoscale(
    roles: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(ROLES)}; all, if none is named.")
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Decide once, after a few seconds. Takes no worker away.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each look, with the figures it is decided by.")
    ] = False,
    keda: Annotated[
        bool, typer.Option("--keda", help="Print what KEDA is to be told in Kubernetes, and do nothing.")
    ] = False,
    drain_s: Annotated[
        float, typer.Option("--drain", min=1, help="Within so many seconds a backlog is to be done.")
    ] = (Aim.drain_s),
    calm_s: Annotated[
        float, typer.Option("--calm", min=1, help="So many seconds one less must be enough before one goes.")
    ] = Aim.calm_s,
    least: Annotated[int, typer.Option("--least", min=0, help="The fewest workers of a role.")] = Aim.least,
    most: Annotated[int, typer.Option("--most", min=1, help="The most workers of a role.")] = Aim.most,
    per_worker: Annotated[
        float,
        typer.Option("--per-worker", min=0, help="For --keda: records/s a worker does. 0: by unit costs."),
    ] = 0,
) -> None:
    """Give each group of the running `fanfare up` the workers it needs, until Ctrl-C; one step at a time.

    One more where a backlog would not be done in time, up to the number of partitions; one less after a calm minute.
    """
    if unknown := set(roles or ()) - set(ROLES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(ROLES)}")
    aim = Aim(drain_s=drain_s, calm_s=calm_s, least=least, most=most)
    chosen = roles or list(ROLES)
    if keda:
        asyncio.run(_keda(chosen, aim, per_worker))
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(chosen, aim, once=once, act=not dry_run, as_json=as_json))


async def _run(roles: list[str], aim: Aim, *, once: bool, act: bool, as_json: bool) -> None:
    settings, _ = running([])
    folder = DataFolder(settings.home)
    if act and folder.holder() is None:
        raise NotRunningError(
            f"fanfare is not running in {folder.home}, and only `fanfare up` can be scaled: --dry-run says what is "
            "needed, --keda prints what KEDA is to be told"
        )
    try:
        # Nothing but the groups is asked for.
        async with (
            asyncio.timeout(_ONCE_S if once else None),
            Collector(settings, list, stores=False) as collector,
            aclosing(looks(collector, aim, roles)) as every,
        ):
            left = set(roles)
            async for look in every:
                if as_json:
                    _tell_json(look)
                elif look.changes or once:
                    print(look.said, flush=True)
                if look.changes and act:
                    await _scale(folder, look, quiet=as_json)
                left.discard(look.group.name)
                if once and not left:
                    return
    except TimeoutError:
        raise UpError(
            f"no answer about {', '.join(sorted(left))}: is Kafka away, or the group not there?"
        ) from None


async def _scale(folder: DataFolder, look: Look, *, quiet: bool) -> None:
    """Let `fanfare up` do it. What keeps it from that is said, and may be over at the next look."""
    role, members = look.group.name, len(look.group.members)
    processes = [one for one in folder.read_state()["processes"] if one["role"] == role]
    if len(processes) != members:
        sys.stderr.write(f"{role}: not done: it has {len(processes)} processes, of which {members} work\n")
        return
    request = {"do": "scale", "wanted": {role: look.decision.workers}, "probe": False}
    try:
        said = await ask(folder, request)
    except NotRunningError:
        raise
    except UpError as error:
        sys.stderr.write(f"{role}: not done: {error}\n")
        return
    for change in said["changes"] if not quiet else ():
        done = [
            *(f"started {name}" for name in change["started"]),
            *(f"stopped {n}" for n in change["stopped"]),
        ]
        print(
            f"{change['role']}: {', '.join(done) or 'nothing to do'} in {change['seconds']:.1f} s", flush=True
        )


def _tell_json(look: Look) -> None:
    said: dict[str, Any] = {
        "at_s": round(look.at_s, 3),
        "workers": look.decision.workers,
        "why": look.decision.why,
        "group": look.group,
    }
    print(msgspec.json.encode(said).decode(), flush=True)


async def _keda(roles: list[str], aim: Aim, per_worker: float) -> None:
    settings, _ = running([])
    async with Collector(settings, list, stores=False) as collector:
        sample = await collector.sample()
    if sample.kafka is None:
        raise KafkaAwayError(sample.problems["kafka"])
    made = []
    for role in roles:
        if role not in sample.groups:
            raise UpError(f"there is no group {role} in Kafka yet: start one worker of it")
        topics: dict[str, int] = {}
        for part in sample.groups[role].partitions:
            topics[part.topic] = topics.get(part.topic, 0) + 1
        units = load_units()
        rate = per_worker or usual_rate(getattr(units, role), settings.batch_records)
        how = "as given" if per_worker else f"by unit costs of {units.machine}; --per-worker says otherwise"
        made.append(manifest(_scaled(settings, role, topics, rate, how), settings.kafka, aim))
    print("---\n".join(made), end="")


def _scaled(settings: Settings, role: str, topics: dict[str, int], rate: float, how: str) -> Scaled:
    names = Names(settings)
    return Scaled(role, names.kafka(role), {names.kafka(name): n for name, n in topics.items()}, rate, how)
