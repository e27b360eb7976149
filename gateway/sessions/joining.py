"""A live session joins a guild: the guild is loaded and noted with the session before its client is shown it."""

import asyncio
from collections.abc import Callable
from typing import Final

from fanfare.store import StoreUnavailableError
from gateway.background import Background
from gateway.delivery.session import Session
from gateway.guilds.cache import GuildCache
from gateway.registrations import PresenceWriter
from gateway.statuses.shown import Shown

__all__ = ["Joining"]

_RETRY_S: Final = 0.5


class Joining:
    """Loads guilds for sessions, once for each, however often it is asked."""

    def __init__(
        self, *, guilds: GuildCache, presence: PresenceWriter, background: Background, shown: Shown
    ) -> None:
        self._guilds = guilds
        self._presence = presence
        self._background = background
        self._shown = shown
        self._wanted: set[tuple[str, int]] = set()

    def load(self, session: Session, guild: int, loaded: Callable[[Session, int], None]) -> None:
        """Load a guild, however long the database is away, unless the session's connection is gone meanwhile.

        Args:
            session: joins the guild.
            guild: to be loaded.
            loaded: called when that is done.

        """
        if (session.key, guild) not in self._wanted:
            self._wanted.add((session.key, guild))
            self._background.spawn(self._load(session, guild, loaded))

    async def _load(self, session: Session, guild: int, loaded: Callable[[Session, int], None]) -> None:
        try:
            while session.link is not None:
                try:
                    await self._guilds.member(guild, session.user.id)
                except StoreUnavailableError:
                    await asyncio.sleep(_RETRY_S)
                else:
                    # Before the client is shown it: so whoever goes on with the session knows of it.
                    await self._presence.add(session.user.id, session.key, {*session.guilds, guild})
                    await self._shown.prepare([guild], session.intents)
                    break
        finally:
            self._wanted.discard((session.key, guild))
        loaded(session, guild)
