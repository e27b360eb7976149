"""REQUEST_GUILD_MEMBERS: the members of a guild, to one session, in chunks."""

import asyncio
import time
from typing import Final

from fanfare.model import Member
from fanfare.store import Store
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.aside import caught_up, tell
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.guilds.cache import GuildCache, UnknownGuildError
from gateway.ingress.errors import RateLimitedError
from gateway.ingress.limits import RateLimits
from gateway.protocol.member_requests import RequestMembers, chunks, rate_limited
from gateway.statuses.shown import PRESENCES, Shown

__all__ = ["MemberRequests"]

_PAGE: Final = 1000
_GUILD_MEMBERS: Final = 1 << 1
_SEARCH_LIMIT: Final = 100
# Requests of a session that are carried out at once; each can hold the members of a guild in memory.
_AT_ONCE: Final = 32
# How often a user may ask for all members of a guild within 5 s.
_WHOLE_LISTS: Final = 10
_LOOK_S: Final = 5.0
_RETRY_S: Final = 5.0

_log = logs.get("members")


class MemberRequests:
    """Answers op 8: always with chunks, or with RATE_LIMITED where they cannot be had now."""

    def __init__(self, hub: Hub, guilds: GuildCache, store: Store, shown: Shown) -> None:
        self._hub = hub
        self._shown = shown
        self._guilds = guilds
        self._store = store
        self._under_way: dict[Session, int] = {}
        self._whole_lists = RateLimits(_WHOLE_LISTS, what="members")

    async def answer(self, session: Session, asked: RequestMembers) -> None:
        """Carry a request out. A guild that the session is not in has no members to show."""
        wait_s = self._too_many(session, asked)
        if wait_s:
            await tell(self._hub, session, "RATE_LIMITED", rate_limited(asked, wait_s))
            return
        self._under_way[session] = self._under_way.get(session, 0) + 1
        try:
            found = await self._look(session, asked)
            statuses = await self._statuses(session, asked, found)
            await caught_up(session)
            if asked.guild_id not in session.guilds:
                found = []  # it has left while they were looked up, or while it was behind
                statuses = []
            for d in chunks(asked, found, statuses):
                await tell(self._hub, session, "GUILD_MEMBERS_CHUNK", d)
        except Exception as error:  # noqa: BLE001 - the client waits for an answer, the log gets the reason
            if not isinstance(error, StoreUnavailableError | TimeoutError):
                _log.error("members were not found", action=Action.REQUEST_FAILED, exc_info=error)
            await tell(self._hub, session, "RATE_LIMITED", rate_limited(asked, _RETRY_S))
        finally:
            self._under_way[session] -= 1
            if not self._under_way[session]:
                del self._under_way[session]

    def _too_many(self, session: Session, asked: RequestMembers) -> float:
        """How long a session has to wait that asks for too much; 0: it does not."""
        if self._under_way.get(session, 0) >= _AT_ONCE:
            return _RETRY_S
        if asked.users is not None or asked.query:
            return 0.0
        try:
            self._whole_lists.take(session.user.id, asked.guild_id, time.monotonic())
        except RateLimitedError as error:
            return error.retry_after or _RETRY_S
        return 0.0

    async def _look(self, session: Session, asked: RequestMembers) -> list[Member]:
        async with asyncio.timeout(_LOOK_S):
            return await self._find(session, asked) if asked.guild_id in session.guilds else []

    async def _statuses(
        self, session: Session, asked: RequestMembers, found: list[Member]
    ) -> list[tuple[int, bytes]]:
        """The statuses of those found, where the client wants them and may have them."""
        if not asked.presences or not session.intents & PRESENCES:
            return []
        return await self._shown.of_members(asked.guild_id, [member.user.id for member in found])

    async def _find(self, session: Session, asked: RequestMembers) -> list[Member]:
        guild_id = asked.guild_id
        if asked.users is not None:
            return list((await self._store.members(guild_id, asked.user_ids)).values())
        if asked.query:
            if "\0" in asked.query:
                return []  # no name has one, and PostgreSQL cannot be asked for it
            limit = min(asked.limit or 1, _SEARCH_LIMIT)
            return await self._store.search_members(guild_id, asked.query, limit)
        if not session.intents & _GUILD_MEMBERS:
            return []
        return await self._everybody(guild_id, asked.limit)

    async def _everybody(self, guild_id: int, limit: int) -> list[Member]:
        """The members by id, `limit` of them; 0: all."""
        try:
            guild = await self._guilds.get(guild_id)
        except UnknownGuildError:
            return []
        found: list[Member]
        if len(guild.members) >= guild.member_count:
            found = sorted(guild.members.values(), key=lambda member: member.user.id)
            return found[: limit or None]
        found, after = [], 0
        while not limit or len(found) < limit:
            page = await self._store.member_page(guild_id, after, _PAGE)
            found += page
            if len(page) < _PAGE:
                break
            after = page[-1].user.id
        return found[: limit or None]
