"""Reads and writes the marks of an installation; what they mean is in `installation`."""

import secrets as random_words
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from fanfare.bus.errors import TopicAuthorizationFailedError
from fanfare.bus.small_topics import append, read_whole
from fanfare.bus.topics import INSTALLATION
from fanfare.checks.installation import UNKNOWN, Mark, Marks, decide, fingerprints, secret_problem
from fanfare.presence import keys
from fanfare.presence.client import Redis, connect
from fanfare.settings import Settings
from fanfare.store.database import Connection, dial, dsn, own_number

__all__ = ["claim", "read_marks", "settle"]

# One process at a time decides where there is no mark yet.
_LOCK: Final = 0x66616E_0003


class _Word(msgspec.Struct):
    """A record of the topic: the first one holds, and each `claimed` after it."""

    id: str
    claimed: bool = False


async def settle(settings: Settings, *, redis: bool = True, postgres: bool = True) -> str:
    """Compare the marks, and set those that are missing. Whatever cannot be asked now is left out.

    Args:
        settings: where the stores are.
        redis: whether this process uses Redis.
        postgres: whether this process uses PostgreSQL.

    Returns:
        Why not to start, or ''.

    Raises:
        Exception: a store is away; which kind depends on the store.

    """
    client = connect(settings) if redis else None
    database = await dial(dsn(settings)) if postgres else None
    try:
        return await _settle(settings, client, database)
    finally:
        if client is not None:
            await client.aclose()
        if database is not None:
            await database.close(timeout=1)


async def _settle(settings: Settings, redis: Redis | None, database: Connection | None) -> str:
    marks = await read_marks(settings, redis, database)
    decision = decide(marks)
    both = (marks.kafka, marks.postgres)
    if database is not None and UNKNOWN not in both and None in both:
        # One process makes the marks, and may have made the first of them just now.
        await database.execute("SELECT pg_advisory_lock($1)", await own_number(database, _LOCK))
        decision = decide(await read_marks(settings, redis, database))
        if decision.make:
            made = random_words.token_hex(6)
            try:
                async with database.transaction():
                    await _mark_postgres(database, made, settings)
                    await _mark_kafka(settings, _Word(made))
            except (asyncpg.InsufficientPrivilegeError, TopicAuthorizationFailedError):
                return ""  # `fanfare topics create` does it, with more rights than a process has
            decision = decision._replace(id=made)
    if decision.problem:
        return decision.problem
    if decision.mark_redis and redis is not None and decision.id is not None:
        is_ours = await redis.set(keys.installation(), decision.id, nx=True)
        if not is_ours and (problem := decide(await read_marks(settings, redis, database)).problem):
            return problem  # somebody else was faster
    return await _secret(settings, database) if database is not None else ""


async def claim(settings: Settings) -> str:
    """Make one installation of the configured stores, with a new id, which is answered."""
    client = connect(settings)
    database = await dial(dsn(settings))
    try:
        made = random_words.token_hex(6)
        await database.execute("SELECT pg_advisory_lock($1)", await own_number(database, _LOCK))
        async with database.transaction():
            await database.execute("DELETE FROM installation")
            await _mark_postgres(database, made, settings)
            await _mark_kafka(settings, _Word(made, claimed=True))
        await client.set(keys.installation(), made)
        return made
    finally:
        await client.aclose()
        await database.close(timeout=1)


async def read_marks(settings: Settings, redis: Redis | None, database: Connection | None) -> Marks:
    """What the stores hold; those that are not given are not asked."""
    in_redis: Mark = UNKNOWN
    if redis is not None:
        raw: Any = await redis.get(keys.installation())
        in_redis = raw.decode() if raw is not None else None
    in_postgres: Mark = UNKNOWN
    if database is not None:
        # Said by the check of the tables.
        with suppress(asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            in_postgres = await database.fetchval("SELECT id FROM installation")
    return Marks(await _kafka_mark(settings), in_redis, in_postgres)


async def _secret(settings: Settings, database: Connection) -> str:
    """Compare the secrets; the new first one of a list takes the place of an old one."""
    ours = fingerprints(settings.secret.get_secret_value())
    try:
        row = await database.fetchrow("SELECT id, secret FROM installation")
        if row is None:
            return ""
        if problem := secret_problem(row["secret"], ours, row["id"]):
            return problem
        if ours and row["secret"] != ours[0]:
            await database.execute("UPDATE installation SET secret = $1", ours[0])
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
        return ""  # we have no right to write it: a process with the right does
    return ""


async def _mark_postgres(database: Connection, made: str, settings: Settings) -> None:
    ours = fingerprints(settings.secret.get_secret_value())
    await database.execute(
        "INSERT INTO installation (id, secret) VALUES ($1, $2)", made, ours[0] if ours else ""
    )


async def _kafka_mark(settings: Settings) -> Mark:
    """The mark in Kafka; UNKNOWN where the topic is not there, or may not be read."""
    values = await read_whole(settings, INSTALLATION)
    if values is None:
        return UNKNOWN
    found = None
    for word in map(_read, values):
        if word is not None and (found is None or word.claimed):
            found = word.id
    return found


def _read(value: bytes) -> _Word | None:
    """What a record says; None where it is not one of ours."""
    try:
        return msgspec.json.decode(value, type=_Word)
    except msgspec.DecodeError:
        return None


async def _mark_kafka(settings: Settings, word: _Word) -> None:
    """Write a mark."""
    await append(settings, INSTALLATION, msgspec.json.encode(word))
