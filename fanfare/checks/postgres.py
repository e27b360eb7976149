"""Whether a PostgreSQL is fit to be ours: the questions, and what follows from the answers."""

import time
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

import asyncpg

from fanfare.checks.findings import Finding, error, waits, warning
from fanfare.checks.rights import POSTGRES
from fanfare.settings import Settings
from fanfare.store.database import Connection, dial, dsn
from fanfare.store.errors import StoreUnavailableError
from fanfare.tls import Problem, reason

__all__ = ["Facts", "check_postgres", "judge", "newest_step"]

_ABOUT: Final = "PostgreSQL"
_OLDEST: Final = 140_000
_OFF_S: Final = 5.0
_FACTS: Final = """
SELECT current_user AS user, current_schema() AS schema, current_setting('server_version_num')::int AS version,
  current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
  current_setting('default_transaction_read_only') = 'on' AS readonly,
  extract(epoch FROM clock_timestamp())::float AS now,
  has_database_privilege(current_database(), 'TEMP') AS temp, to_regclass('alembic_version') IS NOT NULL AS migrated
"""
_MISSING: Final = """
SELECT t.name, t.operation, to_regclass(t.name) IS NOT NULL AS there,
  CASE WHEN to_regclass(t.name) IS NULL THEN false ELSE has_table_privilege(to_regclass(t.name), t.operation) END AS may
FROM unnest($1::text[], $2::text[]) AS t(name, operation)
"""


class Facts(NamedTuple):
    """What a PostgreSQL said of itself."""

    user: str
    version: int
    encoding: str
    standby: bool
    readonly: bool
    off_s: float
    """How far its clock is ahead of ours."""
    step: str | None
    """The migration that it has; None where there are no tables."""
    refused: Sequence[tuple[str, str]] = ()
    """(table, operation) that this user may not."""
    temp: bool = True
    """Whether it may make temporary tables."""


def newest_step() -> str:
    """The newest migration that this version of Fanfare brings along.

    By the names of the files, which begin with the step: alembic would take longer to import than all checks together.
    """
    there = resources.files("fanfare.store").joinpath("migrations", "versions").iterdir()
    return max(file.name.partition("_")[0] for file in there if file.name.endswith(".sql"))


async def check_postgres(settings: Settings, roles: Sequence[str]) -> list[Finding]:
    """Ask the configured PostgreSQL."""
    try:
        connection = await dial(dsn(settings))
    except StoreUnavailableError as away:
        return [_refused(settings, away)]
    try:
        return judge(await _facts(connection, roles), newest_step(), temp="archiver" in roles)
    except (asyncpg.PostgresError, OSError, TimeoutError) as said:
        return [waits(_ABOUT, str(said))]
    finally:
        await connection.close(timeout=1)


def _refused(settings: Settings, away: StoreUnavailableError) -> Finding:
    """Why there is no connection."""
    match away.__cause__:
        case asyncpg.InvalidAuthorizationSpecificationError() as said:
            return error(_ABOUT, f"it does not take the user and password of FANFARE_POSTGRES: {said}")
        case asyncpg.InvalidCatalogNameError() as said:
            return error(_ABOUT, f"{said}: make it, or name another one in FANFARE_POSTGRES")
        case asyncpg.InsufficientPrivilegeError() as said:
            return error(_ABOUT, str(said))
    if why := reason(away):
        authority = settings.postgres_ca or "not set"
        what = f"FANFARE_POSTGRES_CA is {authority}, and FANFARE_POSTGRES has the sslmode"
        return error(_ABOUT, f"{why}; {what}")
    if "rejected SSL upgrade" in str(away):
        return error(_ABOUT, f"{Problem.PLAIN}; the sslmode in FANFARE_POSTGRES requires TLS")
    return waits(_ABOUT, str(away))


async def _facts(connection: Connection, roles: Sequence[str]) -> Facts:
    before = time.time()
    row: Any = await connection.fetchrow(_FACTS)
    off_s = row["now"] - (before + time.time()) / 2
    wanted = {
        (table, operation)
        for role in roles
        for table, operations in POSTGRES.get(role, {}).items()
        for operation in operations
    }
    asked = await connection.fetch(
        _MISSING, [table for table, _ in wanted], [operation for _, operation in wanted]
    )
    refused = sorted((one["name"], one["operation"]) for one in asked if one["there"] and not one["may"])
    step = None
    if row["migrated"] and ("alembic_version", "SELECT") not in refused:
        step = await connection.fetchval("SELECT version_num FROM alembic_version")
    elif row["migrated"]:
        step = newest_step()  # it is not told
    return Facts(
        row["user"],
        row["version"],
        row["encoding"],
        row["standby"],
        row["readonly"],
        off_s,
        step,
        refused,
        row["temp"],
    )


def judge(facts: Facts, newest: str, *, temp: bool) -> list[Finding]:
    """What follows from the answers.

    Args:
        facts: the answers.
        newest: the newest migration that we know.
        temp: whether temporary tables are made.

    """
    found = []
    if facts.version < _OLDEST:
        found.append(
            error(
                _ABOUT, f"it is version {facts.version // 10_000}, and 14 is the oldest that Fanfare works on"
            )
        )
    if facts.encoding != "UTF8":
        found.append(
            error(_ABOUT, f"the encoding of the database is {facts.encoding}: make one with ENCODING 'UTF8'")
        )
    if facts.standby:
        found.append(
            error(_ABOUT, "FANFARE_POSTGRES leads to a standby, which only reads: give the primary's address")
        )
    elif facts.readonly:
        found.append(
            waits(_ABOUT, f"default_transaction_read_only is on for {facts.user}: nothing can be written")
        )
    if facts.step is None or facts.step < newest:
        have = f"step {facts.step}" if facts.step else "none"
        found.append(
            waits(
                _ABOUT,
                f"its tables are not those of this version ({have} of {newest}): run `fanfare migrate`",
            )
        )
    found += [
        error(
            _ABOUT,
            f"{facts.user} may not {operation} on table {table}: `fanfare rights postgres` prints what is needed",
        )
        for table, operation in facts.refused
    ]
    if temp and not facts.temp:
        found.append(error(_ABOUT, f"{facts.user} may not make temporary tables: GRANT TEMP ON DATABASE"))
    if abs(facts.off_s) > _OFF_S:
        found.append(
            warning(_ABOUT, f"its clock is {facts.off_s:+.1f} s off ours: let both follow one time server")
        )
    return found
