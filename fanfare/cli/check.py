"""`fanfare check`, `fanfare claim`, `fanfare rights` and `fanfare migrate`: before the services start."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fanfare.environment import load_settings
from fanfare.settings import Settings, SettingsError

__all__ = ["check", "claim", "migrate", "rights", "settings_of_stores"]

_T = TypeVar("_T")
_STORES = ("kafka", "redis", "postgres")
_STYLES = {"error": "red", "waits": "yellow", "warning": ""}


def settings_of_stores(needed: Sequence[str] = _STORES) -> Settings:
    """The settings, with the addresses of the running `fanfare up` where there are none.

    Raises:
        SettingsError: a store that is needed has no address.

    """
    import msgspec
    from pydantic import SecretStr

    settings = load_settings()
    try:
        run: Any = msgspec.json.decode((settings.home.expanduser() / "run.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        run = {}
    found: dict[str, Any] = {"kafka": settings.kafka or str(run.get("kafka", ""))}
    for name in ("redis", "postgres"):
        found[name] = SecretStr(getattr(settings, name).get_secret_value() or str(run.get(name, "")))
    found["public_url"] = settings.public_url or str(run.get("gateway", ""))
    missing = [f"FANFARE_{name.upper()}" for name in needed if not str(found[name])]
    if missing:
        raise SettingsError(f"no stores: start `fanfare up`, or set {', '.join(missing)}")
    secret = settings.home.expanduser() / "secret"
    if not settings.secret.get_secret_value() and secret.exists():
        found["secret"] = SecretStr(secret.read_text("ascii").strip())
    return settings.model_copy(update=found)


def _told(work: Callable[[], _T]) -> _T:
    """Do it; what a store says against it is told in one line."""
    from asyncpg import PostgresError

    from fanfare.bus.errors import KafkaError
    from fanfare.presence.errors import RedisError
    from fanfare.store.errors import StoreError

    try:
        return work()
    except (KafkaError, PostgresError, RedisError, StoreError, OSError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def check(
    role: Annotated[
        list[str] | None, typer.Option(help="Only what this process needs; may be given several times.")
    ] = None,
) -> None:
    """Check settings, Kafka, Redis and PostgreSQL, and show all that is wrong in one table.

    Exit status 0: nothing, or only warnings; 1: something keeps processes from working.
    """
    from fanfare.checks.findings import Level
    from fanfare.checks.program import check as check_all
    from fanfare.checks.rights import ROLES

    if unknown := [one for one in role or () if one not in ROLES]:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(ROLES)}", param_hint="--role")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    found = asyncio.run(check_all(settings_of_stores(), role or ROLES))
    if not found:
        print("nothing is wrong")
        return
    table = Table("level", "about", box=None, header_style="bold")
    table.add_column("what", overflow="fold")
    for one in sorted(found, key=lambda one: list(Level).index(one.level)):
        table.add_row(one.level, one.about, one.said, style=_STYLES[one.level])
    Console(soft_wrap=True).print(table)
    if any(one.level is not Level.WARNING for one in found):
        raise typer.Exit(1)


def claim() -> None:
    """Make one installation of the configured stores, whatever they belonged to. Another one on them stops working."""
    from fanfare.checks.marks import claim as claim_stores

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = settings_of_stores()
    made = _told(lambda: asyncio.run(claim_stores(settings)))
    print(f"these stores are installation {made} from now on")


def migrate(
    grant: Annotated[
        str,
        typer.Option(
            help="Users to give their least rights then, such as fanfare-{role}; they have to exist."
        ),
    ] = "",
) -> None:
    """Make the tables in PostgreSQL, or bring them to this version. Any number may do so at once."""
    from fanfare.checks.rights import POSTGRES, grants
    from fanfare.store.migrate import migrate as bring_up

    settings = settings_of_stores(("postgres",))
    users = {role: grant.format(role=role) for role in POSTGRES} if grant else {}
    statements = [said for role, user in users.items() for said in grants(settings, role, user)]
    _told(lambda: bring_up(settings, statements))
    print("the tables are those of this version")


def rights(
    store: Annotated[str, typer.Argument(help="kafka, redis or postgres.")],
    user: Annotated[
        str, typer.Option(help="The user of a process; {role} stands for its role.")
    ] = "fanfare-{role}",
) -> None:
    """Print the commands that give each process the least rights it can work with."""
    from fanfare.checks import redis_rights
    from fanfare.checks.rights import ROLES, grants, kafka_acls
    from fanfare.presence import keys

    settings = load_settings()
    keys.use_prefix(settings.prefix)
    for role in ROLES:
        name = user.format(role=role)
        if store == "kafka":
            for words in kafka_acls(settings, role, f"User:{name}"):
                print("fanfare kafka acls", *words)
        elif store == "redis":
            print("ACL SETUSER", name, "on '>PASSWORD'", *redis_rights.acl(role))
        elif store == "postgres":
            for statement in grants(settings, role, name):
                print(f"{statement};")
        else:
            raise typer.BadParameter(f"{store} is none of kafka, redis, postgres")
