"""How users come into a guild, and how they leave it, whichever way they take."""

from datetime import UTC, datetime
from typing import Final

from fanfare import payloads, rights
from fanfare.model import Member, User
from fanfare.store.changes import Changing
from fanfare.store.database import Connection
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import MEMBER_SQL, as_member
from fanfare.store.threads import leave_threads

__all__ = ["BANNED", "insert_member", "join", "member_of", "part"]

BANNED: Final = 40007


async def join(
    change: Changing, user: User, *, roles: tuple[int, ...] = (), nick: str | None = None
) -> tuple[Member, bool]:
    """Let a user join; who is a member already stays as they are.

    Returns:
        The member, and whether they have joined now.

    Raises:
        RightsError: the user is banned.

    """
    banned = await change.connection.fetchval(
        "SELECT 1 FROM bans WHERE guild_id = $1 AND user_id = $2", change.guild_id, user.id
    )
    if banned:
        raise rights.BadChangeError(BANNED, "The user is banned from this guild.")
    member = Member(user=user, roles=roles, joined_at=datetime.now(UTC), nick=nick)
    if not await insert_member(change.connection, change.guild_id, member):
        return await member_of(change.connection, change.guild_id, user.id), False
    await change.connection.execute(
        "UPDATE guilds SET member_count = member_count + 1 WHERE id = $1", change.guild_id
    )
    payload = payloads.member(member) | {"guild_id": str(change.guild_id)}
    change.event("GUILD_MEMBER_ADD", payload, users=(user.id,))
    return member, True


async def part(change: Changing, member: Member) -> None:
    """Take a member out of the guild."""
    await leave_threads(change, member.user.id)
    await change.connection.execute(
        "DELETE FROM members WHERE guild_id = $1 AND user_id = $2", change.guild_id, member.user.id
    )
    await change.connection.execute(
        "UPDATE guilds SET member_count = member_count - 1 WHERE id = $1", change.guild_id
    )
    change.event(
        "GUILD_MEMBER_REMOVE",
        {"guild_id": str(change.guild_id), "user": payloads.user(member.user)},
        users=(member.user.id,),
        before=payloads.member(member),
    )


async def insert_member(connection: Connection, guild_id: int, member: Member) -> bool:
    """Add a row for a member; False: there is one."""
    inserted = await connection.fetchval(
        "INSERT INTO members (guild_id, user_id, nick, roles, joined_at) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING RETURNING user_id",
        guild_id,
        member.user.id,
        member.nick,
        list(member.roles),
        member.joined_at,
    )
    return inserted is not None


async def member_of(connection: Connection, guild_id: int, user_id: int) -> Member:
    """A member. Raises: NotFoundError."""
    row = await connection.fetchrow(
        MEMBER_SQL + "WHERE m.guild_id = $1 AND m.user_id = $2", guild_id, user_id
    )
    if row is None:
        raise NotFoundError("member", user_id)
    return as_member(row)
