"""What a session missed in other inboxes, as frames in its own form.

Who sees an event is decided by the guild as it was at the event. This node has the guild as it is, and each change that
was missed says what it replaced, so the missed events are gone through backwards.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from fanfare.presence.inboxes import InboxEntry
from fanfare.record import USERS, Position, Record
from gateway.delivery.catch_up import guild_deleted
from gateway.delivery.hub import Hub
from gateway.delivery.past import view_before
from gateway.delivery.ring import Event
from gateway.delivery.session import LEAVES, Link, Session, is_membership
from gateway.guilds.audience import View
from gateway.guilds.cache import GuildCache
from gateway.guilds.snapshot import guild_create
from gateway.protocol.frames import Dispatch, dispatch, wrap
from gateway.recovery.path import Fence, above

__all__ = ["Replays", "UnknownRightsError"]

# Events kept while sessions that come at one time are shown them.
_SHARED: Final = 10_000
# Earlier versions of guilds, likewise.
_SHARED_VIEWS: Final = 200


class UnknownRightsError(Exception):
    """It cannot be told who might see an event that a session is owed."""


class Replays:
    """Makes the replays of a node's sessions; those that come at one time share the frames."""

    def __init__(self, hub: Hub, guilds: GuildCache) -> None:
        self._hub = hub
        self._guilds = guilds
        self._shared: dict[tuple[int, Position], Dispatch] = {}
        self._views: dict[tuple[int, int], View] = {}

    def clear(self) -> None:
        """Forget what is shared: nobody is on the way."""
        self._shared.clear()
        self._views.clear()

    def events(
        self,
        session: Session,
        owed: Sequence[InboxEntry],
        *,
        ring_from: int,
        f: Fence,
        unread: Iterable[Record],
    ) -> list[Event]:
        """Entries of inboxes as events, each with the session's guild as it was there, where that can be told.

        Args:
            session: in the guilds that it is in now.
            owed: the entries.
            ring_from: index in the ring where what follows the entries begins.
            f: but for what is not above this.
            unread: what follows the entries and is not in the ring yet.

        """
        told = {
            entry.record.guild
            for entry in owed
            if entry.record and is_membership(entry.record, session.user.id)
        }
        # How a guild was that the user has left is told by those who are still in it.
        guilds = session.guilds | told - self._guilds.ahead.keys()
        views = self._views_after(guilds, ring_from, f, list(unread))
        found: list[Event] = []
        for entry in reversed(owed):
            record = entry.record
            assert record is not None
            view = views.get(record.guild)
            event = Event(self._dispatch(entry.s, record), view)
            if record.version and view is not None:
                if record.version == view.guild.version:
                    event.before = self._before(view, record)
                if event.before is not None:
                    views[record.guild] = event.before
                else:
                    # Where the session's user joins, what was before is not for them.
                    event.view = view if is_membership(record, session.user.id) else None
                    del views[record.guild]
            found.append(event)
        found.reverse()
        return found

    def _views_after(
        self, guilds: set[int], ring_from: int, f: Fence, unread: list[Record]
    ) -> dict[int, View]:
        """A session's guilds as they were after all that it is owed."""
        present = self._guilds.views
        views = {guild: present[guild] for guild in guilds if guild in present}
        met: set[int] = set()
        for change in self._hub.past.changes(self._hub.ring, ring_from):
            record = change.dispatch.record
            guild = record.guild
            if guild in met or guild not in views or not above(record.position, f):
                continue
            met.add(guild)
            if change.view is None:
                self._hub.past.fill(self._hub.ring, guild)
            if change.before is not None:
                views[guild] = change.before
            else:
                del views[guild]
        for record in reversed(unread):
            view = views.get(record.guild)
            if record.version and view is not None and record.version == view.guild.version:
                before = self._before(view, record)
                if before is not None:
                    views[record.guild] = before
                else:
                    del views[record.guild]
        return views

    def _before(self, view: View, record: Record) -> View | None:
        """The guild before a change; shared by those who come at one time, if it is known whole."""
        key = (record.guild, record.version)
        found = self._views.get(key)
        if found is None:
            found = view_before(view, record)
            whole = len(view.guild.members) >= view.guild.member_count
            if found is not None and whole and len(self._views) < _SHARED_VIEWS:
                self._views[key] = found
        return found

    def early(self, session: Session, part: Sequence[tuple[int, int]]) -> list[Event]:
        """What the node got above a fence before it was raised.

        Args:
            session: who is shown it.
            part: of each event the number that is shown, and its index in the ring.

        """
        ring = self._hub.ring
        found: list[Event] = []
        for s, at in part:
            event = ring[at]
            record = event.dispatch.record
            if event.view is None and record.guild in session.guilds:
                self._hub.past.fill(ring, record.guild)
            found.append(Event(self._dispatch(s, record), event.view, event.before))
        return found

    def put(self, session: Session, link: Link, events: list[Event]) -> None:
        """Frames of events that no ring has for the session, in its own form.

        Raises:
            UnknownRightsError: what the session is owed cannot be told.

        """
        session.transport = link.transport_kind
        self._rewind(session, events)
        for event in events:
            record = event.dispatch.record
            own = is_membership(record, session.user.id)
            if not own and event.view is None and record.audience != USERS and record.guild in session.guilds:
                raise UnknownRightsError(f"{record.type} of guild {record.guild}")
            frame = self._membership(session, event) if own else self._hub.catch_up.frame_for(session, event)
            if frame is not None:
                session.replay.append(frame)

    def _rewind(self, session: Session, events: list[Event]) -> None:
        """Put a session into the guilds that its client was in before all this.

        A guild that was joined on the way is told of when its turn comes. In one that was left first, the client was;
        where it cannot be told how that was, it is only told that it left.
        """
        met: set[int] = set()
        for event in events:
            record = event.dispatch.record
            if record.guild in met or not is_membership(record, session.user.id):
                continue
            met.add(record.guild)
            if record.type in LEAVES and event.before is not None:
                self._hub.roster.join(session, record.guild)
            else:
                self._hub.roster.part(session, record.guild)

    def _dispatch(self, s: int, record: Record) -> Dispatch:
        """A dispatch that sessions which come at one time share, so that its frames are made once."""
        key = (s, record.position)
        found = self._shared.get(key)
        if found is None:
            found = Dispatch(s, record)
            if len(self._shared) < _SHARED:
                self._shared[key] = found
        return found

    def _membership(self, session: Session, event: Event) -> bytes | None:
        """The frame of a guild that the session's user joined or left."""
        guild, s = event.dispatch.record.guild, event.dispatch.s
        if event.dispatch.record.type in LEAVES:
            self._hub.roster.part(session, guild)
            return guild_deleted(s, guild, session.transport)
        view = event.view or self._guilds.views.get(guild)
        if view is None or session.user.id not in view.guild.members:
            return None
        self._hub.roster.join(session, guild)
        session.shown[guild] = view.guild.version
        d = guild_create(
            view, session.user.id, self._hub.people.part(view, session.user.id, session.intents), joined=True
        )
        return wrap(dispatch(s, "GUILD_CREATE", d), session.transport)
