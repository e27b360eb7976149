"""The sessions of a node, by id and by user, and the rooms that the connected ones stand in."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from gateway.delivery.broadcast import Room
from gateway.delivery.session import Session
from gateway.guilds.audience import AudienceClass, View, classify

__all__ = ["Guilds", "Roster"]

_NOBODY: Final[frozenset[Session]] = frozenset()


class Guilds(Protocol):
    """What the roster needs of the guilds that a node knows."""

    views: dict[int, View]

    def hold(self, guild: int) -> None:
        """A session is in the guild: it is kept."""

    def release(self, guild: int) -> None:
        """A session is in the guild no more."""


class Roster:
    """The sessions of a node, live and away."""

    def __init__(self, guilds: Guilds, changed: Callable[[int], None]) -> None:
        """Args: changed: called with a user whose sessions, or their guilds, have changed."""
        self._guilds = guilds
        self.changed = changed
        self.sessions: dict[str, Session] = {}
        """By the key that names them in Redis."""
        self.users: dict[int, set[Session]] = {}
        self.rooms: dict[int, dict[AudienceClass, Room]] = {}
        """Per guild, its connected sessions by audience class."""

    def of_user(self, user: int) -> "frozenset[Session] | set[Session]":
        """The sessions of a user."""
        return self.users.get(user, _NOBODY)

    def connected(self) -> list[Session]:
        """The sessions with a socket."""
        return [session for session in self.sessions.values() if session.link is not None]

    def away(self) -> list[Session]:
        """The sessions without one."""
        return [session for session in self.sessions.values() if session.link is None]

    def add(self, session: Session) -> None:
        """Hold a session in memory; without a link it is away."""
        self.sessions[session.key] = session
        self.users.setdefault(session.user.id, set()).add(session)
        session.away_at = time.monotonic()
        self.changed(session.user.id)
        guilds, session.guilds = session.guilds, set()
        for guild in guilds:
            self.join(session, guild)

    def discard(self, session: Session) -> None:
        """Drop a session from memory; its registration stays."""
        self.changed(session.user.id)
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
        of_user = self.users.get(session.user.id, set())
        of_user.discard(session)
        if not of_user:
            self.users.pop(session.user.id, None)
        for guild in list(session.guilds):
            self.part(session, guild)

    def join(self, session: Session, guild: int) -> None:
        """The session's user is in the guild."""
        if guild in session.guilds:
            return
        session.guilds.add(guild)
        self._guilds.hold(guild)
        self.changed(session.user.id)
        self._enter(session, guild)

    def part(self, session: Session, guild: int) -> None:
        """The session's user is not in the guild any more."""
        session.coming -= {guild}
        self._leave(session, guild)
        if guild in session.guilds:
            session.guilds.discard(guild)
            self._guilds.release(guild)
            self.changed(session.user.id)

    def enter_rooms(self, session: Session) -> None:
        """Put a connected session into the rooms of its guilds."""
        for guild in session.guilds:
            self.move(session, guild)

    def leave_rooms(self, session: Session) -> None:
        """Take a session out of all rooms: it is not connected any more."""
        for guild in list(session.classes):
            self._leave(session, guild)

    def move(self, session: Session, guild: int) -> None:
        """Put a session into the room that is right for it in a guild now."""
        self._leave(session, guild)
        self._enter(session, guild)

    def reseat(self, session: Session) -> None:
        """Whether the session is live, or its link, has changed: put it where it belongs in its rooms."""
        link = session.link
        fd = link.fd if link is not None and session.cursor is None else -1
        if fd == session.fd:
            return
        rooms = [self.rooms[guild][audience] for guild, audience in session.classes.items()]
        for room in rooms:
            room.remove(session)
        session.fd = fd
        for room in rooms:
            room.add(session)

    def _enter(self, session: Session, guild: int) -> None:
        view = self._guilds.views.get(guild)
        if view is None or session.user.id not in view.guild.members or not session.covers(guild):
            return
        audience = classify(view, session.user.id, session.intents, session.transport)
        session.classes[guild] = audience
        self.rooms.setdefault(guild, {}).setdefault(audience, Room()).add(session)

    def _leave(self, session: Session, guild: int) -> None:
        audience = session.classes.pop(guild, None)
        if audience is None:
            return
        rooms = self.rooms[guild]
        rooms[audience].remove(session)
        if not rooms[audience]:
            del rooms[audience]
        if not rooms:
            del self.rooms[guild]
