"""What an entry of the inbox does to the sessions of a node, and what their connections tell of themselves.

A live session is written to at once, with frames that its whole audience class shares. Any other connected session is a
cursor on the ring, and catches up (`catch_up`). `roster` knows which sessions there are, `progress` how far the inbox
has been taken.
"""

from collections.abc import Callable
from typing import Final, Protocol

from fanfare.constants import RESUME_WINDOW_S, RING_BYTES
from fanfare.presence.inboxes import InboxEntry, moved_of
from fanfare.record import USERS, Record
from gateway.delivery.broadcast import TOGETHER_BYTES, broadcast, broadcast_change
from gateway.delivery.catch_up import CatchUp
from gateway.delivery.catch_up import People as ShownPeople
from gateway.delivery.past import Past
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Event, Ring
from gateway.delivery.roster import Guilds as HeldGuilds
from gateway.delivery.roster import Roster
from gateway.delivery.session import LEAVES, Link, Session, is_message, is_personal
from gateway.delivery.writing import Write
from gateway.guilds.audience import View, intent_of
from gateway.protocol.codes import CloseCode
from gateway.protocol.frames import Dispatch

__all__ = ["Guilds", "Hub", "LoadGuild"]

LoadGuild = Callable[[Session, int, Callable[[Session, int], None]], None]
"""Load a guild that a session joins, note it with the session, and then call what is given."""


class Guilds(HeldGuilds, Protocol):
    """What a node knows of guilds, as the hub needs it."""

    ahead: dict[int, int]

    def apply(self, record: Record) -> View | None:
        """Take a guild's event; returns the guild after it, None if it is not held here."""


class People(ShownPeople, Protocol):
    """What a node knows of the statuses of guilds' members, as the hub needs it."""

    def take(self, record: Record) -> None:
        """Take an event of the inbox."""


class Hub:
    """Delivery on one node. Everything here happens in the event loop's thread, without waiting."""

    def __init__(
        self,
        *,
        guilds: Guilds,
        inbox: str,
        s: int,
        write: Write,
        load_guild: LoadGuild,
        forgotten: Callable[[Session], None],
        seen: Callable[[int], None],
        changed: Callable[[int], None],
        people: People,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        """Make a hub without sessions.

        Args:
            guilds: what the node knows of guilds.
            inbox: the node's.
            s: where it begins.
            write: writes to many sockets.
            load_guild: called when a session joins a guild.
            forgotten: called when a session's resume window is over.
            seen: ids made here must be above this one from now on.
            changed: called with a user whose sessions, or their guilds, have changed.
            people: the statuses of guilds' members.
            ring_bytes: how much of the newest events is kept.

        """
        self.guilds = guilds
        self.progress = Progress(inbox, s)
        self.ring: Final = Ring(ring_bytes, s)
        self.past: Final = Past(guilds)
        self.roster = Roster(guilds, changed)
        self.people = people
        self.catch_up = CatchUp(
            guilds=guilds,
            roster=self.roster,
            progress=self.progress,
            ring=self.ring,
            past=self.past,
            people=people,
            load_guild=lambda session, guild: load_guild(session, guild, self.joined),
        )
        self._write = write
        self._forgotten = forgotten
        self._seen = seen
        self._owed: list[Event] = []
        """Events that were taken and not written yet: see `take`."""
        self._owed_bytes = 0

    @property
    def inbox(self) -> str:
        """The node's inbox."""
        return self.progress.inbox

    @property
    def s(self) -> int:
        """`s` of the newest entry taken from the inbox."""
        return self.progress.s

    @property
    def sessions(self) -> dict[str, Session]:
        """The sessions by key; the roster's, to be read only."""
        return self.roster.sessions

    # What an entry does

    def take(self, entry: InboxEntry, *, more: bool = False) -> None:
        """Take the next entry of the inbox.

        Args:
            entry: the entry.
            more: whether the next call is another `take` or `settle`, before anything else happens. Then messages to
                a guild that follow each other go out in one write.

        """
        record = entry.record
        if record is None:
            self._pay()
            self.progress.take(entry)
            self._let_go(moved_of(entry))
            return
        before = self.guilds.views.get(record.guild)
        alike = is_message(record)
        if self._owed and not (alike and self._owed[0].view is before):
            # A session whose socket fills up goes on behind the newest event. So what is owed is written before this
            # event is appended.
            self._pay()
        if not self.progress.take(entry):
            return
        if record.version:
            self.catch_up.forget_shared()
        view = self.guilds.apply(record) if record.version else before
        # While the guild is ahead of the inbox, its state at this event becomes known only later.
        known = view if record.guild not in self.guilds.ahead else None
        self.people.take(record)
        event = Event(Dispatch(entry.s, record), known)
        index = self.ring.append(event)
        if record.audience == USERS:
            self._deliver_to_users(event)
        elif not alike:
            self._deliver_change(event, index, before, view)
        elif view is not None:
            self._owe(event if known is view else Event(event.dispatch, view), more=more)

    def settle(self) -> None:
        """After a batch: let sessions and tasks go on that were waiting for entries."""
        self._pay()
        self.catch_up.forget_shared()
        self._seen(self.progress.newest_id)
        self.progress.tell()
        for session in list(self.catch_up.catching):
            self._go_on(session)

    def _let_go(self, moved: dict[str, int]) -> None:
        """Another node is about to go on with these sessions: from here on they get nothing of this inbox."""
        for key, version in moved.items():
            session = self.sessions.get(key)
            if session is not None and session.link is not None and session.version <= version:
                self.close(session, CloseCode.UNKNOWN_ERROR, "resumed on another node")

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
        broadcast(self.roster.rooms.get(view.guild.id, {}), events, view, self.roster.users, self._write)

    def _deliver_to_users(self, event: Event) -> None:
        record = event.dispatch.record
        needed = intent_of(record.type, in_guild=bool(record.guild))
        for user in record.users:
            for session in self.roster.of_user(user):
                if (
                    session.cursor is None
                    and session.link
                    and session.intents & needed == needed
                    and session.covers(record.guild)
                ):
                    session.link.send(event.dispatch.frame(session.transport, content=True))

    def _deliver_change(self, event: Event, index: int, before: View | None, view: View | None) -> None:
        """Deliver an event that changes a guild, or is about some of its members."""
        record = event.dispatch.record
        concerned = self._hold_back(record, index)
        if record.version:
            self._change(event, index, before, view)
        elif view is not None:
            broadcast(self.roster.rooms.get(record.guild, {}), [event], view, self.roster.users, self._write)
        for session in concerned:
            self._go_on(session)

    def _hold_back(self, record: Record, index: int) -> list[Session]:
        """Make cursors of the sessions that a guild event is about: they get it in another form, or later."""
        if not is_personal(record):
            return []
        held = []
        for user in record.users:
            for session in self.roster.of_user(user):
                if session.link is None:
                    # Its client gets the event when it resumes.
                    if record.type in LEAVES:
                        self.roster.part(session, record.guild)
                elif session.cursor is None:
                    self.catch_up.hold_back(session, index)
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
        moved = [one for user in users for one in self.roster.of_user(user) if record.guild in one.classes]
        # A deleted role is gone for whole classes, so the sessions of a class still share frames.
        apart: set[Session] = set(moved) if record.type != "GUILD_ROLE_DELETE" else set()
        for session in apart:
            if session.cursor is None and session.link is not None:
                frame = self.catch_up.frame_for(session, event)
                if frame is not None:
                    session.link.send(frame)
        broadcast_change(self.roster.rooms.get(record.guild, {}), event, apart, self._write)
        for session in moved:
            self.roster.move(session, record.guild)

    # What a connection, or the clock, says of a session

    def attach(self, session: Session, link: Link, *, cursor: int | None = None) -> None:
        """Connect a session whose guilds are loaded; live at once, or as a cursor."""
        session.link = link
        session.transport = link.transport_kind
        session.cursor = cursor
        self.roster.reseat(session)
        self.keep(session)
        self.roster.enter_rooms(session)
        self.roster.changed(session.user.id)
        if cursor is not None:
            self._go_on(session)

    def keep(self, session: Session) -> None:
        """Hold a session in memory, in the place of what was known of it; without a link it is away."""
        old = self.sessions.get(session.key)
        if old is session:
            return
        if old is not None:
            if old.link is not None:
                self.close(old, CloseCode.UNKNOWN_ERROR, "resumed on another connection")
            self.roster.discard(old)
        self.roster.add(session)

    def joined(self, session: Session, guild: int) -> None:
        """A guild that was wanted is loaded."""
        self.catch_up.loaded(session, guild)
        self._go_on(session)

    def block(self, session: Session) -> None:
        """The session's socket is full after the newest event: it goes on as a cursor."""
        self.catch_up.block(session)

    def drained(self, session: Session) -> None:
        """The session's socket takes data again."""
        self._go_on(session)

    def detach(self, session: Session, *, ended: bool) -> None:
        """The session's socket is gone; if it has ended it is forgotten, else it can be resumed for a while."""
        session.leave()
        self.roster.reseat(session)
        self.roster.changed(session.user.id)
        self.catch_up.left(session)
        self.roster.leave_rooms(session)
        if ended:
            self.forget(session)

    def close(self, session: Session, code: CloseCode, reason: str) -> None:
        """Close a session's socket; it can be resumed."""
        link = session.link
        self.detach(session, ended=False)
        if link is not None:
            link.end(code, reason)

    def revoke(self, user: int, generation: int) -> None:
        """End the sessions that began with older tokens of a user, live or away; they cannot be resumed."""
        for session in list(self.roster.of_user(user)):
            if session.generation < generation:
                self.close(session, CloseCode.AUTHENTICATION_FAILED, "the token was revoked")
                self.forget(session)

    def forget(self, session: Session) -> None:
        """The session's resume window is over, or its client ended it."""
        self.roster.discard(session)
        self._forgotten(session)

    def expire(self, now: float) -> int:
        """Forget the sessions whose resume window is over; returns how many others are away."""
        away = self.roster.away()
        over = [session for session in away if now - session.away_at > RESUME_WINDOW_S]
        for session in over:
            self.forget(session)
        return len(away) - len(over)

    def clear(self) -> None:
        """Forget all sessions, and the events: they cannot be made whole any more."""
        for session in list(self.sessions.values()):
            self.forget(session)
        self.catch_up.clear()
        self.ring.clear(self.s)
        self.past.clear()

    def _go_on(self, session: Session) -> None:
        """Let a cursor catch up; close its connection if that is not to be had."""
        trouble = self.catch_up.pump(session)
        if trouble is not None:
            self.close(session, CloseCode.UNKNOWN_ERROR, trouble.reason)
            if trouble.forget:
                self.forget(session)


def _moved(before: View, after: View) -> set[int]:
    """The users whose rights a change may have changed, though not those of others with the same roles."""
    moved = {user for user, _ in before.special.items() ^ after.special.items()}
    old, new = before.guild.members, after.guild.members
    if old is not new:
        moved |= {user for user in new.keys() & old.keys() if new[user].roles != old[user].roles}
    return moved
