"""Who is banned from a guild, and how a member leaves one by themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from fanfare import payloads, rights
from fanfare.model import Member, User
from fanfare.store.changes import REASON, Change, acting, changing
from fanfare.store.database import Database
from fanfare.store.errors import NotFoundError
from fanfare.store.membership import join, member_of, part
from fanfare.store.rows import as_user

__all__ = ["Ban", "Bans"]

_SQL = (
    "SELECT u.id, u.username, u.global_name, u.bot, b.reason FROM bans b JOIN users u ON u.id = b.user_id "
    "WHERE b.guild_id = $1 "
)


class Ban(NamedTuple):
    """A user who cannot join."""

    user: User
    reason: str | None


class Bans:
    """The part of the store that keeps users out."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def ban(self, guild_id: int, user: User, *, by: int = 0) -> Change[User]:
        """Keep a user out, and take them out if they are a member. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            now = await change.state(by, user.id)
            if by:
                rights.banned(now, acting(now, by), user.id)
            new = await change.connection.fetchval(
                "INSERT INTO bans (guild_id, user_id, reason) VALUES ($1, $2, $3) "
                "ON CONFLICT DO NOTHING RETURNING user_id",
                guild_id,
                user.id,
                REASON.get() or None,
            )
            if new is not None:
                change.event("GUILD_BAN_ADD", {"guild_id": str(guild_id), "user": payloads.user(user)})
            if (member := now.members.get(user.id)) is not None:
                await part(change, member)
            return change.done(user)

    async def unban(self, guild_id: int, user_id: int, *, by: int = 0) -> Change[User]:
        """Let a user in again. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            await change.permit(by, rights.unbanned)
            row = await change.connection.fetchrow(_SQL + "AND b.user_id = $2", guild_id, user_id)
            if row is None:
                raise NotFoundError("ban", user_id)
            await change.connection.execute(
                "DELETE FROM bans WHERE guild_id = $1 AND user_id = $2", guild_id, user_id
            )
            user = as_user(row)
            change.event("GUILD_BAN_REMOVE", {"guild_id": str(guild_id), "user": payloads.user(user)})
            return change.done(user)

    async def bans(
        self, guild_id: int, *, before: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[Ban]:
        """Who is banned, by user id: the first ones above `after`, or the last ones below `before`."""
        if before is not None:
            sql = _SQL + "AND b.user_id < $2 ORDER BY b.user_id DESC LIMIT $3"
            rows = await self._db.fetch(sql, guild_id, before, limit)
            rows.reverse()
        else:
            sql = _SQL + "AND b.user_id > $2 ORDER BY b.user_id LIMIT $3"
            rows = await self._db.fetch(sql, guild_id, after, limit)
        return [Ban(as_user(row), row["reason"]) for row in rows]

    async def ban_of(self, guild_id: int, user_id: int) -> Ban | None:
        """A user's ban; None: there is none."""
        row = await self._db.row(_SQL + "AND b.user_id = $2", guild_id, user_id)
        return Ban(as_user(row), row["reason"]) if row is not None else None

    async def take_in(
        self, guild_id: int, user: User, *, roles: Sequence[int] = (), nick: str | None = None, by: int
    ) -> Change[Member]:
        """Let somebody bring a user in, with roles and a nick that they may give.

        `changed` is False for a member. Raises NotFoundError, RightsError.
        """
        async with changing(self._db, guild_id, by) as change:
            now = await change.state(by, user.id)
            if (there := now.members.get(user.id)) is not None:
                return change.done(there)
            bare = Member(user=user, joined_at=datetime.now(UTC))
            wanted = replace(bare, roles=tuple(sorted(set(roles))), nick=nick)
            rights.member_changed(now, acting(now, by), bare, wanted)
            member, _ = await join(change, user, roles=wanted.roles, nick=nick)
            return change.done(member)

    async def leave(self, guild_id: int, user_id: int) -> Change[Member]:
        """Let a member leave by themselves. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id) as change:
            member = await member_of(change.connection, guild_id, user_id)
            rights.member_left(await change.state(user_id), member)
            await part(change, member)
            return change.done(member)
