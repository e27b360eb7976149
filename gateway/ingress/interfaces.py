"""What accepting messages needs of the rest, as narrow as it is used."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from fanfare.model import Channel, Guild, Member, User
from fanfare.payloads import Json
from fanfare.record import Position, Record
from fanfare.store.commands import Command
from fanfare.store.reactions import Apart, Counted

__all__ = ["Guilds", "Ids", "Log", "Messages", "Reactions", "Stored"]


class Log(Protocol):
    """Kafka: `fanfare.bus.producer.Producer`."""

    def post(self, topic: str, record: Record, *, key: int) -> asyncio.Future[Position]:
        """Hand a record over; raises NotHandedOverError if it was not."""

    def base_now(self, topic: str) -> int:
        """What to add to the offset of a record that is posted now, so that it is above all before it."""

    def ahead_s(self, at: Position) -> float:
        """How far the clock of the partition's leader is ahead of ours, in seconds."""


class Ids(Protocol):
    """Snowflakes: `fanfare.presence.snowflake_leases.SnowflakeLease`."""

    def next_id(self) -> int:
        """The next one; raises NoWorkerNumberError or ClockSkewError."""


class Guilds(Protocol):
    """What this node knows of guilds, always current: `gateway.guilds.cache.GuildCache`."""

    async def get(self, guild_id: int) -> Guild:
        """Raises UnknownGuildError."""

    async def channel(self, channel_id: int) -> Channel:
        """A channel of a guild, or a direct one; raises UnknownChannelError."""

    async def member(self, guild_id: int, user_id: int) -> Member | None:
        """None: not a member."""

    async def user(self, user_id: int) -> User | None:
        """None: there is no such user."""

    async def users(self, user_ids: Sequence[int]) -> dict[int, User]:
        """Those of the users that exist, by id."""


class Messages(Protocol):
    """Messages as the archiver has stored them. Raises StoreUnavailableError."""

    async def message(self, channel_id: int, message_id: int) -> bytes | None:
        """The JSON of one message."""

    async def messages(
        self,
        channel_id: int,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int,
    ) -> list[tuple[int, bytes]]:
        """A page, newest first."""

    async def maybe_pinned(self, channel_id: int, limit: int) -> list[tuple[int, bytes]]:
        """The messages of a channel that are pinned, and some that refer to one that is."""


class Reactions(Protocol):
    """Reactions as the archiver has stored them: `fanfare.store.reactions.Reactions`. Raises StoreUnavailableError."""

    async def reactions(
        self, channel_id: int, message_ids: Sequence[int], me: int, apart: Sequence[Apart] = ()
    ) -> list[Counted]:
        """The reactions to messages, counted."""

    async def reacted(
        self,
        channel_id: int,
        message_id: int,
        emoji: str,
        *,
        after: int,
        limit: int,
        apart: Sequence[Apart] = (),
    ) -> list[int]:
        """Those who reacted with an emoji."""


class Commands(Protocol):
    """The commands of applications: `fanfare.store.commands.Commands`. Raises StoreUnavailableError."""

    async def commands(self, applications: Sequence[int], guilds: Sequence[int]) -> list[Command]:
        """The commands of applications in guilds, 0 standing for everywhere."""

    async def command_permissions(self, guild: int, application: int) -> dict[int, list[Json]]:
        """Who may use an application's commands in a guild, by command, or by application for all of them."""


class Stored(Messages, Reactions, Commands, Protocol):
    """The database: `fanfare.store.Store`. Raises StoreUnavailableError."""

    async def note_files(self, paths: list[str], *, after_s: float) -> None:
        """Let files be removed after a while, unless a message claims them."""

    async def written_by(
        self, channels: list[int], author_id: int, since: int, limit: int
    ) -> list[tuple[int, int]]:
        """Messages of somebody, from an id on: channel and id."""

    async def long_archived(self, guild_id: int, limit: int) -> list[Channel]:
        """The archived threads of a guild that are not part of its state any more."""

    async def channel(self, channel_id: int) -> Channel | None:
        """A channel, of a guild or direct."""

    async def members(self, guild_id: int, user_ids: Iterable[int]) -> dict[int, Member]:
        """Those of the users that are members."""
