"""What a session missed in other inboxes, as frames in its own form."""

from collections.abc import Iterable
from typing import Final

from fanfare.presence.inboxes import InboxEntry
from fanfare.record import Position, Record
from gateway.frames import Dispatch, dispatch, wrap
from gateway.guilds import GuildCache
from gateway.hub import Hub, Link, Session, guild_deleted, is_membership
from gateway.resume import Hop, above
from gateway.ring import Event
from gateway.snapshot import guild_create

__all__ = ["Replays"]

# Events kept while sessions that come at one time are shown them.
_SHARED: Final = 10_000


class Replays:
    """Makes the replays of a node's sessions; those that come at one time share the frames."""

    def __init__(self, hub: Hub, guilds: GuildCache) -> None:
        self._hub = hub
        self._guilds = guilds
        self._shared: dict[tuple[int, Position], Dispatch] = {}

    def clear(self) -> None:
        """Forget what is shared: nobody is on the way."""
        self._shared.clear()

    def events(self, entries: Iterable[InboxEntry]) -> list[Event]:
        """Entries of inboxes as events. The guilds are taken as they are now."""
        found = []
        for entry in entries:
            assert entry.record is not None
            view = self._guilds.views.get(entry.record.guild)
            found.append(Event(self._dispatch(entry.s, entry.record), view))
        return found

    def early(self, hop: Hop) -> list[Event]:
        """What the node got above the hop's `f` before it was raised, under the numbers kept for it."""
        ring = self._hub.ring
        dispatches = (
            (ring[at].dispatch, ring[at].view) for at in range(ring.after(hop.since), ring.after(hop.t))
        )
        early = ((one, view) for one, view in dispatches if above(one.record.position, hop.f))
        return [
            Event(self._dispatch(s, one.record), view)
            for s, (one, view) in enumerate(early, start=hop.base + 1)
        ]

    def put(self, session: Session, link: Link, events: list[Event]) -> None:
        """Frames of events that no ring has for the session, in its own form."""
        session.transport = link.transport_kind
        for event in events:
            # A guild that was joined on the way is told of when its turn comes.
            if is_membership(event.dispatch.record, session.user.id):
                self._hub.part(session, event.dispatch.record.guild)
        for event in events:
            own = is_membership(event.dispatch.record, session.user.id)
            frame = self._membership(session, event) if own else self._hub.frame_for(session, event)
            if frame is not None:
                session.replay.append(frame)

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
        if event.dispatch.record.type == "GUILD_MEMBER_REMOVE":
            self._hub.part(session, guild)
            return guild_deleted(s, guild, session.transport)
        if event.view is None or session.user.id not in event.view.guild.members:
            return None
        self._hub.join(session, guild)
        session.shown[guild] = event.view.guild.version
        d = guild_create(event.view, session.user.id, joined=True)
        return wrap(dispatch(s, "GUILD_CREATE", d), session.transport)
