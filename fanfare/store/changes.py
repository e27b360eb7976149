"""Changes to a guild: each locks its row, raises its version and writes an outbox row per event.

What somebody does is noted in the audit log in the same transaction, with the reason in `REASON`.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

import msgspec

from fanfare import payloads, rights
from fanfare.audit import entry_of, shown
from fanfare.ids import first_snowflake
from fanfare.model import Guild, Member
from fanfare.permissions import P as Permission
from fanfare.record import GUILD, Record
from fanfare.store.database import Connection, Database, own_channel
from fanfare.store.errors import NotFoundError
from fanfare.store.state import guild_state

__all__ = ["CHANNEL_NAME", "REASON", "Change", "Changing", "acting", "changing"]

P = ParamSpec("P")
T = TypeVar("T")

# SQL of the channel of LISTEN/NOTIFY on which the relay is woken.
CHANNEL_NAME: Final = own_channel("fanfare_outbox")

REASON: Final[ContextVar[str]] = ContextVar("REASON", default="")
"""Why somebody does what they do, in their own words."""
_LOGGED_MS: Final = 45 * 86_400_000

_encoder = msgspec.json.Encoder()


class Change(msgspec.Struct, Generic[T], frozen=True):
    """What a change left behind."""

    guild_id: int
    version: int
    """The guild's version after it: what `fanfare.presence.barrier` waits for."""
    value: T
    """The thing as it is now; the thing as it was, where it was deleted."""
    changed: bool = True
    """False if everything was so already: then there is no event, and `version` is the present one."""


class Changing:
    """A guild under its lock. Every event raises the version by one."""

    def __init__(self, connection: Connection, guild_id: int, version: int, by: int = 0) -> None:
        """Args: by: who makes the change; 0: the operator, or the user that the event is about."""
        self.connection = connection
        self.guild_id = guild_id
        self.version = version
        self.by = by
        self._records: list[Record] = []
        self._entries: list[tuple[object, ...]] = []

    async def state(self, *users: int) -> Guild:
        """The guild as it is under the lock, for a decision about it; of its members only those named."""
        return await guild_state(self.connection, self.guild_id, users)

    async def permit(
        self, by: int, rule: Callable[Concatenate[Guild, Member, P], None], *about: P.args, **more: P.kwargs
    ) -> None:
        """Ask one of `fanfare.rights` whether somebody may do this; the operator (0) may everything.

        Raises:
            RightsError: they may not.

        """
        if by:
            now = await self.state(by)
            rule(now, acting(now, by), *about, **more)

    def event(
        self,
        name: str,
        payload: payloads.Json,
        *,
        channel: int = 0,
        users: tuple[int, ...] = (),
        before: payloads.Json | None = None,
        permission: int = 0,
    ) -> None:
        """Note an event for everybody in the guild.

        Args:
            name: of the dispatch.
            payload: its `d`.
            channel: the channel it is about, if it is about one.
            users: the users that it is about: their inboxes get it besides the guild's.
            before: what was in the place of the payload, where the payload does not say it; never shown to clients.
            permission: who does not have it, in the channel or else in the guild, does not get the event.

        """
        self._record(name, payload, channel=channel, users=users, before=before, permission=permission)
        self.note(name, payload, before)

    def note(self, name: str, payload: payloads.Json, before: payloads.Json | None) -> None:
        """Note a change in the audit log, if it is somebody's and one that is logged. Arguments as for `event`."""
        entry = entry_of(name, payload, before, self.by) if self.by else None
        if entry is None:
            return
        # As unique as it has to be: in its guild.
        ident = self._ident(self.version + 1)
        line = shown(entry, ident, self.by, REASON.get())
        self._entries.append(
            (self.guild_id, ident, self.by, entry.action, entry.target, _encoder.encode(line))
        )
        self._record(
            "GUILD_AUDIT_LOG_ENTRY_CREATE",
            line | {"guild_id": str(self.guild_id)},
            permission=int(Permission.VIEW_AUDIT_LOG),
        )

    @staticmethod
    def _ident(version: int) -> int:
        return first_snowflake(int(time.time() * 1000)) | (version & 0x3FFFFF)

    def _record(
        self,
        name: str,
        payload: payloads.Json,
        *,
        channel: int = 0,
        users: tuple[int, ...] = (),
        before: payloads.Json | None = None,
        permission: int = 0,
    ) -> None:
        self.version += 1
        now_ms = int(time.time() * 1000)
        self._records.append(
            Record(
                type=name,
                # Need not be unique: (author, nonce) is, and clients do not see it.
                id=self._ident(self.version),
                at=now_ms,
                audience=GUILD,
                guild=self.guild_id,
                channel=channel,
                author=self.guild_id,
                nonce=f"g{self.version}",
                users=users,
                permission=permission,
                version=self.version,
                payload=_encoder.encode(payload),
                before=_encoder.encode(before) if before is not None else b"",
            )
        )

    def done(self, value: T) -> Change[T]:
        """The change, with what it is about."""
        return Change(self.guild_id, self.version, value, bool(self._records))

    async def finish(self) -> None:
        """Write version and outbox; the transaction is committed after this."""
        if not self._records:
            return
        await self.connection.execute(
            "UPDATE guilds SET version = $2 WHERE id = $1", self.guild_id, self.version
        )
        await self.connection.executemany(
            "INSERT INTO outbox (guild_id, record) VALUES ($1, $2)",
            [(self.guild_id, record.pack()) for record in self._records],
        )
        if self._entries:
            oldest = self._ident(0) - (_LOGGED_MS << 22)
            await self.connection.execute(
                "DELETE FROM audit_log WHERE guild_id = $1 AND id < $2", self.guild_id, oldest
            )
            await self.connection.executemany(
                "INSERT INTO audit_log (guild_id, id, user_id, action, target, entry) "
                "SELECT $1, $2, $3, $4, $5, $6 FROM guilds WHERE id = $1",
                self._entries,
            )
        await self.connection.execute(f"SELECT pg_notify({CHANNEL_NAME}, '')")


@asynccontextmanager
async def changing(database: Database, guild_id: int, by: int = 0) -> AsyncIterator[Changing]:
    """A guild, locked until the block ends; then all of the change is committed, or none of it.

    Args:
        database: where.
        guild_id: which.
        by: who makes the change, for the audit log; 0: it is not noted there.

    Raises:
        NotFoundError: there is no such guild.
        StoreUnavailableError: PostgreSQL is away; if it went during the commit, the change may stand.

    """
    async with database.transaction() as connection:
        version = await connection.fetchval(
            "SELECT version FROM guilds WHERE id = $1 FOR NO KEY UPDATE", guild_id
        )
        if version is None:
            raise NotFoundError("guild", guild_id)
        change = Changing(connection, guild_id, version, by)
        yield change
        await change.finish()


def acting(guild: Guild, by: int) -> Member:
    """The member that changes something now. Raises: NotAllowedError: they are none, or timed out."""
    return rights.member(guild, by, datetime.now(UTC))
