"""`fanfare archive`: how far the archiver is, and the deletion of a person's data."""

import asyncio
import json
import logging
import sys
import time
from typing import Annotated, Any, Final

import msgspec
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from fanfare import probe
from fanfare.archive.forget import (
    Found,
    forget_cached,
    forget_files,
    forget_rows,
    left_in_files,
    left_in_rows,
)
from fanfare.bus.client import KafkaAwayError
from fanfare.bus.groups import describe_groups
from fanfare.bus.topics import CHAT_EVENTS, LOCATION_EVENTS, specs
from fanfare.checks.rights import PARQUET_GROUP
from fanfare.cli.check import settings_of_stores
from fanfare.cli.running import running
from fanfare.embedded.errors import UpError
from fanfare.ids import MAX_ID
from fanfare.presence import keys
from fanfare.presence.client import connect_apart
from fanfare.presence.errors import RedisError
from fanfare.settings import Settings
from fanfare.store import Store, StoreUnavailableError

__all__ = ["archive_app"]

archive_app = typer.Typer(help="What is kept of messages and positions.", no_args_is_help=True)

_GROUPS: Final = ("archiver", PARQUET_GROUP)
_APART_S: Final = 2.0
_DAY_MS: Final = 86_400_000
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@archive_app.command("status")
def status(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            help="HOST:PORT of each archiver's internal server; those of this `fanfare up`, if none is named."
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show each sink's lag in records, its rows a second, and how many rows it writes at once."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        found = asyncio.run(_status(addresses or []))
    except KafkaAwayError as error:
        raise UpError(str(error)) from None
    if as_json:
        print(json.dumps(found))
        return
    table = Table("sink", "topic", "lag", "kind", "rows", "rows/s", "rows at once", box=None)
    for group, facts in found.items():
        for topic, lag in facts["lag"].items():
            table.add_row(group, topic, str(lag))
        for kind, rows in facts["rows"].items():
            table.add_row(
                group, "", "", kind, f"{rows['total']:,}", f"{rows['per_s']:,.0f}", f"{rows['at_once']:,.0f}"
            )
    Console(soft_wrap=True).print(table)


async def _status(addresses: list[str]) -> dict[str, Any]:
    settings, processes = running(addresses)
    urls = [
        each["internal"]
        for each in processes()
        if each.get("internal") and (addresses or each.get("role") == "archiver")
    ]
    groups = await describe_groups(settings)
    began, before = time.monotonic(), await _measured(urls)
    await asyncio.sleep(_APART_S)
    after, seconds = await _measured(urls), time.monotonic() - began
    found: dict[str, Any] = {}
    for group in (name for name in _GROUPS if name in groups):
        lag = dict.fromkeys((CHAT_EVENTS, LOCATION_EVENTS), 0)
        for name, facts in groups[group]["partitions"].items():
            if (topic := name.rpartition("/")[0]) in lag:
                lag[topic] += facts["lag"]
        rows = {
            kind: {
                "total": int(total),
                "per_s": max(total - before.get((sink, kind), (0, 0))[0], 0) / seconds,
                "at_once": total / batches if batches else 0.0,
            }
            for (sink, kind), (total, batches) in sorted(after.items())
            if sink == group
        }
        found[group] = {"lag": lag, "rows": rows}
    return found


async def _measured(urls: list[str]) -> dict[tuple[str, str], tuple[float, float]]:
    """By sink and kind: rows so far, and in how many batches; of all archivers together."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for answer in await asyncio.gather(*(probe.get(f"{url}/metrics") for url in urls)):
        if answer is None or answer[0] != 200:
            continue
        lines = [
            line for line in answer[1].decode().splitlines() if line.startswith("fanfare_archive_batch_rows")
        ]
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if not sample.name.endswith(("_sum", "_count")):
                    continue
                key = sample.labels["sink"], sample.labels["kind"]
                rows, batches = found.get(key, (0.0, 0.0))
                if sample.name.endswith("_sum"):
                    found[key] = rows + sample.value, batches
                else:
                    found[key] = rows, batches + sample.value
    return found


@archive_app.command("forget")
def forget(
    user: Annotated[str, typer.Argument(help="Name or id of a user.")],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only what there is is counted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete all messages and positions of a user up to now, everywhere, and prove that nothing is left.

    Nothing brings them back, nor does reading the log again. Exit status 1: something is left.
    """
    settings = settings_of_stores(("redis", "postgres"))
    keys.use_prefix(settings.prefix)
    try:
        ident, upto_ms, found, left = asyncio.run(_forget(settings, user, yes=yes))
    except (StoreUnavailableError, RedisError, OSError) as error:
        raise UpError(f"{error}; run the command again") from None
    kept = {topic: upto_ms + specs(settings)[topic].retention_ms for topic in (CHAT_EVENTS, LOCATION_EVENTS)}
    if as_json:
        facts = {"user_id": str(ident), "upto_ms": upto_ms, "deleted": yes, "found": found, "left": left}
        sys.stdout.write(msgspec.json.encode(facts | {"log_keeps_until_ms": kept}).decode() + "\n")
    else:
        table = Table("of user " + str(ident), "deleted" if yes else "there are", "left", box=None)
        for name in Found.__struct_fields__:
            table.add_row(
                name.replace("_", " "), str(getattr(found, name)), str(getattr(left, name)) if yes else ""
            )
        Console(soft_wrap=True).print(table)
        if yes:
            days = ", ".join(f"{topic} for {(at - upto_ms) // _DAY_MS} days" for topic, at in kept.items())
            print(
                f"Kafka keeps its records until they expire ({days}), and copies of the stores are yours to delete"
            )
        else:
            print("nothing was deleted: say --yes")
    if yes and left:
        raise typer.Exit(1)


async def _forget(settings: Settings, name: str, *, yes: bool) -> tuple[int, int, Found, Found]:
    ident = await _user(settings, name)
    upto_ms = int(time.time() * 1000)
    before = await _left(settings, ident, upto_ms)
    if not yes:
        return ident, upto_ms, before, before
    found = await forget_rows(settings, ident, upto_ms)
    redis = connect_apart(settings, client_name="fanfare-archive")
    try:
        found.cached = await forget_cached(redis, ident, upto_ms)
        if settings.parquet is not None:
            found.parquet_rows = await asyncio.to_thread(
                forget_files, settings.parquet.expanduser(), ident, upto_ms
            )
        left = await _left(settings, ident, upto_ms)
        left.cached = await forget_cached(redis, ident, upto_ms)
    finally:
        await redis.aclose()
    return ident, upto_ms, found, left


async def _left(settings: Settings, ident: int, upto_ms: int) -> Found:
    left = await left_in_rows(settings, ident, upto_ms)
    if settings.parquet is not None:
        left.parquet_rows = await asyncio.to_thread(
            left_in_files, settings.parquet.expanduser(), ident, upto_ms
        )
    return left


async def _user(settings: Settings, name: str) -> int:
    store = await Store.connect(settings)
    try:
        if (found := await store.user_by_name(name)) is not None:
            return found.id
    finally:
        await store.close()
    # Also somebody who is no user any more.
    if name.isdecimal() and int(name[:20]) <= MAX_ID:
        return int(name)
    raise UpError(f"there is no user {name!r}: `fanfare user list` shows all")
