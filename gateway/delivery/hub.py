"""The sessions of a node, and the way of an event from the inbox to their sockets.

A live session is written to at once, with frames that are shared by everybody in its audience class. Any other one is
a cursor on the ring: because its socket is full, because it is being resumed, or because it waits for a guild to load.
No session has a queue of its own.
"""

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

from fanfare.constants import RESUME_WINDOW_S, RING_BYTES
from fanfare.model import User
from fanfare.presence.inboxes import InboxEntry, moved_of
from fanfare.record import GUILD, USERS, Record
from gateway.delivery.broadcast import TOGETHER_BYTES, Room, broadcast, broadcast_change
from gateway.delivery.past import Past
from gateway.delivery.ring import Event, Ring
from gateway.delivery.shared_frames import Runs
from gateway.delivery.visibility import frames_of
from gateway.delivery.writing import Write, one_by_one
from gateway.guilds.audience import AudienceClass, View, classify, content_for, intent_of, rights_of, sees
from gateway.guilds.cache import GuildCache
from gateway.guilds.snapshot import guild_create
from gateway.protocol.codes import CloseCode
from gateway.protocol.frames import Dispatch, Transport, dispatch, encode, wrap
from gateway.recovery.path import Fence, Hop, above

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Hub", "Link", "Session", "is_membership"]

# Frames of a cursor go out in pieces of about this size.
_CHUNK_BYTES: Final = 64 * 1024
_JOINS: Final = frozenset({"GUILD_CREATE", "GUILD_MEMBER_ADD"})
_LEAVES: Final = frozenset({"GUILD_MEMBER_REMOVE"})
_MEMBERSHIP: Final = _JOINS | _LEAVES
# Guild events that the users they are about get whatever their intents.
_PERSONAL: Final = _MEMBERSHIP | {"GUILD_MEMBER_UPDATE"}


class Link(Protocol):
    """A session's socket."""

    transport_kind: Transport
    open: bool
    """False once the connection is closed or closing."""
    blocked: bool
    """The socket took no more; `Hub.drained` is called when it does again."""
    fd: int
    """Descriptor to write to while the link is not blocked; -1 where that is not possible (TLS)."""

    def send(self, data: bytes) -> None:
        """Write frames; may block the link, but takes all of them."""

    def rest(self, data: bytes, written: int) -> None:
        """Take over a frame of which so much was written to `fd`; blocks the link."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection; the hub is told nothing more of it."""


class Session:
    """One session: with a link it is connected, without one it is away."""

    __slots__ = (
        "announce",
        "away_at",
        "classes",
        "coming",
        "cursor",
        "fd",
        "generation",
        "guilds",
        "hops",
        "id",
        "intents",
        "key",
        "link",
        "replay",
        "shard",
        "shown",
        "skip",
        "transport",
        "user",
        "version",
    )

    def __init__(
        self, key: str, session_id: str, user: User, intents: int, hops: list[Hop], version: int
    ) -> None:
        """Args: key: names the session in Redis; version: of its moves, 0 if it has none."""
        self.key = key
        self.id = session_id
        self.user = user
        self.intents = intents
        self.shard: tuple[int, int] = (0, 1)
        self.generation = 0
        """Of the tokens of its user that it began with."""
        self.hops = hops
        self.version = version
        self.guilds: set[int] = set()
        self.classes: dict[int, AudienceClass] = {}
        self.coming: frozenset[int] = frozenset()
        """Guilds that the client may be shown as soon as their event comes by."""
        self.shown: dict[int, int] = {}
        """Version of each guild that a GUILD_CREATE has shown here: changes up to it are not told again."""
        self.link: Link | None = None
        self.fd = -1
        """Descriptor under which it stands in its rooms; -1 unless it is live and its link has one."""
        self.transport = Transport.JSON
        self.cursor: int | None = None
        """Index of the next event it wants; None while it is live."""
        self.skip: Fence | None = None
        """What is not above this fence was sent from another inbox."""
        self.replay: list[bytes] = []
        """Frames from other inboxes that go out before anything of the ring."""
        self.announce: tuple[int, int] | None = None
        """(index, s): say RESUMED with this `s` when the cursor is here."""
        self.away_at = 0.0

    def covers(self, guild: int) -> bool:
        """Whether the session's shard has the guild; direct conversations (0) belong to the first shard."""
        return (guild >> 22) % self.shard[1] == self.shard[0]


class Hub:
    """All sessions of the node. Everything here happens in the event loop's thread, without waiting."""

    def __init__(self, guilds: GuildCache, inbox: str, s: int, write: Write = one_by_one) -> None:
        """Args: inbox: the node's; s: where it begins; write: writes to many sockets."""
        self.guilds = guilds
        self.inbox = inbox
        self.s = s
        """`s` of the newest entry taken from the inbox."""
        self.high: Fence = {}
        """Highest position taken per source partition."""
        self.cut: Fence = {}
        """What is not above this came from a lost inbox and is left out."""
        self.newest: dict[str, int] = {}
        """Newest `s` per scope."""
        self.ring = Ring(RING_BYTES, s)
        self.past = Past(guilds)
        self._runs = Runs(_CHUNK_BYTES)
        self._write = write
        self.sessions: dict[str, Session] = {}
        self.users: dict[int, set[Session]] = {}
        self.rooms: dict[int, dict[AudienceClass, Room]] = {}
        self._owed: list[Event] = []
        """Events that were taken and not written yet: see `take`."""
        self._owed_bytes = 0
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self.catching: set[Session] = set()
        """Sessions with an open link that are cursors: looked at after each batch."""
        self.want_guild: Callable[[Session, int], None] = _at_once
        """Load a guild that a session joins, note it with the session, and call `joined`. The node replaces it."""
        self.forgotten: Callable[[Session], None] = lambda _: None
        """A session's resume window is over. The node replaces it."""
        self._held: Counter[int] = Counter()
        self.newest_id = 0
        """The highest snowflake taken, of events and messages."""
        self.seen: Callable[[int], None] = lambda _: None
        """Ids made here must be above this one from now on. The node replaces it."""
        guilds.in_use = self._held.__contains__

    def clear(self) -> None:
        """Forget all sessions, and the events: they cannot be made whole any more."""
        for session in list(self.sessions.values()):
            self.forget(session)
        self.catching.clear()
        self._runs.clear()
        self.ring = Ring(RING_BYTES, self.s)
        self.past.clear()

    # Events

    def take(self, entry: InboxEntry, *, more: bool = False) -> None:
        """Take the next entry of the inbox.

        Args:
            entry: the entry.
            more: whether the next call is another `take` or `settle`, before anything else happens. Then messages to
                a guild that follow each other go out in one write.

        """
        record = entry.record
        before = self.guilds.views.get(record.guild) if record is not None else None
        alike = record is not None and _is_message(record)
        if self._owed and not (alike and self._owed[0].view is before):
            # A session that blocks on what it is owed goes on behind the newest event: so before this one is one.
            self._pay()
        self.s = entry.s
        if not self._note(entry):
            return
        assert record is not None
        view = self.guilds.apply(record) if record.version else before
        # While the guild is ahead of the inbox, how it is here shows only later.
        known = view if record.guild not in self.guilds.ahead else None
        event = Event(Dispatch(entry.s, record), known)
        index = self.ring.append(event)
        if alike:
            if view is not None:
                self._owe(event if known is view else Event(event.dispatch, view), more=more)
            return
        if record.audience == USERS:
            self._deliver_to_users(event)
            return
        concerned = self._hold_back(record, index)
        if record.version:
            self._change(event, index, before, view)
        elif view is not None:
            broadcast(self.rooms.get(record.guild, {}), [event], view, self.users, self._write)
        for session in concerned:
            self.pump(session)

    def _let_go(self, moved: dict[str, int]) -> None:
        """Another node is about to go on with these sessions: from here on they get nothing of this inbox."""
        for key, version in moved.items():
            session = self.sessions.get(key)
            if session is not None and session.link is not None and session.version <= version:
                self.close(session, CloseCode.UNKNOWN_ERROR, "resumed on another node")

    def _note(self, entry: InboxEntry) -> bool:
        """Note how far the log has been taken; whether the entry is an event for sessions."""
        record = entry.record
        if record is None:
            self._let_go(moved_of(entry))
            return False
        if self.cut and not above(record.position, self.cut):
            return False
        topic, partition, offset = record.position
        self.high[f"{topic}/{partition}"] = offset
        if record.fence:
            return False
        if record.version:
            self._runs.clear()
        self.newest_id = max(self.newest_id, record.id)
        for scope in record.scopes():
            self.newest[scope] = self.s
        return True

    def settle(self) -> None:
        """After a batch: let those go on who were waiting for entries."""
        self._pay()
        self._runs.clear()
        self.seen(self.newest_id)
        if self._awaited:
            self._tell()
        for session in list(self.catching):
            self.pump(session)

    def when(self, s: int) -> "asyncio.Future[None]":
        """Done as soon as the inbox has been taken up to `s`."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.s >= s:
            reached.set_result(None)
        else:
            self._awaited.append((s, reached))
        return reached

    def _tell(self) -> None:
        """Tell who waits for an `s` that was reached."""
        awaited, self._awaited = self._awaited, []
        for s, reached in awaited:
            if reached.done():
                continue  # cancelled
            if self.s >= s:
                reached.set_result(None)
            else:
                self._awaited.append((s, reached))

    def _owe(self, event: Event, *, more: bool) -> None:
        """Write an event, or keep it to be written with those that follow."""
        self._owed.append(event)
        self._owed_bytes += len(event.dispatch.record.payload)
        if not more or self._owed_bytes > TOGETHER_BYTES:
            self._pay()

    def _pay(self) -> None:
        """Write what was kept."""
        if not self._owed:
            return
        events, self._owed, self._owed_bytes = self._owed, [], 0
        view = events[0].view
        assert view is not None
        broadcast(self.rooms.get(view.guild.id, {}), events, view, self.users, self._write)

    def _deliver_to_users(self, event: Event) -> None:
        record = event.dispatch.record
        needed = intent_of(record.type, in_guild=False)
        for user in record.users:
            for session in self.users.get(user, ()):
                if (
                    session.cursor is None
                    and session.link
                    and session.intents & needed == needed
                    and session.covers(0)
                ):
                    session.link.send(event.dispatch.frame(session.transport, content=True))

    def _hold_back(self, record: Record, index: int) -> list[Session]:
        """Make cursors of those whom a guild event is about: they get it in another form, or as soon as they can."""
        if not record.users or record.type not in _PERSONAL:
            return []
        held = []
        for user in record.users:
            for session in self.users.get(user, ()):
                if session.link is None:
                    # Its client gets the event when it resumes.
                    if record.type in _LEAVES:
                        self.part(session, record.guild)
                elif session.cursor is None:
                    session.cursor = index
                    self._reseat(session)
                    held.append(session)
        return held

    def _change(self, event: Event, index: int, before: View | None, view: View | None) -> None:
        """Write a change to a guild, and put the sessions whose rights have changed into their new classes.

        Args:
            event: the change.
            index: of it in the ring.
            before: the guild before, if it was loaded.
            view: the guild after, the same if it held the change already.

        """
        record = event.dispatch.record
        changed = before is not None and view is not before
        self.past.note(self.ring, index, before if changed else None)
        if view is None or record.type == "GUILD_CREATE":
            return
        event = Event(event.dispatch, view, before if changed else None)
        users = _moved(before, view) if before is not None else set()
        moved = [one for user in users for one in self.users.get(user, ()) if record.guild in one.classes]
        # A role that is gone is gone for whole classes: they share their frames.
        apart: set[Session] = set(moved) if record.type != "GUILD_ROLE_DELETE" else set()
        for session in apart:
            if session.cursor is None and session.link is not None:
                frame = self.frame_for(session, event)
                if frame is not None:
                    session.link.send(frame)
        broadcast_change(self.rooms.get(record.guild, {}), event, apart, self._write)
        for session in moved:
            self._leave_room(session, record.guild)
            self._enter_room(session, record.guild)

    # Cursors

    def pump(self, session: Session) -> None:
        """Send a session what it wants of the ring, until it is live, its socket is full or an event has to wait."""
        link = session.link
        if link is None or session.cursor is None:
            self.catching.discard(session)
            return
        if session.cursor < self.ring.start:
            self.close(session, CloseCode.UNKNOWN_ERROR, "too slow: resume")
            return
        self.catching.add(session)
        while not link.blocked:
            chunk = self._chunk(session)
            if chunk is None:
                return
            if chunk:
                link.send(chunk)
            elif session.skip is None:
                session.cursor = None
                self._reseat(session)
                self.catching.discard(session)
                return
            else:
                if all(self.high.get(name, -1) >= offset for name, offset in session.skip.items()):
                    session.skip = None
                    continue
                return

    def _chunk(self, session: Session) -> bytes | None:
        """The next frames for a session, empty at the end of the ring, None if it has to wait or was closed."""
        found, size = _first(session.replay)
        frame: bytes | None
        assert session.cursor is not None
        if not found and self._is_ordinary(session):
            end = session.announce[0] if session.announce is not None else self.ring.end
            frames, session.cursor = self._runs.of(session, self.ring, end, self.guilds.views, _is_message)
            found, size = [frames], len(frames)
        while size < _CHUNK_BYTES:
            if session.announce is not None and session.cursor >= session.announce[0]:
                frame = resumed(session.announce[1], session.transport)
                session.announce = None
            elif session.cursor < self.ring.start:
                self.close(session, CloseCode.UNKNOWN_ERROR, "too slow: resume")
                return None
            elif session.cursor < self.ring.end:
                event = self.ring[session.cursor]
                if self._has_to_wait(session, event):
                    return b"".join(found) or None
                if not self._is_known(session, event):
                    if event.dispatch.record.guild in self.guilds.ahead:
                        return b"".join(found) or None
                    # A resume reads it from the inbox, or the client is told that it cannot be had.
                    self.close(
                        session, CloseCode.UNKNOWN_ERROR, "the guild is not known at this place: resume"
                    )
                    self.forget(session)
                    return None
                frame = self.frame_for(session, event)
                session.cursor += 1
            else:
                break
            if frame is not None:
                found.append(frame)
                size += len(frame)
        return b"".join(found)

    def _is_ordinary(self, session: Session) -> bool:
        """Whether its classes alone decide what a cursor gets of the messages in the ring."""
        return (
            session.skip is None
            and len(session.classes) == len(session.guilds)
            and session.cursor is not None
            and self.ring.start <= session.cursor
        )

    def _has_to_wait(self, session: Session, event: Event) -> bool:
        record = event.dispatch.record
        joins = (
            record.type in _JOINS and session.user.id in record.users and record.guild not in session.guilds
        )
        if not joins:
            return False
        if not self._may_show(session, event):
            self.want_guild(session, record.guild)
        return not self._may_show(session, event)

    def _is_known(self, session: Session, event: Event) -> bool:
        """Whether it is known who might see an event at its position, if that matters to the session."""
        record = event.dispatch.record
        if event.view is None and record.audience != USERS and record.guild in session.guilds:
            self.past.fill(self.ring, record.guild)
            return event.view is not None or is_membership(record, session.user.id)
        return True

    def _may_show(self, session: Session, event: Event) -> bool:
        return event.dispatch.record.guild in session.coming and self._view_of(session, event) is not None

    def _view_of(self, session: Session, event: Event) -> View | None:
        """The guild as it was at the event, or else as it is, with the session's user in it."""
        if event.view is None:
            self.past.fill(self.ring, event.dispatch.record.guild)
        for view in (event.view, self.guilds.views.get(event.dispatch.record.guild)):
            if view is not None and session.user.id in view.guild.members:
                return view
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
            needed = intent_of(record.type, in_guild=False)
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

    def _change_frames(self, session: Session, event: Event, view: View) -> bytes | None:
        """The frames of a change to a guild that the session is in before and after it."""
        record, user = event.dispatch.record, session.user.id
        if record.version <= session.shown.get(record.guild, 0):
            return None
        before = event.before or view
        was = rights_of(before if user in before.guild.members else view, user)
        own = record.type == "GUILD_MEMBER_UPDATE" and user in record.users
        audience = classify(view, user, session.intents, session.transport)
        return frames_of(event, was, audience, own=own)

    def _class_in(self, session: Session, view: View) -> AudienceClass:
        """The session's class in a version of one of its guilds; the present one it stands in already."""
        guild = view.guild.id
        audience = session.classes.get(guild) if view is self.guilds.views.get(guild) else None
        return audience or classify(view, session.user.id, session.intents, session.transport)

    def _membership_frame(self, session: Session, event: Event) -> bytes | None:
        record = event.dispatch.record
        guild = record.guild
        if 0 < record.version <= session.shown.get(guild, 0):
            return None  # it was in the snapshot already
        if record.type in _LEAVES:
            self.part(session, guild)
            return guild_deleted(event.dispatch.s, guild, session.transport)
        if guild in session.guilds:
            return None
        view = self._view_of(session, event)
        if view is None:
            return None  # joined and left again
        session.coming -= {guild}
        self.join(session, guild)
        session.shown[guild] = view.guild.version
        d = guild_create(view, session.user.id, joined=True)
        return wrap(dispatch(event.dispatch.s, "GUILD_CREATE", d), session.transport)

    def joined(self, session: Session, guild: int) -> None:
        """A guild that was wanted is loaded; if the user is not in it any more, its event is passed over."""
        session.coming |= {guild}
        if (
            session.cursor is not None
            and session.cursor < self.ring.end
            and session.cursor >= self.ring.start
        ):
            record = self.ring[session.cursor].dispatch.record
            if record.guild == guild and self._view_of(session, self.ring[session.cursor]) is None:
                session.cursor += 1
        self.pump(session)

    # Sessions

    def attach(self, session: Session, link: Link, *, cursor: int | None = None) -> None:
        """Connect a session whose guilds are loaded; live at once, or as a cursor."""
        session.link = link
        session.transport = link.transport_kind
        session.cursor = cursor
        self._reseat(session)
        self.keep(session)
        for guild in session.guilds:
            self._leave_room(session, guild)
            self._enter_room(session, guild)
        if cursor is not None:
            self.pump(session)

    def rewind(self, session: Session, cursor: int) -> None:
        """Put a session into the guilds that its client was in at an index; it may have left or joined them since."""
        met: set[int] = set()
        for event in self.past.changes(self.ring, cursor):
            record = event.dispatch.record
            if record.guild in met or not is_membership(record, session.user.id):
                continue
            met.add(record.guild)
            if record.type in _LEAVES:
                self.join(session, record.guild)
            else:
                self.part(session, record.guild)
                session.shown.pop(record.guild, None)

    def keep(self, session: Session) -> None:
        """Hold a session in memory, in the place of what was known of it; without a link it is away."""
        old = self.sessions.get(session.key)
        if old is session:
            return
        if old is not None:
            if old.link is not None:
                self.close(old, CloseCode.UNKNOWN_ERROR, "resumed on another connection")
            self.discard(old)
        self.sessions[session.key] = session
        self.users.setdefault(session.user.id, set()).add(session)
        session.away_at = time.monotonic()
        guilds, session.guilds = session.guilds, set()
        for guild in guilds:
            self.join(session, guild)

    def detach(self, session: Session, *, ended: bool) -> None:
        """The session's socket is gone; if it has ended it is forgotten, else it can be resumed for a while."""
        session.link = None
        session.cursor = None
        self._reseat(session)
        session.replay.clear()
        session.announce = None
        session.away_at = time.monotonic()
        self.catching.discard(session)
        for guild in list(session.classes):
            self._leave_room(session, guild)
        if ended:
            self.forget(session)

    def close(self, session: Session, code: CloseCode, reason: str) -> None:
        """Close a session's socket; it can be resumed."""
        link = session.link
        self.detach(session, ended=False)
        if link is not None:
            link.end(code, reason)

    def drained(self, session: Session) -> None:
        """The session's socket takes data again."""
        self.pump(session)

    def block(self, session: Session) -> None:
        """The session's socket is full after the newest event: it goes on as a cursor."""
        if session.cursor is None:
            session.cursor = self.ring.end
            self._reseat(session)
            self.catching.add(session)

    def revoke(self, user: int, generation: int) -> None:
        """End the sessions that began with older tokens of a user, live or away; they cannot be resumed."""
        for session in list(self.users.get(user, ())):
            if session.generation < generation:
                self.close(session, CloseCode.AUTHENTICATION_FAILED, "the token was revoked")
                self.forget(session)

    def forget(self, session: Session) -> None:
        """The session's resume window is over, or its client ended it."""
        self.discard(session)
        self.forgotten(session)

    def discard(self, session: Session) -> None:
        """Drop a session from memory; its registration stays."""
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
        of_user = self.users.get(session.user.id, set())
        of_user.discard(session)
        if not of_user:
            self.users.pop(session.user.id, None)
        for guild in list(session.guilds):
            self.part(session, guild)

    def expire(self, now: float) -> int:
        """Forget the sessions whose resume window is over; returns how many others are away."""
        away = [session for session in self.sessions.values() if session.link is None]
        over = [session for session in away if now - session.away_at > RESUME_WINDOW_S]
        for session in over:
            self.forget(session)
        return len(away) - len(over)

    def connected(self) -> list[Session]:
        """The sessions with a socket."""
        return [session for session in self.sessions.values() if session.link is not None]

    def join(self, session: Session, guild: int) -> None:
        """The session's user is in the guild."""
        if guild in session.guilds:
            return
        session.guilds.add(guild)
        self._held[guild] += 1
        self._enter_room(session, guild)

    def part(self, session: Session, guild: int) -> None:
        """The session's user is not in the guild any more."""
        session.coming -= {guild}
        self._leave_room(session, guild)
        if guild in session.guilds:
            session.guilds.discard(guild)
            self._held[guild] -= 1
            if not self._held[guild]:
                del self._held[guild]

    def _enter_room(self, session: Session, guild: int) -> None:
        """Put a connected session into its audience class."""
        view = self.guilds.views.get(guild)
        if view is None or session.user.id not in view.guild.members or not session.covers(guild):
            return
        audience = classify(view, session.user.id, session.intents, session.transport)
        session.classes[guild] = audience
        self.rooms.setdefault(guild, {}).setdefault(audience, Room()).add(session)

    def _leave_room(self, session: Session, guild: int) -> None:
        audience = session.classes.pop(guild, None)
        if audience is None:
            return
        rooms = self.rooms[guild]
        rooms[audience].remove(session)
        if not rooms[audience]:
            del rooms[audience]
        if not rooms:
            del self.rooms[guild]

    def _reseat(self, session: Session) -> None:
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


def _first(replay: list[bytes]) -> tuple[list[bytes], int]:
    """Take a chunk of frames off a replay, and their bytes. (An empty deque takes 700 bytes of every session.)"""
    size = count = 0
    while size < _CHUNK_BYTES and count < len(replay):
        size += len(replay[count])
        count += 1
    found = replay[:count]
    del replay[:count]
    return found, size


def guild_deleted(s: int, guild: int, transport: Transport) -> bytes:
    """The frame for somebody who has left a guild."""
    return wrap(dispatch(s, "GUILD_DELETE", encode({"id": str(guild)})), transport)


def resumed(s: int, transport: Transport) -> bytes:
    """The RESUMED frame."""
    return wrap(dispatch(s, "RESUMED", b"{}"), transport)


def _at_once(session: Session, guild: int) -> None:
    """Without anybody to note it."""
    session.coming |= {guild}


def is_membership(record: Record, user: int) -> bool:
    """Whether a record tells that a user joined or left a guild."""
    return record.type in _MEMBERSHIP and user in record.users


def _is_message(record: Record) -> bool:
    """Whether a record is for those in a guild alone, and changes nothing about it."""
    return not (record.version or record.fence or record.users or record.audience == USERS)


def _moved(before: View, after: View) -> set[int]:
    """The users whose rights a change may have changed apart from others with their roles."""
    moved = set(before.special ^ after.special)
    old, new = before.guild.members, after.guild.members
    if old is not new:
        moved |= {user for user in new.keys() & old.keys() if new[user].roles != old[user].roles}
    return moved
