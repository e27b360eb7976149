"""Sessions that catch up: cursors on the ring, and what each event is for one session alone.

A session is a cursor because its socket is full, because it is being resumed, or because it waits for a guild to load.
No session has a queue of its own.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from fanfare.record import GUILD, USERS
from gateway.delivery.past import Past
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Event, Ring
from gateway.delivery.roster import Roster
from gateway.delivery.session import JOINS, LEAVES, Session, is_about_member, is_membership
from gateway.delivery.shared_frames import Runs
from gateway.delivery.visibility import frames_of
from gateway.guilds.audience import AudienceClass, View, classify, content_for, intent_of, rights_of, sees
from gateway.guilds.snapshot import guild_create
from gateway.protocol.frames import Transport, dispatch, encode, wrap
from gateway.recovery.path import above

__all__ = ["CatchUp", "LoadGuild", "Trouble", "guild_deleted", "resumed"]

# Frames of a cursor go out in pieces of about this size.
_CHUNK_BYTES: Final = 64 * 1024

LoadGuild = Callable[[Session, int], None]
"""Has a guild that a session joins loaded, and tells the hub with `joined`."""


class _Guilds(Protocol):
    views: dict[int, View]
    ahead: dict[int, int]


class People(Protocol):
    """What a node knows of the statuses of guilds' members."""

    def part(self, view: View, user: int, intents: int) -> bytes:
        """The part of GUILD_CREATE for a member whose session has these intents."""


class Trouble(NamedTuple):
    """Why a session cannot go on with its connection."""

    reason: str
    forget: bool = False
    """Whether the session cannot be resumed from memory."""


_TOO_SLOW: Final = Trouble("too slow: reconnect and resume")
# A resume then reads it from the inbox, or tells the client that it cannot be had.
_UNKNOWN: Final = Trouble("a guild's past is not known here: reconnect and resume", forget=True)


class CatchUp:
    """Brings cursors to the end of the ring."""

    def __init__(
        self,
        *,
        guilds: _Guilds,
        roster: Roster,
        progress: Progress,
        ring: Ring,
        past: Past,
        load_guild: LoadGuild,
        people: People,
    ) -> None:
        self._guilds = guilds
        self._roster = roster
        self._progress = progress
        self._ring = ring
        self._past = past
        self._load_guild = load_guild
        self._people = people
        self._runs = Runs(_CHUNK_BYTES)
        self.catching: set[Session] = set()
        """Sessions with an open link that are cursors: looked at after each batch."""

    def clear(self) -> None:
        """No session catches up any more."""
        self.catching.clear()
        self._runs.clear()

    def forget_shared(self) -> None:
        """A guild changes, or a batch is over: drop the frames that were joined for several sessions."""
        self._runs.clear()

    def hold_back(self, session: Session, index: int) -> None:
        """Turn a live session into a cursor that begins at an event of the ring."""
        session.cursor = index
        self._roster.reseat(session)

    def block(self, session: Session) -> None:
        """The session's socket is full after the newest event: it goes on as a cursor."""
        if session.cursor is None:
            self.hold_back(session, self._ring.end)
            self.catching.add(session)

    def left(self, session: Session) -> None:
        """The session has no connection any more."""
        self.catching.discard(session)

    def pump(self, session: Session) -> Trouble | None:
        """Send a session its events from the ring, until it is live, its socket is full or an event has to wait.

        Returns: why its connection has to be closed, None if it has not.
        """
        link = session.link
        if link is None or session.cursor is None:
            self.catching.discard(session)
            return None
        if session.cursor < self._ring.start:
            return _TOO_SLOW
        self.catching.add(session)
        while not link.blocked:
            chunk = self._chunk(session)
            if chunk is None or isinstance(chunk, Trouble):
                return chunk
            if chunk:
                link.send(chunk)
            elif session.skip is None:
                session.cursor = None
                self._roster.reseat(session)
                self.catching.discard(session)
                return None
            elif self._progress.is_past(session.skip):
                session.skip = None
            else:
                return None
        return None

    def frame_for(self, session: Session, event: Event) -> bytes | None:
        """The frame of an event for one session, None if it gets none. Guilds joined must be loaded."""
        record = event.dispatch.record
        if session.skip is not None and not above(record.position, session.skip):
            return None
        user = session.user.id
        if not session.covers(record.guild):
            return None
        if record.audience == USERS:
            needed = intent_of(record.type, in_guild=bool(record.guild))
            if user in record.users and session.intents & needed == needed:
                return event.dispatch.frame(session.transport, content=True)
            return None
        if record.audience == GUILD and is_membership(record, user):
            return self._membership_frame(session, event)
        view = event.view
        if view is None or user not in view.guild.members or record.guild not in session.guilds:
            return None
        if record.version:
            return self._change_frames(session, event, view)
        if not sees(view, self._class_in(session, view), record):
            return None
        content = content_for(user, session.intents, record)
        return event.dispatch.frame(session.transport, content=content)

    def loaded(self, session: Session, guild: int) -> None:
        """A guild that was wanted is loaded; if the user is not in it any more, its event is passed over."""
        session.coming |= {guild}
        if session.cursor is not None and self._ring.start <= session.cursor < self._ring.end:
            event = self._ring[session.cursor]
            if event.dispatch.record.guild == guild and self._view_of(session, event) is None:
                session.cursor += 1

    def rewind(self, session: Session, cursor: int) -> None:
        """Put a session into the guilds that its client was in at an index; it may have left or joined them since."""
        met: set[int] = set()
        for event in self._past.changes(self._ring, cursor):
            record = event.dispatch.record
            if record.guild in met or not is_membership(record, session.user.id):
                continue
            met.add(record.guild)
            if record.type in LEAVES:
                self._roster.join(session, record.guild)
            else:
                self._roster.part(session, record.guild)
                session.shown.pop(record.guild, None)

    def _chunk(self, session: Session) -> bytes | Trouble | None:
        """The next frames for a session, empty at the end of the ring, None if it has to wait."""
        ring = self._ring
        found, size = _first(session.replay)
        frame: bytes | None
        assert session.cursor is not None
        if not found and self._is_ordinary(session):
            end = session.announce[0] if session.announce is not None else ring.end
            frames, session.cursor = self._runs.of(session, ring, end, self._guilds.views)
            found, size = [frames], len(frames)
        while size < _CHUNK_BYTES:
            if session.announce is not None and session.cursor >= session.announce[0]:
                frame = resumed(session.announce[1], session.transport)
                session.announce = None
            elif session.cursor < ring.start:
                return _TOO_SLOW
            elif session.cursor < ring.end:
                event = ring[session.cursor]
                if self._has_to_wait(session, event):
                    return b"".join(found) or None
                if not self._is_known(session, event):
                    waits = event.dispatch.record.guild in self._guilds.ahead
                    return (b"".join(found) or None) if waits else _UNKNOWN
                frame = self.frame_for(session, event)
                session.cursor += 1
            else:
                break
            if frame is not None:
                found.append(frame)
                size += len(frame)
        return b"".join(found)

    def _is_ordinary(self, session: Session) -> bool:
        """Whether a cursor's audience classes alone decide what it gets of the messages in the ring."""
        return (
            session.skip is None
            and len(session.classes) == len(session.guilds)
            and session.cursor is not None
            and self._ring.start <= session.cursor
        )

    def _has_to_wait(self, session: Session, event: Event) -> bool:
        record = event.dispatch.record
        joins = (
            record.type in JOINS and session.user.id in record.users and record.guild not in session.guilds
        )
        if not joins:
            return False
        if not self._may_show(session, event):
            self._load_guild(session, record.guild)
        return not self._may_show(session, event)

    def _is_known(self, session: Session, event: Event) -> bool:
        """Whether the guild as it was at an event is known, if the session's rights depend on it."""
        record = event.dispatch.record
        if event.view is None and record.audience != USERS and record.guild in session.guilds:
            self._past.fill(self._ring, record.guild)
            return event.view is not None or is_membership(record, session.user.id)
        return True

    def _may_show(self, session: Session, event: Event) -> bool:
        return event.dispatch.record.guild in session.coming and self._view_of(session, event) is not None

    def _view_of(self, session: Session, event: Event) -> View | None:
        """The guild as it was at the event, or else as it is, with the session's user in it."""
        guild = event.dispatch.record.guild
        if event.view is None:
            self._past.fill(self._ring, guild)
        for view in (event.view, self._guilds.views.get(guild)):
            if view is not None and session.user.id in view.guild.members:
                return view
        return None

    def _change_frames(self, session: Session, event: Event, view: View) -> bytes | None:
        """The frames of a change to a guild that the session is in before and after it."""
        record, user = event.dispatch.record, session.user.id
        if record.version <= session.shown.get(record.guild, 0):
            return None
        before = event.before or view
        was = rights_of(before if user in before.guild.members else view, user)
        audience = classify(view, user, session.intents, session.transport)
        return frames_of(event, was, audience, own=is_about_member(record, user))

    def _class_in(self, session: Session, view: View) -> AudienceClass:
        """The session's class in a version of one of its guilds; the present one it stands in already."""
        guild = view.guild.id
        audience = session.classes.get(guild) if view is self._guilds.views.get(guild) else None
        return audience or classify(view, session.user.id, session.intents, session.transport)

    def _membership_frame(self, session: Session, event: Event) -> bytes | None:
        record = event.dispatch.record
        guild = record.guild
        if 0 < record.version <= session.shown.get(guild, 0):
            return None  # it was in the snapshot already
        if record.type in LEAVES:
            self._roster.part(session, guild)
            return guild_deleted(event.dispatch.s, guild, session.transport)
        if guild in session.guilds:
            return None
        view = self._view_of(session, event)
        if view is None:
            return None  # joined and left again
        session.coming -= {guild}
        self._roster.join(session, guild)
        session.shown[guild] = view.guild.version
        people = self._people.part(view, session.user.id, session.intents)
        d = guild_create(view, session.user.id, people, joined=True, large_at=session.large_at)
        return wrap(dispatch(event.dispatch.s, "GUILD_CREATE", d), session.transport)


def _first(replay: list[bytes]) -> tuple[list[bytes], int]:
    """Take a chunk of frames off a replay; answers them and their size in bytes."""
    # From a list, because an empty deque takes 700 bytes of every session.
    size = count = 0
    while size < _CHUNK_BYTES and count < len(replay):
        size += len(replay[count])
        count += 1
    found = replay[:count]
    del replay[:count]
    return found, size


def guild_deleted(s: int, guild: int, transport: Transport) -> bytes:
    """The frame for a user that has left a guild."""
    return wrap(dispatch(s, "GUILD_DELETE", encode({"id": str(guild)})), transport)


def resumed(s: int, transport: Transport) -> bytes:
    """The RESUMED frame."""
    return wrap(dispatch(s, "RESUMED", b"{}"), transport)
