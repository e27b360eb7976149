"""`fanfare dead-letters`: records that were set aside, and what becomes of them."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fanfare.bus.client import KafkaAwayError
from fanfare.bus.errors import KafkaError
from fanfare.bus.letters import DeadLetter, LetterError, bring_back, drop, letters
from fanfare.bus.producer import NotHandedOverError
from fanfare.cli.check import settings_of_stores
from fanfare.presence.errors import RedisError
from fanfare.record import Position
from fanfare.settings import Settings

__all__ = ["dead_letters_app"]

dead_letters_app = typer.Typer(
    help="Records that could not be read or made no sense: list, show, retry, drop; bury.",
    no_args_is_help=True,
)
_out = Console(soft_wrap=True)
_T = TypeVar("_T")
_Ids = Annotated[list[str] | None, typer.Argument(help="TOPIC/NUMBER, as `list` shows them.")]
_All = Annotated[bool, typer.Option("--all", help="All that are not done.")]


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it; what people can put right is told in one line."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what it raises, and more
    try:
        return asyncio.run(work)
    except (KafkaAwayError, LetterError, KafkaError, NotHandedOverError, RedisError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(1) from None


@dead_letters_app.command("list")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are done.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """The dead letters that were neither brought back nor dropped."""
    found = [letter for letter in _run(letters(settings_of_stores())) if every or not letter.done]
    if as_json:
        typer.echo(json.dumps([_facts(letter) for letter in found]))
        return
    table = Table("id", "group", "position", "when", "error", "done", box=None)
    for letter in found:
        said = f"{letter.error}: {letter.reason}"
        table.add_row(letter.id, letter.group, str(letter.position), _when(letter.time_ms), said, letter.done)
    _out.print(table if found else "there are none")


@dead_letters_app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="TOPIC/NUMBER, as `list` shows them.")],
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """One dead letter, with the headers and the value of the record."""
    (letter,) = _chosen(settings_of_stores(), [id_], every=False)
    facts = _facts(letter) | {
        "headers": [[name, _text(value)] for name, value in letter.headers],
        "key": _text(letter.key),
        "value": _text(letter.value),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name}: {value}")


@dead_letters_app.command("retry")
def retry(ids: _Ids = None, *, every: _All = False) -> None:
    """Bring records back: each is handled once more, by the group that set it aside, after all that is in the log."""
    settings = settings_of_stores()

    async def one(letter: DeadLetter) -> str:
        return f"{letter.id} is back at {await bring_back(settings, letter)}"

    _each(_chosen(settings, ids, every=every), one)


@dead_letters_app.command("drop")
def drop_(ids: _Ids = None, *, every: _All = False) -> None:
    """Note that nothing more is to be done about them: `list` leaves them out. They stay in Kafka until they expire."""
    settings = settings_of_stores()

    async def one(letter: DeadLetter) -> str:
        await drop(settings, letter)
        return f"{letter.id} is dropped"

    _each(_chosen(settings, ids, every=every), one)


@dead_letters_app.command("bury")
def bury(
    topic: str,
    partition: int,
    offset: int,
    *,
    group: Annotated[str, typer.Option(help="Whose partition is held: fanout, notifier or archiver.")],
) -> None:
    """Order that a record be set aside at which a partition is held; the log of the held process names the record.

    Then the next records are handled. The record is a dead letter like others, and can be brought back.
    """
    from fanfare.presence.bury import order
    from fanfare.presence.client import connect

    settings = settings_of_stores()

    async def tell() -> None:
        redis = connect(settings)
        try:
            await order(redis, group, Position(topic, partition, offset))
        finally:
            await redis.aclose()

    _run(tell())
    typer.echo(f"if {group} is held at {topic}/{partition}/{offset}, it sets this record aside")


def _chosen(settings: Settings, ids: list[str] | None, *, every: bool) -> list[DeadLetter]:
    """The letters that are named."""
    if bool(ids) == every:
        raise typer.BadParameter("name dead letters, or give --all")
    found = {letter.id: letter for letter in _run(letters(settings))}
    if every:
        return [letter for letter in found.values() if not letter.done]
    if unknown := [one for one in ids or () if one not in found]:
        raise typer.BadParameter(
            f"there is no dead letter {unknown[0]}: `fanfare dead-letters list` shows them"
        )
    return [found[one] for one in dict.fromkeys(ids or ())]


def _each(chosen: list[DeadLetter], work: Callable[[DeadLetter], Awaitable[str]]) -> None:
    """Do something with each letter; an error with one does not keep it from the others."""

    async def run() -> bool:
        good = True
        for letter in chosen:
            try:
                typer.echo(await work(letter))
            except LetterError as error:
                good = False
                sys.stderr.write(f"error: {error}\n")
        return good

    if not _run(run()):
        raise typer.Exit(1)


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "group": letter.group,
        "position": str(letter.position),
        "time": _when(letter.time_ms),
        "error": letter.error,
        "reason": letter.reason,
        "lacks": letter.lacks,
        "done": letter.done,
    }


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")
