"""Invites: a code by which people join a guild."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fanfare import payloads, rights
from fanfare.model import Channel, Invite, Member, User
from fanfare.permissions import P
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.database import Database, Row
from fanfare.store.errors import NotFoundError
from fanfare.store.membership import join
from fanfare.store.rows import as_user

__all__ = ["MAX_INVITES", "Invites"]

MAX_INVITES: Final = 1000

_SQL: Final = (
    "SELECT i.*, u.id, u.username, u.global_name, u.bot FROM invites i JOIN users u ON u.id = i.inviter_id "
    "WHERE (i.max_age = 0 OR i.made_at + i.max_age * interval '1 second' > now()) "
)


class Invites:
    """The part of the store that knows invites; those that have expired are not there."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def invite(self, code: str) -> Invite:
        """An invite. Raises NotFoundError."""
        row = await self._db.row(_SQL + "AND i.code = $1", code)
        if row is None:
            raise NotFoundError("invite", 0)
        return _invite(row)

    async def invites(self, guild_id: int, channel_id: int = 0) -> list[Invite]:
        """The invites to a guild, or to one channel of it."""
        sql = _SQL + "AND i.guild_id = $1 AND ($2::bigint = 0 OR i.channel_id = $2) ORDER BY i.made_at"
        return [_invite(row) for row in await self._db.fetch(sql, guild_id, channel_id)]

    async def create_invite(self, channel: Channel, made: Invite, *, unique: bool = False) -> Change[Invite]:
        """Make an invite; an unused one of the same kind is given again, unless it is to be unique.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: the inviter may not.

        """
        async with changing(self._db, channel.guild_id, made.inviter.id) as change:
            now = await change.state(made.inviter.id)
            rights.invited(now, acting(now, made.inviter.id), channel.id)
            there = await change.connection.fetch(_SQL + "AND i.guild_id = $1", channel.guild_id)
            same = [one for one in map(_invite, there) if _alike(one, made)]
            if same and not unique:
                return change.done(same[0])
            if len(there) >= MAX_INVITES:
                raise rights.BadChangeError(30016, f"Maximum number of invites reached ({MAX_INVITES})")
            await change.connection.execute(
                "DELETE FROM invites WHERE guild_id = $1 AND max_age > 0 "
                "AND made_at + max_age * interval '1 second' <= now()",
                channel.guild_id,
            )
            await change.connection.execute(
                "INSERT INTO invites (code, guild_id, channel_id, inviter_id, made_at, max_age, max_uses) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                made.code,
                channel.guild_id,
                channel.id,
                made.inviter.id,
                made.made_at,
                made.max_age,
                made.max_uses,
            )
            change.event(
                "INVITE_CREATE",
                payloads.invite_created(made),
                channel=channel.id,
                permission=int(P.MANAGE_CHANNELS),
            )
            return change.done(made)

    async def delete_invite(self, code: str, *, by: int) -> Change[Invite]:
        """Take an invite back. Raises NotFoundError, RightsError."""
        found = await self.invite(code)
        async with changing(self._db, found.guild_id, by) as change:
            await change.permit(by, rights.invite_deleted, found.channel_id)
            await _delete(change, found)
            return change.done(found)

    async def use_invite(self, code: str, user: User) -> Change[Member]:
        """Join a guild; `changed` is False for a member of it, and then the invite is not used.

        Raises:
            NotFoundError: there is no such invite, or not any more.
            RightsError: the user is banned.

        """
        guild_id = (await self.invite(code)).guild_id
        async with changing(self._db, guild_id) as change:
            row = await change.connection.fetchrow(_SQL + "AND i.code = $1", code)
            if row is None:
                raise NotFoundError("invite", 0)
            found = _invite(row)
            member, joined = await join(change, user)
            if joined:
                await change.connection.execute("UPDATE invites SET uses = uses + 1 WHERE code = $1", code)
                if found.max_uses and found.uses + 1 >= found.max_uses:
                    await _delete(change, found)
            return change.done(member)


async def _delete(change: Changing, found: Invite) -> None:
    gone = await change.connection.fetchval("DELETE FROM invites WHERE code = $1 RETURNING code", found.code)
    if gone is None:
        raise NotFoundError("invite", 0)
    change.event(
        "INVITE_DELETE",
        {"channel_id": str(found.channel_id), "guild_id": str(found.guild_id), "code": found.code},
        channel=found.channel_id,
        permission=int(P.MANAGE_CHANNELS),
    )


def _alike(one: Invite, other: Invite) -> bool:
    """Whether an invite that nobody has used yet does as well, for most of its time."""
    return (
        (one.channel_id, one.inviter.id, one.max_age, one.max_uses, one.uses)
        == (other.channel_id, other.inviter.id, other.max_age, other.max_uses, 0)
    ) and (not one.max_age or datetime.now(UTC) - one.made_at < timedelta(seconds=one.max_age / 10))


def _invite(row: Row) -> Invite:
    return Invite(
        code=row["code"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        inviter=as_user(row),
        made_at=row["made_at"],
        max_age=row["max_age"],
        max_uses=row["max_uses"],
        uses=row["uses"],
    )
