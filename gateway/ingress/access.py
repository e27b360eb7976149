"""The channel or guild where a user wants to do something, and what the user may do there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, TypeVar

from fanfare import permissions
from fanfare.ids import ClockSkewError
from fanfare.mentions import Allowed, Mentioned, Written, resolve
from fanfare.model import CATEGORY, DM, FORUM, GROUP_DM, Channel, Guild, Member, User
from fanfare.permissions import P
from fanfare.presence.errors import RedisError
from fanfare.presence.snowflake_leases import NoWorkerNumberError
from fanfare.rights import BadChangeError, NotAllowedError
from fanfare.store.errors import StoreUnavailableError
from fanfare.time_limit import TimeLimit
from gateway.guilds.cache import UnknownChannelError, UnknownGuildError
from gateway.ingress.errors import (
    ApiError,
    FormError,
    RefusedError,
    archived,
    forbidden,
    missing_access,
    unknown_channel,
    unknown_guild,
)
from gateway.ingress.interfaces import Guilds, Stored

__all__ = ["Access", "Place", "refusing"]

_T = TypeVar("_T")

_MAX_MENTIONS: Final = 100
# Of what nobody can do: an unknown role, and joining while banned.
_STATUS: Final = {10011: 404, 40007: 403}
# There are no messages in these.
_SILENT: Final = frozenset({CATEGORY, FORUM})
_DIRECT: Final = frozenset({DM, GROUP_DM})
_SOON_S: Final = 1.0
_SOON_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """A channel as one user meets it."""

    channel: Channel
    guild: Guild | None
    """None: a direct channel."""
    member: Member | None
    """The user in the guild."""
    permissions: int

    def may(self, needed: int) -> bool:
        """The user has all of these permissions here."""
        needed = int(needed)  # `&` of an IntFlag takes twenty times as long
        return self.permissions & needed == needed

    def require(self, needed: int) -> None:
        """Raises: ApiError: 50013, one of them is missing."""
        if not self.may(needed):
            raise forbidden()

    def require_messages(self) -> None:
        """Raises: ApiError: 50008, it is no channel for messages; 50001, it is one that the user may not connect to."""
        if self.channel.type in _SILENT:
            raise ApiError(400, 50008, "Cannot send messages in a non-text channel")
        if self.channel.type in permissions.VOICE_TYPES:
            self.require(P.CONNECT)

    def require_open(self) -> None:
        """What is in an archived thread stays as it is. Raises as `require_messages`; ApiError: 50083."""
        self.require_messages()
        if self.channel.thread is not None and self.channel.thread.archived:
            raise archived()


class Access:
    """Looks places up."""

    def __init__(self, guilds: Guilds, store: Stored) -> None:
        """Args: guilds: what this node knows; store: what it may be about to learn."""
        self._guilds = guilds
        self._store = store

    async def place(self, user: User, channel_id: int) -> Place:
        """The channel, if the user may see it.

        Raises:
            ApiError: 10003, there is none; 50001, it is not for them.
            StoreUnavailableError: the database is away and the channel is not in memory.

        """
        place = await self.anywhere(user, channel_id)
        if not place.may(P.VIEW_CHANNEL):
            raise missing_access()
        return place

    async def anywhere(self, user: User, channel_id: int) -> Place:
        """The channel, seen or not: applications answer where they were asked. Raises as `place`."""
        channel = await self._channel(channel_id)
        if channel.type in _DIRECT:
            if user.id not in (recipient.id for recipient in channel.recipients):
                raise missing_access()
            return Place(channel, None, None, permissions.DM_PERMISSIONS)
        guild, member = await self.guild(user, channel.guild_id)
        granted = permissions.in_channel(guild, member.roles, user.id, channel)
        if member.timed_out_until and permissions.timed_out(guild, member, datetime.now(UTC)):
            granted &= permissions.TIMED_OUT
        return Place(channel, guild, member, granted)

    async def guild(self, user: User, guild_id: int) -> tuple[Guild, Member]:
        """A guild that the user is in. Raises as `place`; ApiError 10004 too."""
        guild = await self._guilds.get(guild_id)
        member = await self._guilds.member(guild_id, user.id)
        if member is None and await self._store.members(guild_id, [user.id]):
            member = await self._soon(lambda: self._guilds.member(guild_id, user.id))
            guild = await self._guilds.get(guild_id)
        if member is None:
            raise missing_access()
        return guild, member

    async def _channel(self, channel_id: int) -> Channel:
        try:
            return await self._guilds.channel(channel_id)
        except UnknownChannelError:
            if await self._store.channel(channel_id) is None:
                raise

        async def look() -> Channel | None:
            with suppress(UnknownChannelError):
                return await self._guilds.channel(channel_id)
            return None

        channel = await self._soon(look)
        if channel is None:
            raise UnknownChannelError(channel_id)
        return channel

    @staticmethod
    async def _soon(look: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Wait for a change that this node is about to read; one that another node answered comes within moments."""
        until = time.monotonic() + _SOON_S
        while (found := await look()) is None and time.monotonic() < until:
            await asyncio.sleep(_SOON_POLL_S)
        return found

    async def mentioned(
        self, place: Place, written: Written, allowed: Allowed, replied_to: int = 0
    ) -> tuple[Mentioned, list[User]]:
        """The mentions of a message that take effect, and the mentioned users that exist. Arguments: see `resolve`."""
        loud = place.may(P.MENTION_EVERYONE) and place.guild is not None
        roles = place.guild.roles.values() if place.guild is not None else ()
        found = resolve(
            written,
            allowed,
            mentionable_roles={role.id for role in roles if loud or role.mentionable},
            may_mention_everyone=loud,
            replied_to=replied_to,
        )
        users = await self._users(place, found.users[:_MAX_MENTIONS])
        return found, users

    async def _users(self, place: Place, ids: Sequence[int]) -> list[User]:
        """Those of the users that exist; all that are not in memory are looked up in one question."""
        members = place.guild.members if place.guild is not None else {}
        elsewhere = await self._guilds.users([ident for ident in ids if ident not in members])
        found = (members[ident].user if ident in members else elsewhere.get(ident) for ident in ids)
        return [user for user in found if user is not None]


_limit = cache(TimeLimit)


@asynccontextmanager
async def refusing(seconds: float) -> AsyncIterator[None]:
    """Turn into a RefusedError that a store is away, or that the body takes longer than this."""
    try:
        async with _limit(seconds).each():
            yield
    except UnknownChannelError:
        raise unknown_channel() from None
    except UnknownGuildError:
        raise unknown_guild() from None
    except NotAllowedError:
        raise forbidden() from None
    except BadChangeError as error:
        raise _impossible(error) from None
    except StoreUnavailableError as error:
        raise RefusedError("PostgreSQL is away") from error
    except RedisError as error:
        raise RefusedError("Redis is away") from error
    except (NoWorkerNumberError, ClockSkewError) as error:
        raise RefusedError(str(error)) from error
    except TimeoutError as error:
        raise RefusedError(f"no answer from the stores within {seconds:.0f} s") from error


def _impossible(error: BadChangeError) -> ApiError:
    if error.field:
        return FormError.at(error.field, "BASE_TYPE_CHOICES", error.message)
    return ApiError(_STATUS.get(error.code, 400), error.code, error.message)
