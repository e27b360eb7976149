"""What this node knows of guilds, channels and users, kept current by the events of its own inbox.

A guild is loaded after it was registered for this node, so that no change is missed: changes that come while it loads
wait, and those that the loaded version holds already are left out.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeVar

from fanfare.model import Channel, Guild, Member, User
from fanfare.record import Record
from fanfare.store import Store
from fanfare.tasks import retrieve
from gateway.guilds.apply import apply
from gateway.guilds.audience import View
from gateway.registrations import PresenceWriter

__all__ = ["GuildCache", "UnknownChannelError", "UnknownGuildError"]

# A guild without sessions here, which only REST asked for, is kept this long after the last request.
_IDLE_S: Final = 300.0
_SWEEP_S: Final = 60.0
_KEPT: Final = 50_000
# How often Redis is asked whether a change has come to all inboxes: that takes some 10 ms.
_BRING_S: Final = 0.01
_LONGEST_S: Final = 1.0

_Value = TypeVar("_Value")


class UnknownGuildError(Exception):
    """There is no such guild."""


class UnknownChannelError(Exception):
    """There is no such channel."""


class GuildCache:
    """The guilds that this node holds, and what was looked up of users and direct conversations."""

    def __init__(self, store: Store, presence: PresenceWriter) -> None:
        self._store = store
        self._presence = presence
        self.views: dict[int, View] = {}
        """The guilds that are loaded, each in its present version."""
        self.ahead: dict[int, int] = {}
        """Guilds that were loaded with a change that the inbox is still to bring, and the version it makes."""
        self._bringing: set[asyncio.Task[None]] = set()
        self._held: Counter[int] = Counter()
        self._generation = 0
        self._loading: dict[int, asyncio.Task[View]] = {}
        self._waiting: dict[int, list[Record]] = {}
        self._asked: dict[int, float] = {}
        self._users: dict[int, User] = {}
        self._direct: dict[int, Channel] = {}
        self._guild_of: dict[int, int] = {}

    async def view(self, guild_id: int) -> View:
        """A guild in its present version; from here on it is kept current.

        Raises:
            UnknownGuildError: there is none.
            StoreUnavailableError: the database is away and the guild is not in memory.

        """
        self._asked[guild_id] = time.monotonic()
        view = self.views.get(guild_id)
        if view is not None:
            return view
        loading = self._loading.get(guild_id)
        if loading is None:
            loading = self._loading[guild_id] = asyncio.create_task(self._load(guild_id))
            loading.add_done_callback(retrieve)
        return await asyncio.shield(loading)

    async def get(self, guild_id: int) -> Guild:
        """The guild of `view`."""
        return (await self.view(guild_id)).guild

    async def channel(self, channel_id: int) -> Channel:
        """A channel, of a guild (then the guild is kept current) or direct.

        Raises:
            UnknownChannelError: there is none.
            StoreUnavailableError: the database is away and it is not in memory.

        """
        direct = self._direct.get(channel_id)
        if direct is not None:
            return direct
        guild_id = self._guild_of.get(channel_id, 0)
        if guild_id:
            found = (await self.get(guild_id)).channels.get(channel_id)
            if found is not None:
                return found
        channel = await self._store.channel(channel_id)
        if channel is None:
            raise UnknownChannelError(channel_id)
        if not channel.guild_id:
            _keep(self._direct, channel_id, channel)
            return channel
        found = (await self.get(channel.guild_id)).channels.get(channel_id)
        if found is not None:
            return found
        if channel.thread is not None and channel.thread.archived:
            # Threads that were archived long ago are not kept.
            return channel
        raise UnknownChannelError(channel_id)

    async def member(self, guild_id: int, user_id: int) -> Member | None:
        """A member of a guild, or None if the user is not one."""
        view = await self.view(guild_id)
        member = view.guild.members.get(user_id)
        if member is not None or len(view.guild.members) >= view.guild.member_count:
            return member
        while True:
            version = view.guild.version
            member = (await self._store.members(guild_id, [user_id])).get(user_id)
            view = await self.view(guild_id)
            if member is None or user_id in view.guild.members:
                return view.guild.members.get(user_id)
            if view.guild.version == version:
                # Looked up, not changed: the same version, so the same view.
                view.guild.members[user_id] = member
                return member

    async def user(self, user_id: int) -> User | None:
        """A user, or None if there is none."""
        user = self._users.get(user_id)
        if user is None:
            user = await self._store.user(user_id)
            if user is not None:
                _keep(self._users, user_id, user)
        return user

    async def users(self, user_ids: Sequence[int]) -> dict[int, User]:
        """Those of the users that exist, by id: one question to the database for all that are not in memory."""
        found = {ident: self._users[ident] for ident in user_ids if ident in self._users}
        if missing := [ident for ident in user_ids if ident not in found]:
            looked_up = await self._store.users(missing)
            for ident, user in looked_up.items():
                _keep(self._users, ident, user)
            found |= looked_up
        return found

    def roles_in_memory(self, guild_id: int, user_id: int) -> tuple[int, ...]:
        """The roles of a member, without asking the database; none where the guild or the member is not in memory."""
        view = self.views.get(guild_id)
        member = view.guild.members.get(user_id) if view is not None else None
        return tuple(member.roles) if member is not None else ()

    def user_in_memory(self, user_id: int) -> User | None:
        """A user as a member of a guild that is loaded, without asking the database."""
        for view in self.views.values():
            member = view.guild.members.get(user_id)
            if member is not None:
                return member.user
        return None

    def apply(self, record: Record) -> View | None:
        """Take a guild's event from the inbox; returns the guild's view after it, None if it is not held here."""
        view = self.views.get(record.guild)
        if view is None:
            if record.version and record.guild in self._waiting:
                self._waiting[record.guild].append(record)
            return None
        if record.version > view.guild.version:
            view = self._show(apply(view.guild, record), view)
        if record.version >= self.ahead.get(record.guild, record.version + 1):
            del self.ahead[record.guild]
        return view

    async def sweep(self) -> None:
        """Let go of guilds that nobody has asked for lately; the service's supervised task."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for guild_id, asked in list(self._asked.items()):
                idle = now - asked > _IDLE_S and guild_id not in self._loading
                if idle and not self._held[guild_id]:
                    self.forget(guild_id)

    def hold(self, guild: int) -> None:
        """A session is in the guild: it is kept."""
        self._held[guild] += 1

    def release(self, guild: int) -> None:
        """A session is in the guild no more."""
        self._held[guild] -= 1
        if not self._held[guild]:
            del self._held[guild]

    def forget(self, guild_id: int) -> None:
        """Let go of a guild."""
        self._asked.pop(guild_id, None)
        self.ahead.pop(guild_id, None)
        view = self.views.pop(guild_id, None)
        if view is not None:
            for channel_id in view.guild.channels:
                self._guild_of.pop(channel_id, None)
            self._presence.release(guild_id)

    def restart(self) -> None:
        """Events may have been lost: forget everything that they keep current."""
        self._generation += 1
        self.views.clear()
        self.ahead.clear()
        self._asked.clear()
        self._guild_of.clear()

    async def _load(self, guild_id: int) -> View:
        try:
            while True:
                generation = self._generation
                self._waiting[guild_id] = []
                await self._presence.hold(guild_id)
                guild = _found(guild_id, await self._store.guild(guild_id))
                loaded = guild.version
                applied = await self._presence.applied(guild_id)
                if generation != self._generation:
                    continue
                came = max((record.version for record in self._waiting[guild_id]), default=0)
                for record in self._waiting[guild_id]:
                    guild = apply(guild, record)
                if came < loaded and _is_behind(applied, loaded):
                    self.ahead[guild_id] = loaded
                    bringing = asyncio.create_task(self._bring(guild_id, loaded))
                    self._bringing.add(bringing)
                    bringing.add_done_callback(self._bringing.discard)
                return self._show(guild)
        except BaseException:
            self._asked.pop(guild_id, None)
            self._presence.release(guild_id)
            raise
        finally:
            del self._loading[guild_id], self._waiting[guild_id]

    async def _bring(self, guild_id: int, version: int) -> None:
        """Wait until the log has brought a change that a guild was loaded with.

        The inbox does not get it if it was on its way already when the guild was registered; then Redis tells.
        """
        pause_s = _BRING_S
        while self.ahead.get(guild_id) == version:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
            if not _is_behind(await self._presence.applied(guild_id), version):
                if self.ahead.get(guild_id) == version:
                    del self.ahead[guild_id]
                return

    def _show(self, guild: Guild, before: View | None = None) -> View:
        view = self.views[guild.id] = View(guild, before)
        if before is None or before.guild.channels is not guild.channels:
            for gone in before.guild.channels.keys() - guild.channels.keys() if before is not None else ():
                self._guild_of.pop(gone, None)
            self._guild_of.update(dict.fromkeys(guild.channels, guild.id))
        return view


def _is_behind(applied: int | None, version: int) -> bool:
    """Whether some inbox may still miss the event of a guild's version."""
    return applied is None or 0 < applied < version


def _found(guild_id: int, guild: Guild | None) -> Guild:
    if guild is None:
        raise UnknownGuildError(guild_id)
    return guild


def _keep(cache: dict[int, _Value], key: int, value: _Value) -> None:
    cache[key] = value
    if len(cache) > _KEPT:
        del cache[next(iter(cache))]
