"""Files that are to be removed: stored ones that no message has claimed yet, and those whose message is gone."""

from collections.abc import Iterable

from fanfare.store.database import Connection, Database

__all__ = ["Files", "claim_files", "release_files"]


class Files:
    """The part of the store that knows which files are to be removed."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def note_files(self, paths: list[str], *, after_s: float) -> None:
        """Let files be removed after a while, unless a message claims them."""
        async with self._db.connection() as connection:
            await release_files(connection, paths, after_s)

    async def due_files(self, limit: int) -> list[str]:
        """Some of the files whose time is over."""
        rows = await self._db.fetch("SELECT path FROM files WHERE due <= now() ORDER BY due LIMIT $1", limit)
        return [row["path"] for row in rows]

    async def removed_files(self, paths: list[str]) -> None:
        """These are removed."""
        async with self._db.connection() as connection:
            await claim_files(connection, paths)


async def claim_files(connection: Connection, paths: Iterable[str]) -> None:
    """Files that a message has: they stay."""
    await connection.execute("DELETE FROM files WHERE path = ANY($1::text[])", sorted(paths))


async def release_files(connection: Connection, paths: Iterable[str], after_s: float = 0) -> None:
    """Files that no message has: they go."""
    await connection.execute(
        "INSERT INTO files (path, due) SELECT path, now() + $2 * interval '1 second' "
        "FROM unnest($1::text[]) AS p(path) ON CONFLICT (path) DO UPDATE SET due = excluded.due",
        sorted(paths),
        after_s,
    )
