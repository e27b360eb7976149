"""The audit log, as it is read. It is written with each change (fanfare.store.changes)."""

from typing import Final

from fanfare.store.database import Database

__all__ = ["AuditLog"]

_PAGE: Final = """
SELECT entry, user_id, target FROM audit_log WHERE guild_id = $1 AND ($2::bigint = 0 OR user_id = $2)
AND ($3::int = 0 OR action = $3) AND ($4::bigint = 0 OR target = $4)
AND ($5::bigint IS NULL OR id < $5) AND ($6::bigint IS NULL OR id > $6)
"""


class AuditLog:
    """The part of the store that knows who did what."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def audit_log(
        self,
        guild_id: int,
        *,
        user_id: int = 0,
        action: int = 0,
        target: int = 0,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> list[tuple[bytes, int, int]]:
        """A page of the log: JSON, who, and whom or what it is about. Newest first; with `after`, oldest first."""
        rows = await self._db.fetch(
            _PAGE + ("ORDER BY id DESC LIMIT $7" if after is None else "ORDER BY id LIMIT $7"),
            guild_id,
            user_id,
            action,
            target,
            before,
            after,
            limit,
        )
        return [(row["entry"], row["user_id"], row["target"]) for row in rows]
