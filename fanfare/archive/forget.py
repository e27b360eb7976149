"""Deletes what a user wrote and sent, everywhere but in the log, and looks afterwards whether anything is left.

The user is noted first (`forgotten` in the database and in the Parquet folder), so that an archiver that reads the log
again adds nothing of it; then who archives at this moment is waited for.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from fanfare.archive.folder import KINDS, ArchiveFolder
from fanfare.archive.forgotten import Forgotten
from fanfare.archive.quotes import MARK, quotes, without_quote
from fanfare.files.paths import keys_of
from fanfare.ids import first_snowflake, snowflake_ms
from fanfare.presence import keys
from fanfare.presence.client import Redis
from fanfare.settings import Settings
from fanfare.store.database import Connection, Row, dial, dsn, translated
from fanfare.store.files import release_files

__all__ = ["Found", "forget_cached", "forget_files", "forget_rows", "left_in_files", "left_in_rows"]

_AT_ONCE: Final = 2000
_NOTE: Final = """
INSERT INTO forgotten (user_id, upto_ms) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET upto_ms = greatest(forgotten.upto_ms, excluded.upto_ms)
"""
_MESSAGES: Final = """
WITH theirs AS (SELECT channel_id, id FROM messages WHERE author_id = $1 AND id <= $2 LIMIT $3)
DELETE FROM messages m USING theirs t WHERE m.channel_id = t.channel_id AND m.id = t.id AND m.author_id = $1
RETURNING m.channel_id, m.id, m.body
"""
_REACTIONS: Final = """
DELETE FROM reactions r USING unnest($1::bigint[], $2::bigint[]) AS g(channel_id, message_id)
WHERE r.channel_id = g.channel_id AND r.message_id = g.message_id
"""
_QUOTING: Final = """
SELECT channel_id, id, body FROM messages WHERE NOT deleted AND position($1::bytea IN body) > 0
AND position($2::bytea IN body) > 0
"""


class Found(msgspec.Struct):
    """How much of a user's there was, or is."""

    messages: int = 0
    quotes: int = 0
    """Replies of others that show one."""
    positions: int = 0
    parquet_rows: int = 0
    cached: int = 0

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connection]:
    connection = await dial(dsn(settings), statement_s=None)
    try:
        async with translated():
            yield connection
    finally:
        await connection.close()


async def forget_rows(settings: Settings, user: int, upto_ms: int) -> Found:
    """Delete the rows of a user up to a time. Raises StoreUnavailableError."""
    found, newest = Found(), _newest(upto_ms)
    async with _connected(settings) as connection:
        await connection.execute(_NOTE, user, upto_ms)
        async with connection.transaction():
            # Given when all that have read the table before are done.
            await connection.execute("LOCK TABLE forgotten IN ACCESS EXCLUSIVE MODE")
        while True:
            async with connection.transaction():
                rows = await connection.fetch(_MESSAGES, user, newest, _AT_ONCE)
                await release_files(connection, set().union(*(keys_of(row["body"]) for row in rows)))
                await connection.execute(
                    _REACTIONS, [row["channel_id"] for row in rows], [row["id"] for row in rows]
                )
            found.messages += len(rows)
            if len(rows) < _AT_ONCE:
                break
        for row in await _quoting(connection, user):
            await connection.execute(
                "UPDATE messages SET body = $3 WHERE channel_id = $1 AND id = $2 AND body = $4",
                row["channel_id"],
                row["id"],
                without_quote(row["body"], user),
                row["body"],
            )
            found.quotes += 1
        done = await connection.execute(
            "DELETE FROM positions WHERE author_id = $1 AND at_ms <= $2", user, upto_ms
        )
        found.positions = int(done.split()[-1])
    return found


async def left_in_rows(settings: Settings, user: int, upto_ms: int) -> Found:
    """What is there of it now. Raises StoreUnavailableError."""
    async with _connected(settings) as connection:
        return Found(
            messages=await connection.fetchval(
                "SELECT count(*) FROM messages WHERE author_id = $1 AND id <= $2", user, _newest(upto_ms)
            ),
            quotes=len(await _quoting(connection, user)),
            positions=await connection.fetchval(
                "SELECT count(*) FROM positions WHERE author_id = $1 AND at_ms <= $2", user, upto_ms
            ),
        )


async def forget_cached(redis: Redis, user: int, upto_ms: int) -> int:
    """Delete a user's messages from the caches of recent ones; how many. Raises RedisError."""
    gone = 0
    pattern = keys.recent_bodies(0).replace("{0}", "{*}")
    async for name in redis.scan_iter(match=pattern, count=1000):
        key = name.decode() if isinstance(name, bytes) else str(name)
        channel = int(key.rpartition("{")[2].partition("}")[0])
        for ident, value in (await redis.hgetall(key)).items():
            raw = value if isinstance(value, bytes) else value.encode()
            body = raw.partition(b":")[2]
            if snowflake_ms(int(ident)) <= upto_ms and _is_by(body, user):
                await redis.zrem(keys.recent(channel), ident)
                await redis.hdel(key, ident)
                gone += 1
    return gone


def forget_files(root: Path, user: int, upto_ms: int) -> int:
    """Write the Parquet files again without a user's rows; how many these were. Blocking."""
    from fanfare.archive import parquet  # noqa: PLC0415 - pyarrow is there only where this is wanted

    folder, gone = ArchiveFolder(root), 0
    Forgotten(root).add(user, upto_ms)
    for topic, partition in folder.partitions():
        with folder.locked(topic, partition):
            folder.clear(topic, partition)
            for kind, path in _files(folder, topic, partition):
                target = folder.temporary(f"forget/{path.name}")
                if changed := parquet.without(path, target, kind, user, upto_ms):
                    target.replace(path)
                    folder.sync(path.parent)
                    gone += changed
    return gone


def left_in_files(root: Path, user: int, upto_ms: int) -> int:
    """How many rows of it there are now. Blocking."""
    from fanfare.archive import parquet  # noqa: PLC0415

    folder = ArchiveFolder(root)
    every = (each for topic, number in folder.partitions() for each in _files(folder, topic, number))
    return sum(parquet.count(path, kind, user, upto_ms) for kind, path in every)


def _files(folder: ArchiveFolder, topic: str, partition: int) -> Iterable[tuple[str, Path]]:
    for kind in KINDS:
        for path in folder.files(kind, topic, partition):
            yield kind, path


async def _quoting(connection: Connection, user: int) -> list[Row]:
    rows = await connection.fetch(_QUOTING, MARK.encode(), b'"id":"%d"' % user)
    return [row for row in rows if quotes(row["body"], user)]


def _newest(upto_ms: int) -> int:
    """The last id of a time."""
    return first_snowflake(upto_ms + 1) - 1


def _is_by(body: bytes, user: int) -> bool:
    try:
        match msgspec.json.decode(body):
            case {"author": {"id": ident}}:
                return str(ident) == str(user)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return False
