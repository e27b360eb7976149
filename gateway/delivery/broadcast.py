"""The connected sessions of a guild, by audience class, and the writing of events to them: the hot path.

A live session is kept by its descriptor, so that a broadcast does not touch the session object. What a batch owes a
class goes out in one write.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Final

from gateway import metrics
from gateway.delivery.ring import Event
from gateway.delivery.session import Session
from gateway.delivery.visibility import frames_of, rights_after
from gateway.delivery.writing import Write
from gateway.guilds.audience import AudienceClass, View, content_for, sees

__all__ = ["TOGETHER_BYTES", "Room", "broadcast", "broadcast_change"]

# Payloads that go out in one write: enough that the call costs little, and a socket's buffer takes it.
TOGETHER_BYTES: Final = 16 * 1024


class Room:
    """The connected sessions of one class in one guild."""

    __slots__ = ("_fds", "direct", "others")

    def __init__(self) -> None:
        self.direct: dict[int, Session] = {}
        """Live sessions by descriptor: exactly those whose `fd` is not -1."""
        self.others: dict[Session, None] = {}
        """Cursors, and sessions under TLS."""
        self._fds: array[int] | None = None

    def __bool__(self) -> bool:
        return bool(self.direct or self.others)

    @property
    def fds(self) -> "array[int]":
        """The descriptors of `direct`."""
        if self._fds is None:
            self._fds = array("i", self.direct)
        return self._fds

    def add(self, session: Session) -> None:
        """Put a session in, under its `fd`."""
        if session.fd >= 0:
            self.direct[session.fd] = session
            self._fds = None
        else:
            self.others[session] = None

    def remove(self, session: Session) -> None:
        """Take a session out; its `fd` is the one it was put in under."""
        if session.fd >= 0:
            del self.direct[session.fd]
            self._fds = None
        else:
            del self.others[session]


def broadcast(
    rooms: Mapping[AudienceClass, Room],
    events: list[Event],
    view: View,
    users: Mapping[int, set[Session]],
    write: Write,
) -> None:
    """Write events, which follow each other, to those sessions in a guild that may see them.

    Args:
        rooms: the guild's.
        events: of the guild, oldest first; none is a change to the guild.
        view: the guild as it was at all of them.
        users: the sessions of each user.
        write: writes to many sockets.

    """
    for audience, room in rooms.items():
        seen = [event for event in events if sees(view, audience, event.dispatch.record)]
        if not seen:
            continue
        direct = room.fds
        others: Iterable[Session] = room.others
        apart = _apart(seen, audience, users)
        if apart:
            direct = array("i", (fd for fd in direct if room.direct[fd] not in apart))
            others = [one for one in others if one not in apart]
            for session in apart:
                _write_alone(session, _frames(seen, audience, session.user.id))
        _write_to(room, direct, others, _frames(seen, audience, 0), write)


def broadcast_change(
    rooms: Mapping[AudienceClass, Room], event: Event, apart: set[Session], write: Write
) -> None:
    """Write a change to a guild to the sessions in it, which are still in their classes from before it.

    Args:
        rooms: the guild's.
        event: with the guild before and after it.
        apart: sessions whose own rights it changes: they are left out.
        write: writes to many sockets.

    """
    record, after = event.dispatch.record, event.view
    assert after is not None
    guild, version = record.guild, record.version
    for was, room in rooms.items():
        now = was._replace(roles=rights_after(record, was, after)[0])
        data = frames_of(event, (was.roles, was.own), now)
        if data is None:
            continue
        # Without the sessions whose snapshot held the change already.
        new = (one for one in room.direct.values() if one.shown.get(guild, 0) < version and one not in apart)
        others = [one for one in room.others if one.shown.get(guild, 0) < version and one not in apart]
        _write_to(room, array("i", (one.fd for one in new)), others, data, write)


def _write_to(
    room: Room, direct: "array[int]", others: "Iterable[Session]", data: bytes, write: Write
) -> None:
    metrics.WRITTEN.bytes += len(direct) * len(data)
    # Afterwards, because these sessions leave `direct`.
    for fd, written in write(direct, data):
        link = room.direct[fd].link
        assert link is not None
        link.rest(data, written)
    for session in others:
        if session.cursor is None and session.link is not None:
            session.link.send(data)


def _apart(events: list[Event], audience: AudienceClass, users: Mapping[int, set[Session]]) -> set[Session]:
    """The sessions of a class that get the content of an event though the class does not: it is by, or names, them."""
    guild = events[0].dispatch.record.guild
    named = {
        user
        for event in events
        if not content_for(0, audience.intents, event.dispatch.record)
        for user in (event.dispatch.record.author, *event.dispatch.record.mentions)
    }
    return {
        session for user in named for session in users.get(user, ()) if session.classes.get(guild) == audience
    }


def _frames(events: list[Event], audience: AudienceClass, user: int) -> bytes:
    frames = [
        event.dispatch.frame(
            audience.transport, content=content_for(user, audience.intents, event.dispatch.record)
        )
        for event in events
    ]
    return frames[0] if len(frames) == 1 else b"".join(frames)


def _write_alone(session: Session, data: bytes) -> None:
    if session.cursor is None and session.link is not None:
        session.link.send(data)
