"""Guilds and their members: snapshots, and the changes that everybody in the guild hears of."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from fanfare import payloads, rights
from fanfare.model import Channel, Guild, Member, Role, User
from fanfare.permissions import DEFAULT
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.channels import insert_channel
from fanfare.store.database import Database
from fanfare.store.membership import insert_member, join, member_of, part
from fanfare.store.roles import insert_role
from fanfare.store.rows import MEMBER_SQL, as_guild, as_member
from fanfare.store.state import snapshot

__all__ = ["Guilds"]


class Guilds:
    """The part of the store that knows guilds and members."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def guild(self, guild_id: int) -> Guild | None:
        """The guild as it is at one moment: with all members, if they are at most LARGE_GUILD."""
        async with self._db.transaction(isolation="repeatable_read", readonly=True) as connection:
            return await snapshot(connection, guild_id)

    async def guild_ids(self, user_id: int) -> list[int]:
        """The guilds that the user is a member of, by id."""
        rows = await self._db.fetch(
            "SELECT guild_id FROM members WHERE user_id = $1 ORDER BY guild_id", user_id
        )
        return [row["guild_id"] for row in rows]

    async def all_guilds(self, after: int = 0, limit: int = 1000) -> list[Guild]:
        """A page of all guilds by id, without what is in them."""
        rows = await self._db.fetch("SELECT * FROM guilds WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
        return [as_guild(row) for row in rows]

    async def members(self, guild_id: int, user_ids: Iterable[int]) -> dict[int, Member]:
        """Those of the users that are members, by user id."""
        rows = await self._db.fetch(
            MEMBER_SQL + "WHERE m.guild_id = $1 AND m.user_id = ANY($2::bigint[])", guild_id, list(user_ids)
        )
        return {row["id"]: as_member(row) for row in rows}

    async def member_page(self, guild_id: int, after: int, limit: int) -> list[Member]:
        """Members by user id, those above `after`."""
        rows = await self._db.fetch(
            MEMBER_SQL + "WHERE m.guild_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3",
            guild_id,
            after,
            limit,
        )
        return [as_member(row) for row in rows]

    async def search_members(self, guild_id: int, prefix: str, limit: int) -> list[Member]:
        """Members whose user name or nick begins with the prefix (case does not matter), by user id."""
        rows = await self._db.fetch(
            MEMBER_SQL + "WHERE m.guild_id = $1 AND (lower(u.username) LIKE $2 OR lower(m.nick) LIKE $2) "
            "ORDER BY m.user_id LIMIT $3",
            guild_id,
            _like(prefix),
            limit,
        )
        return [as_member(row) for row in rows]

    async def create_guild(
        self,
        ids: Callable[[], int],
        owner: User,
        name: str,
        channels: Sequence[str] = ("general",),
        *,
        most: int = 1_000_000,
    ) -> Change[Guild]:
        """Make a guild with its @everyone role, its owner as a member, and text channels.

        Args:
            ids: makes snowflakes.
            owner: who owns it; exists already.
            name: of the guild.
            channels: names of its first channels, in order.
            most: guilds that the owner may have.

        Raises:
            RightsError: the owner has so many.

        """
        guild_id, now = ids(), datetime.now(UTC)
        async with self._db.transaction() as connection:
            # Two calls at once count one after the other.
            await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", owner.id)
            owned = await connection.fetchval("SELECT count(*) FROM guilds WHERE owner_id = $1", owner.id)
            if owned >= most:
                raise rights.BadChangeError(30001, f"Maximum number of guilds reached ({most})")
            await connection.execute(
                "INSERT INTO guilds (id, name, owner_id, member_count) VALUES ($1, $2, $3, 1)",
                guild_id,
                name,
                owner.id,
            )
            await insert_role(connection, guild_id, Role(id=guild_id, name="@everyone", permissions=DEFAULT))
            await insert_member(connection, guild_id, Member(user=owner, joined_at=now))
            for position, channel_name in enumerate(channels):
                channel = Channel(id=ids(), guild_id=guild_id, name=channel_name, position=position)
                await insert_channel(connection, channel)
            guild = await snapshot(connection, guild_id)
            assert guild is not None
            change = Changing(connection, guild_id, 0)
            change.event(
                "GUILD_CREATE",
                payloads.guild_create(
                    guild, guild.channels.values(), guild.members.values(), joined_at=now, large=False
                ),
                users=(owner.id,),
            )
            await change.finish()
            guild.version = change.version
            return change.done(guild)

    async def update_guild(
        self,
        guild_id: int,
        *,
        by: int = 0,
        name: str | None = None,
        owner_id: int | None = None,
        **settings: Any,
    ) -> Change[Guild]:
        """Change a guild.

        Args:
            guild_id: which.
            by: who does it; 0: the operator.
            name: of the guild; None: as it is.
            owner_id: to whom it is given; None: as it is.
            settings: those that change, named as in the model.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: `by` may not, or a channel that is named is none for this.

        """
        async with changing(self._db, guild_id, by) as change:
            now = await change.state(by, owner_id or by)
            new = msgspec.structs.replace(now.settings, **settings)
            if by:
                rights.guild_changed(now, acting(now, by), owner_id=owner_id, settings=new)
            await change.connection.execute(
                "UPDATE guilds SET name = coalesce($2, name), owner_id = coalesce($3, owner_id), settings = $4 "
                "WHERE id = $1",
                guild_id,
                name,
                owner_id,
                msgspec.json.encode(new).decode(),
            )
            guild = await snapshot(change.connection, guild_id)
            assert guild is not None
            before = {"name": now.name, "owner_id": str(now.owner_id)} | payloads.guild_settings(now.settings)
            change.event("GUILD_UPDATE", payloads.guild(guild), before=before)
            guild.version = change.version
            return change.done(guild)

    async def add_member(
        self, guild_id: int, user: User, *, roles: Iterable[int] = (), nick: str | None = None
    ) -> Change[Member]:
        """Let a user join; `changed` is False if the user is a member already. Raises NotFoundError."""
        async with changing(self._db, guild_id) as change:
            member, _ = await join(change, user, roles=tuple(roles), nick=nick)
            return change.done(member)

    async def delete_guild(self, guild_id: int, *, by: int, most: int) -> Change[int]:
        """Delete a guild with all that is in it.

        Args:
            guild_id: which.
            by: who does it.
            most: members that it may have: each of them is told by a record of their own.

        Raises:
            NotFoundError: there is none.
            RightsError: `by` is not its owner, or it is too large.

        """
        async with changing(self._db, guild_id) as change:
            await change.permit(by, rights.guild_deleted)
            rows = await change.connection.fetch(
                MEMBER_SQL + "WHERE m.guild_id = $1 ORDER BY m.user_id = $2, m.user_id", guild_id, by
            )
            if len(rows) > most:
                said = f"A guild of more than {most} members cannot be deleted"
                raise rights.BadChangeError(50055, said)
            for member in map(as_member, rows):
                change.event(
                    "GUILD_DELETE",
                    {"id": str(guild_id), "guild_id": str(guild_id), "user": payloads.user(member.user)},
                    users=(member.user.id,),
                    before=payloads.member(member),
                )
            await change.connection.execute("DELETE FROM guilds WHERE id = $1", guild_id)
            return change.done(len(rows))

    async def remove_member(self, guild_id: int, user_id: int, *, by: int = 0) -> Change[Member]:
        """Let a member leave, or be kicked by somebody. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            member = await member_of(change.connection, guild_id, user_id)
            await change.permit(by, rights.member_removed, member)
            await part(change, member)
            return change.done(member)

    async def set_member(
        self,
        guild_id: int,
        user_id: int,
        *,
        roles: Iterable[int] | None = None,
        add_roles: Iterable[int] = (),
        remove_roles: Iterable[int] = (),
        nick: str | UnsetType | None = UNSET,
        timed_out_until: datetime | UnsetType | None = UNSET,
        by: int = 0,
    ) -> Change[Member]:
        """Change a member's roles, nick or timeout. Raises NotFoundError, RightsError.

        Args:
            guild_id: where.
            user_id: who.
            by: who does it; 0: the operator.
            roles: ids of all roles they hold from now on; None: those they hold.
            add_roles: and these besides.
            remove_roles: and not these.
            nick: None: no nick; UNSET: as it is.
            timed_out_until: None: not timed out; UNSET: as it is.

        """
        async with changing(self._db, guild_id, by) as change:
            old = await member_of(change.connection, guild_id, user_id)
            held = (set(old.roles if roles is None else roles) | set(add_roles)) - set(remove_roles)
            new = msgspec.structs.replace(
                old,
                roles=tuple(sorted(held)),
                nick=old.nick if nick is UNSET else nick,
                timed_out_until=old.timed_out_until if timed_out_until is UNSET else timed_out_until,
            )
            await change.permit(by, rights.member_changed, old, new)
            same = (set(old.roles), old.nick, old.timed_out_until) == (held, new.nick, new.timed_out_until)
            if same:
                return change.done(old)
            await change.connection.execute(
                "UPDATE members SET roles = $3, nick = $4, timed_out_until = $5 WHERE guild_id = $1 AND user_id = $2",
                guild_id,
                user_id,
                list(new.roles),
                new.nick,
                new.timed_out_until,
            )
            payload = payloads.member(new) | {"guild_id": str(guild_id)}
            change.event("GUILD_MEMBER_UPDATE", payload, users=(user_id,), before=payloads.member(old))
            return change.done(new)


def _like(prefix: str) -> str:
    escaped = prefix.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped + "%"
