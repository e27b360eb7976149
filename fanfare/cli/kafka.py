"""`fanfare topics`, `fanfare groups` and `fanfare kafka`: Kafka at hand."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fanfare.bus import topics as bus
from fanfare.bus.client import KafkaAwayError, bootstrap, tool_properties
from fanfare.bus.errors import KafkaError
from fanfare.bus.groups import describe_groups
from fanfare.bus.grow import grow as grow_pair
from fanfare.bus.tail import Seen, tail
from fanfare.checks.marks import settle
from fanfare.environment import load_settings
from fanfare.settings import Settings, SettingsError

__all__ = ["groups", "kafka", "topics_app"]

topics_app = typer.Typer(help="Kafka's topics: create, list, describe, tail.", no_args_is_help=True)
_out = Console(soft_wrap=True)
_T = TypeVar("_T")


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it; what people can put right is told in one line."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what it raises, and more
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (KafkaAwayError, bus.TopicsError, KafkaError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(1) from None


@topics_app.command("create")
def create() -> None:
    """Make the topics that do not exist, with their partitions, replicas and retention."""
    settings = load_settings()
    wanted = bus.specs(settings)
    for name in _run(bus.create_topics(settings)):
        _out.print(f"created {name}: {wanted[name].partitions} partitions")
    for info in _run(bus.describe(settings, wanted)):
        for said in bus.differences(info, wanted[info.name]):
            _out.print(f"[yellow]{info.name}: {said}; left as it is[/yellow]")
    _out.print(f"{len(wanted)} topics are there")
    if not (settings.redis.get_secret_value() and settings.postgres.get_secret_value()):
        return
    # Here are the rights to write down whose topics they are; a process may lack them.
    if problem := _run(settle(settings)):
        raise SettingsError(problem)


@topics_app.command("grow")
def grow(
    topic: Annotated[str, typer.Argument(help="Of events: its deliveries grow with it.")],
    partitions: Annotated[int, typer.Argument(min=1, max=10_000, help="How many, more than now.")],
    *,
    limit_s: Annotated[
        float, typer.Option("--limit", min=1, help="So many seconds senders may wait for workers at most.")
    ] = 15,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Give a pair of topics more partitions while everything runs. Senders are asked to try again for seconds.

    Interrupted, it goes on when it is run again; else a gateway ends it.
    """

    def tell(said: str) -> None:
        if not as_json:
            typer.echo(said)

    grew = _run(grow_pair(load_settings(), topic, partitions, limit_s=limit_s, tell=tell))
    if as_json:
        said = {"topic": grew.topic, "from": grew.before, "to": grew.after}
        typer.echo(
            json.dumps(said | {"waited_s": round(grew.waited_s, 3), "seconds": round(grew.seconds, 3)})
        )
    else:
        typer.echo(
            f"{grew.topic}: {grew.before} -> {grew.after} partitions in {grew.seconds:.1f} s; "
            f"senders were asked to try again for {grew.waited_s:.1f} s"
        )


@topics_app.command("list")
def list_() -> None:
    """The names of all topics."""
    for name in _run(bus.list_topics(load_settings())):
        typer.echo(name)


@topics_app.command("describe")
def describe(
    names: Annotated[list[str] | None, typer.Argument(help="Topics; all, if none is named.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Partitions, leaders, replicas, in-sync replicas and settings."""
    settings = load_settings()
    found = _run(bus.describe(settings, names or _run(bus.list_topics(settings))))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    info.name: {"partitions": [p._asdict() for p in info.partitions], "config": info.config}
                    for info in found
                }
            )
        )
        return
    for info in found:
        table = Table("partition", "leader", "replicas", "in sync", title=info.name, title_justify="left")
        for part in info.partitions:
            lacking = len(part.in_sync) < len(part.replicas)
            cells = (str(part.partition), str(part.leader), _numbers(part.replicas), _numbers(part.in_sync))
            table.add_row(*cells, style="red" if lacking else "")
        _out.print(table)
        _out.print("  ".join(f"{name}={value}" for name, value in sorted(info.config.items())), style="dim")


def _numbers(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


@topics_app.command("tail")
def tail_(
    topic: str,
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="What is there already, too.")
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="Share the partitions with all tails that name this group.")
    ] = None,
    partition: Annotated[int | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Print key, partition, offset, headers and value of each record, until Ctrl-C.

    Of several tails each sees all records, unless they name the same group: then they share the partitions.
    """
    if group is not None and partition is not None:
        raise typer.BadParameter("a group shares out the partitions itself", param_hint="--partition")

    async def follow() -> None:
        seen = tail(load_settings(), topic, from_beginning=from_beginning, group=group, partition=partition)
        async with aclosing(seen):
            async for each in seen:
                _show(each)

    _run(follow())


def _show(seen: Seen) -> None:
    when = datetime.fromtimestamp(seen.timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    headers = " ".join(f"{name}={_text(value)}" for name, value in seen.headers)
    where = typer.style(f"{seen.partition}/{seen.offset}", bold=True)
    key = typer.style(_text(seen.key), fg="cyan")
    typer.echo(f"{where} {when} key={key} {typer.style(headers, dim=True)}\n  {_text(seen.value)}")
    sys.stdout.flush()


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode(errors="backslashreplace")


def groups(
    names: Annotated[list[str] | None, typer.Argument(help="Groups; all, if none is named.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Consumer groups: members, partitions and lag."""
    found = _run(describe_groups(load_settings()))
    if names:
        if missing := [name for name in names if name not in found]:
            sys.stderr.write(f"error: there is no group {', '.join(missing)}\n")
            raise typer.Exit(1)
        found = {name: found[name] for name in names}
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, group in found.items():
        _out.print(_group_table(name, group))


def _group_table(name: str, group: dict[str, Any]) -> Table:
    members = len(group["members"])
    title = f"{name}: {group['state']}, {members} member{'' if members == 1 else 's'}, lag {group['lag']}"
    table = Table("partition", "committed", "end", "lag", "member", title=title, title_justify="left")
    for partition, facts in group["partitions"].items():
        committed = "-" if facts["committed"] is None else str(facts["committed"])
        style = "yellow" if facts["lag"] else ""
        cells = (partition, committed, str(facts["end"]), str(facts["lag"]), facts["member"] or "-")
        table.add_row(*cells, style=style)
    return table


def kafka(
    context: typer.Context, tool: Annotated[str, typer.Argument(help="Such as console-consumer.")] = ""
) -> None:
    """Run one of Kafka's own tools, on the embedded jars; `fanfare kafka` alone lists them.

    If the arguments do not say where the brokers are and how to log in, the settings do.
    """
    from fanfare.embedded.jars import default_folder, verify
    from fanfare.embedded.java import TOOLS, tool_command, with_brokers

    name = tool.removeprefix("kafka-").removesuffix(".sh")
    if name not in TOOLS:
        if tool:
            sys.stderr.write(f"error: Kafka has no tool {tool} here. ")
        sys.stderr.write(f"The tools: {', '.join(sorted(TOOLS))}\n")
        raise typer.Exit(2 if tool else 0)
    arguments = list(context.args)
    if with_brokers(name, arguments, "") != arguments:
        settings = load_settings()
        arguments = with_brokers(name, arguments, bootstrap(settings), _command_config(settings, arguments))
    command = tool_command(verify(default_folder()), name, *arguments)
    os.execv(command[0], command)  # noqa: S606 - it takes our place: signals and exit code are its own


def _command_config(settings: Settings, arguments: Sequence[str]) -> str:
    """A file with our TLS and login for a tool; '' where it needs none, or is given one.

    It is in memory, and the tool inherits it: the password stands on no disk.
    """
    given = any(word.split("=")[0] in {"--command-config", "--command.config"} for word in arguments)
    if settings.kafka_security == "PLAINTEXT" or given:
        return ""
    fd = os.memfd_create("kafka.properties", 0)
    os.write(fd, tool_properties(settings).encode())
    return f"/proc/self/fd/{fd}"
