"""Members who have been away for long, and when users were last online."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fanfare import rights
from fanfare.model import Member
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.database import Database
from fanfare.store.membership import part
from fanfare.store.rows import MEMBER_SQL, as_member

__all__ = ["PRUNED_AT_ONCE", "Pruning"]

PRUNED_AT_ONCE: Final = 500
"""Members that one change removes: the guild is locked meanwhile."""
_AWAY: Final = (
    "WHERE m.guild_id = $1 AND u.seen_at < $2 AND m.joined_at < $2 AND NOT u.bot AND m.roles <@ $3::bigint[] "
    "AND m.user_id <> (SELECT owner_id FROM guilds WHERE id = $1)"
)


class Pruning:
    """The part of the store that knows who was away for how long."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def seen(self, users: Iterable[int]) -> None:
        """Note that users are online; to within an hour."""
        await self._db.value(
            "UPDATE users SET seen_at = now() WHERE id = ANY($1::bigint[]) "
            "AND seen_at < now() - interval '1 hour'",
            sorted(users),
        )

    async def prunable(self, guild_id: int, days: int, roles: Sequence[int]) -> int:
        """How many members have not been online for so many days, and have no roles but these."""
        sql = "SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id " + _AWAY  # noqa: S608 (constants)
        return int(await self._db.value(sql, guild_id, _since(days), list(roles)))

    async def prune(self, guild_id: int, days: int, roles: Sequence[int], *, by: int) -> Change[int]:
        """Remove some of those members, PRUNED_AT_ONCE at the most; how many.

        Who stands as high as the one who does it stays. Raises NotFoundError, RightsError.
        """
        async with changing(self._db, guild_id, by) as change:
            await change.permit(by, rights.guild_pruned)
            rows = await change.connection.fetch(
                MEMBER_SQL + _AWAY + " ORDER BY m.user_id LIMIT $4",
                guild_id,
                _since(days),
                list(roles),
                PRUNED_AT_ONCE,
            )
            gone = await _below(change, by, [as_member(row) for row in rows])
            change.by = 0  # one line of the audit log is for all of them
            for member in gone:
                await part(change, member)
            change.by = by
            if gone:
                told = {"delete_member_days": str(days), "members_removed": str(len(gone))}
                change.note("MEMBER_PRUNE", told, None)
            return change.done(len(gone))


async def _below(change: Changing, by: int, members: list[Member]) -> list[Member]:
    """Those whom somebody may remove."""
    now = await change.state(by, *(member.user.id for member in members))
    found = []
    for member in members:
        try:
            rights.member_removed(now, acting(now, by), member)
        except rights.RightsError:
            continue
        found.append(member)
    return found


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)
