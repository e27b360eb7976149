"""What a watcher may see of an entity now. Pure, but for looking members of guilds up."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol

from fanfare.location.entity import Entity
from fanfare.location.positions import Fix
from gateway.location.known import Known
from gateway.location.watch_list import Watcher

__all__ = ["Refused", "Roles", "Sight", "in_area"]

UNKNOWN: Final = {"code": 10900, "message": "Unknown Entity"}
MISSING: Final = {"code": 50001, "message": "Missing Access"}
ENDED: Final = {"code": 10901, "message": "The entity has ended"}
Refused = dict[str, Any]


class Roles(Protocol):
    """Which roles users have: `gateway.guilds.cache.GuildCache`."""

    def roles_in_memory(self, guild_id: int, user_id: int) -> tuple[int, ...]:
        """Those of a member; none where the guild is not in memory."""

    async def member(self, guild_id: int, user_id: int) -> Any:
        """Looks the member up, and keeps them in memory."""


class Sight:
    """Asks the rights."""

    def __init__(self, known: Known, roles: Roles) -> None:
        """Args: known: the entities; roles: of members of guilds."""
        self._known = known
        self._roles = roles

    def refusal(self, entity: Entity | None, watcher: Watcher) -> Refused | None:
        """Why somebody may not watch an entity; None: they may."""
        if entity is None:
            return UNKNOWN
        if watcher.may(entity, self._roles_of(entity, watcher.user)):
            return None
        return ENDED if entity.ended and self._knew(entity, watcher) else MISSING

    def sees_exactly(self, entity: Entity, watcher: Watcher) -> bool:
        """Whether a watcher sees exactly where an entity is."""
        roles = self._roles_of(entity, watcher.user)
        return watcher.may(entity, roles) and watcher.exactly(entity, roles)

    def _knew(self, entity: Entity, watcher: Watcher) -> bool:
        """Whether they might watch it before it ended."""
        roles = self._roles_of(entity, watcher.user)
        return watcher.exactly(entity, roles) or watcher.user in entity.coarse

    def _roles_of(self, entity: Entity, user: int) -> tuple[int, ...]:
        return self._roles.roles_in_memory(entity.guild_id, user) if entity.roles else ()

    async def know_roles(self, entities: Iterable[Entity], user: int) -> None:
        """Bring into memory which roles a user has in the guilds of entities."""
        for guild in {entity.guild_id for entity in entities if entity.roles}:
            with suppress(Exception):  # a guild that is gone has no members
                await self._roles.member(guild, user)

    def sees(self, watcher: Watcher, fix: Fix) -> bool | None:
        """Whether a watcher may see exactly where an entity is; None: it may not see it at all."""
        ids = watcher.sources.get(fix.entity_id, [])
        if fix.entity_id not in ids and in_area(watcher, fix):
            ids = [*ids, fix.entity_id]
        found: bool | None = None
        for ident in ids:
            entity = self._known.get(ident)
            if entity is None:
                continue
            roles = self._roles_of(entity, watcher.user)
            if watcher.may(entity, roles):
                found = bool(found) or watcher.exactly(entity, roles)
        return found


def in_area(watcher: Watcher, fix: Fix) -> bool:
    """Whether a position is in the area that somebody watches."""
    return watcher.area is not None and watcher.area.holds(fix.lat, fix.lon)
