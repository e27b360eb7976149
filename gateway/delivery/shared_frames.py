"""Stretches of the ring that many sessions get alike: joined once for all sessions that resume at one time. Pure.

When a node's clients come back after a cut, thousands of cursors of a few classes want the same events. Whether a
session gets a message depends on its class in each guild; a run ends where it depends on more.
"""

from collections.abc import Mapping
from typing import Final

from gateway.delivery.ring import Ring
from gateway.delivery.session import Session, is_message
from gateway.guilds.audience import AudienceClass, View, content_for, sees

__all__ = ["Runs"]

# A run is about one write long, and all runs are dropped with the next batch of the inbox.
_KEPT: Final = 64

_Key = tuple[int, int, tuple[tuple[int, AudienceClass], ...]]


class Runs:
    """What was joined since `clear`."""

    __slots__ = ("_found", "_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        """Args: limit_bytes: a run ends when it has so many."""
        self._limit_bytes = limit_bytes
        self._found: dict[_Key, tuple[bytes, int]] = {}

    def clear(self) -> None:
        """Drop them: a guild changes, or the ring."""
        self._found.clear()

    def of(
        self,
        session: Session,
        ring: Ring,
        end: int,
        views: Mapping[int, View],
    ) -> tuple[bytes, int]:
        """The frames for a session from its cursor on, maybe none, and the index of the event after them.

        Args:
            session: one that stands in a class of each of its guilds, and leaves nothing out.
            ring: the events.
            end: index at which to stop.
            views: the guilds as they are.

        """
        assert session.cursor is not None
        key = (session.cursor, end, tuple(session.classes.items()))
        found = self._found.get(key)
        if found is None:
            found = self._join(session.cursor, end, session.classes, ring, views)
            if len(self._found) < _KEPT:
                self._found[key] = found
        return found

    def _join(
        self,
        start: int,
        end: int,
        classes: Mapping[int, AudienceClass],
        ring: Ring,
        views: Mapping[int, View],
    ) -> tuple[bytes, int]:
        frames: list[bytes] = []
        size, at = 0, start
        while at < end and size < self._limit_bytes:
            event = ring[at]
            record = event.dispatch.record
            if not is_message(record):
                break
            audience = classes.get(record.guild)
            if audience is not None:
                view = event.view
                if view is None or view is not views.get(record.guild):
                    break
                if sees(view, audience, record):
                    if not content_for(0, audience.intents, record):
                        break  # some get it in another form
                    frames.append(event.dispatch.frame(audience.transport, content=True))
                    size += len(frames[-1])
            at += 1
        return b"".join(frames), at
