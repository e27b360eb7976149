"""What every start begins with: the session is registered for its user and its guilds, and these are loaded.

The order is the one of docs/design.md, section 5: what comes after the registration reaches the node's inbox, what came
before is in the snapshot.
"""

import asyncio
from typing import Final

from fanfare.store import Store, StoreUnavailableError
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.guilds.cache import GuildCache, UnknownGuildError
from gateway.registrations import PresenceWriter
from gateway.sessions.resume_steps import membership_changed
from gateway.statuses.shown import Shown

__all__ = ["RETRY_S", "Entrance"]

RETRY_S: Final = 0.25
"""How long to wait for the database before it is asked again."""
_LOADS: Final = 16
# A change is on its way for some 10 ms; this long while Kafka or a worker is away, then a start goes on without it.
_CHANGES_S: Final = 2.0
_POLL_S: Final = 0.01


class Entrance:
    """Lets sessions into a node."""

    def __init__(
        self, hub: Hub, presence: PresenceWriter, store: Store, guilds: GuildCache, shown: Shown
    ) -> None:
        self._hub = hub
        self._presence = presence
        self._store = store
        self._guilds = guilds
        self._shown = shown
        self._loads = asyncio.Semaphore(_LOADS)

    async def enter(self, session: Session) -> bool:
        """Register the session's user, then its guilds, and load them; False if the database could not be asked."""
        user = session.user.id
        await self._presence.add(user, session.key)
        while True:
            seen = self._hub.ring.end
            try:
                guilds, asked = await self._guilds_of(session)
                held = await asyncio.gather(
                    *(self._load(guild, user) for guild in guilds if session.covers(guild))
                )
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_S)
                continue
            if not membership_changed(self._hub.ring, user, seen):
                session.guilds = {guild for guild in held if guild}
                await self._presence.add(user, session.key, session.guilds)
                await self._shown.prepare(session.guilds, session.intents)
                await self._caught_up(session.guilds)
                if not membership_changed(self._hub.ring, user, seen):
                    return asked

    async def _caught_up(self, guilds: set[int]) -> None:
        """Wait, but not for long, until the inbox has brought the changes that these guilds were loaded with.

        Until then it cannot be told who might see what the inbox brings before them.
        """
        patience = int(_CHANGES_S / _POLL_S)
        while self._guilds.ahead.keys() & guilds and patience:
            patience -= 1
            await asyncio.sleep(_POLL_S)

    def leave(self, session: Session) -> None:
        """Take back the registration of a session that did not come about."""
        if session.key not in self._hub.sessions:
            self._presence.remove(session.user.id, session.key)

    async def _guilds_of(self, session: Session) -> tuple[list[int], bool]:
        """The guilds of the session's user; while the database is away, those that its client has been shown."""
        try:
            return await self._store.guild_ids(session.user.id), True
        except StoreUnavailableError:
            inbox = session.hops[-1].inbox
            shown = await self._presence.guilds_of(session.user.id, session.key, inbox)
            if shown is None:
                raise
            return shown, False

    async def _load(self, guild: int, user: int) -> int:
        """Hold a guild with the user in it; 0 if the user is not in it any more."""
        async with self._loads:
            try:
                member = await self._guilds.member(guild, user)
            except UnknownGuildError:
                return 0
        return guild if member is not None else 0
