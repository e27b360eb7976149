"""Roles of guilds."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fanfare import payloads, rights
from fanfare.model import Role
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.database import Connection, Database
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import as_overwrite, as_role

__all__ = ["Roles", "insert_role"]

# Holders of a deleted role that its event names: 20 kB. If there were more, a session that was away begins anew.
_NAMED: Final = 1000


class Roles:
    """The part of the store that changes roles; they are read with their guild."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create_role(self, guild_id: int, role: Role, *, by: int = 0) -> Change[Role]:
        """Make a role. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            await change.permit(by, rights.role_created, role)
            await insert_role(change.connection, guild_id, role)
            change.event("GUILD_ROLE_CREATE", {"guild_id": str(guild_id), "role": payloads.role(role)})
            return change.done(role)

    async def update_role(self, guild_id: int, role_id: int, *, by: int = 0, **changes: Any) -> Change[Role]:
        """Change fields of a role, named as in the model. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            old = await _role(change, role_id)
            new = msgspec.structs.replace(old, **changes)
            await change.permit(by, rights.role_changed, old, new)
            if new != old:
                await _update(change, old, new)
            return change.done(new)

    async def move_roles(
        self, guild_id: int, positions: Mapping[int, int], *, by: int = 0
    ) -> Change[list[Role]]:
        """Change the places of several roles: of all that are to move, or of none. Roles that stay are not looked at.

        Args:
            guild_id: where.
            positions: by role.
            by: who does it; 0: the operator.

        Returns:
            All roles of the guild.

        Raises:
            NotFoundError: one of them is no role of the guild.
            RightsError: `by` may not.

        """
        async with changing(self._db, guild_id, by) as change:
            # Once for all moves: the guild stays locked meanwhile.
            now = await change.state(by)
            for role_id, position in positions.items():
                old = now.roles.get(role_id)
                if old is None:
                    raise NotFoundError("role", role_id)
                new = msgspec.structs.replace(old, position=position)
                if new == old:
                    continue
                if by:
                    rights.role_changed(now, acting(now, by), old, new)
                await _update(change, old, new)
                now.roles[role_id] = new
            return change.done(list(now.roles.values()))

    async def delete_role(self, guild_id: int, role_id: int, *, by: int = 0) -> Change[Role]:
        """Take a role away, from its members and the overwrites of channels too. Raises NotFoundError.

        Raises:
            NotFoundError: there is no such role.
            RightsError: `by` may not.
            ValueError: it is @everyone.

        """
        if role_id == guild_id and not by:
            raise ValueError("the @everyone role cannot be deleted")
        async with changing(self._db, guild_id, by) as change:
            old = await _role(change, role_id)
            await change.permit(by, rights.role_deleted, old)
            await change.connection.execute("DELETE FROM roles WHERE id = $1", role_id)
            held = await change.connection.fetch(
                "UPDATE members SET roles = array_remove(roles, $2) WHERE guild_id = $1 AND $2 = ANY(roles) "
                "RETURNING user_id",
                guild_id,
                role_id,
            )
            lost = await change.connection.fetch(
                "DELETE FROM overwrites o USING channels c "
                "WHERE c.id = o.channel_id AND c.guild_id = $1 AND o.target_id = $2 RETURNING o.*",
                guild_id,
                role_id,
            )
            before = {
                "role": payloads.role(old),
                "overwrites": [
                    {"channel_id": str(row["channel_id"]), "overwrite": payloads.overwrite(as_overwrite(row))}
                    for row in lost
                ],
                "members": [str(row["user_id"]) for row in held] if len(held) <= _NAMED else None,
            }
            change.event(
                "GUILD_ROLE_DELETE", {"guild_id": str(guild_id), "role_id": str(role_id)}, before=before
            )
            return change.done(old)


async def insert_role(connection: Connection, guild_id: int, role: Role) -> None:
    """Add a row for the role."""
    await connection.execute(
        "INSERT INTO roles (id, guild_id, name, permissions, position, color, hoist, mentionable, managed) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        role.id,
        guild_id,
        role.name,
        role.permissions,
        role.position,
        role.color,
        role.hoist,
        role.mentionable,
        role.managed,
    )


async def _update(change: Changing, old: Role, new: Role) -> None:
    await change.connection.execute(
        "UPDATE roles SET name = $2, permissions = $3, position = $4, color = $5, hoist = $6, "
        "mentionable = $7 WHERE id = $1",
        new.id,
        new.name,
        new.permissions,
        new.position,
        new.color,
        new.hoist,
        new.mentionable,
    )
    change.event(
        "GUILD_ROLE_UPDATE",
        {"guild_id": str(change.guild_id), "role": payloads.role(new)},
        before={"role": payloads.role(old)},
    )


async def _role(change: Changing, role_id: int) -> Role:
    row = await change.connection.fetchrow(
        "SELECT * FROM roles WHERE id = $1 AND guild_id = $2", role_id, change.guild_id
    )
    if row is None:
        raise NotFoundError("role", role_id)
    return as_role(row)
