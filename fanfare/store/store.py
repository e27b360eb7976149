"""All parts of the database in one object."""

from typing import Self

from fanfare.settings import Settings
from fanfare.store.audit import AuditLog
from fanfare.store.bans import Bans
from fanfare.store.channels import Channels
from fanfare.store.commands import Commands
from fanfare.store.database import Database
from fanfare.store.emojis import Emojis
from fanfare.store.entities import Entities
from fanfare.store.files import Files
from fanfare.store.geofences import Geofences
from fanfare.store.guilds import Guilds
from fanfare.store.invites import Invites
from fanfare.store.messages import Messages
from fanfare.store.pruning import Pruning
from fanfare.store.reactions import Reactions
from fanfare.store.roles import Roles
from fanfare.store.search import Search
from fanfare.store.threads import Threads
from fanfare.store.users import Users
from fanfare.store.webhooks import Webhooks

__all__ = ["Store"]


class Store(
    Users,
    Guilds,
    Roles,
    Channels,
    Threads,
    Messages,
    Search,
    Reactions,
    Files,
    Invites,
    Bans,
    AuditLog,
    Commands,
    Entities,
    Geofences,
    Webhooks,
    Emojis,
    Pruning,
):
    """Users, guilds, roles, channels, messages, reactions, entities and all else that is in PostgreSQL.

    Every call raises StoreUnavailableError within seconds while PostgreSQL is away; later ones work again.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    @classmethod
    async def connect(cls, settings: Settings) -> Self:
        """The store; it connects when it is first used, so PostgreSQL may be away now."""
        return cls(await Database.connect(settings))

    @property
    def database(self) -> Database:
        """The connections, for the archiver and the relay."""
        return self._db

    async def close(self) -> None:
        """Close the connections."""
        await self._db.close()

    async def ping(self) -> None:
        """Ask the database for nothing. Raises StoreUnavailableError."""
        await self._db.value("SELECT 1")
