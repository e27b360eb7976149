"""What one socket or stream watches, and the frames that watchers share."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from typing_extensions import override

from fanfare.location.entity import Entity, Passage
from fanfare.location.geo import rounded
from fanfare.location.positions import Fix
from gateway.protocol.codes import Op
from gateway.protocol.frames import Transport, control, wrap

if TYPE_CHECKING:
    from fanfare.location.cells import Area

__all__ = [
    "ENTITY_UPDATE",
    "GEOFENCE_UPDATE",
    "LOCATION_UPDATE",
    "Link",
    "SocketWatcher",
    "Update",
    "Watcher",
    "answer",
    "entity_facts",
    "passage_facts",
]

LOCATION_UPDATE: Final = "LOCATION_UPDATE"
ENTITY_UPDATE: Final = "ENTITY_UPDATE"
GEOFENCE_UPDATE: Final = "GEOFENCE_UPDATE"

_encode = msgspec.json.Encoder().encode


class Link(Protocol):
    """Where a watcher is: a socket, or a stream."""

    @property
    def transport_kind(self) -> Transport:
        """How its messages are wrapped."""

    @property
    def blocked(self) -> bool:
        """Whether it takes nothing now."""

    @property
    def fd(self) -> int:
        """The descriptor that frames may be written to, or -1."""

    def send(self, data: bytes) -> None:
        """Write frames."""

    def answer(self, data: bytes) -> None:
        """Write what must not be left out; a client that reads none of it is cut."""

    def rest(self, data: bytes, written: int) -> None:
        """Take over a frame of which so much was written to `fd`."""


class Watcher:
    """What somebody watches, whatever they watch it with."""

    __slots__ = ("area", "cells", "pending", "ready", "sources", "turn", "user", "wanted")

    def __init__(self, user: int) -> None:
        self.user = user
        self.wanted: set[int] = set()
        """Entities asked for and allowed."""
        self.area: Area | None = None
        self.cells: frozenset[int] = frozenset()
        self.sources: dict[int, list[int]] = {}
        """Entities whose positions it gets, each with those wanted that have these positions."""
        self.pending: set[int] = set()
        """Entities whose newest position it did not take yet."""
        self.turn = asyncio.Lock()
        """One wish after the other."""
        self.ready = True
        """Whether the client knows what it watches."""

    def may(self, entity: Entity, roles: Collection[int]) -> bool:
        """Whether it may see where an entity is, exactly or about. Arguments as for `Entity.may_watch`."""
        return entity.may_watch(self.user, roles)

    def exactly(self, entity: Entity, roles: Collection[int]) -> bool:
        """Whether, if it may see that, it sees it exactly."""
        return entity.sees_exactly(self.user, roles)

    @property
    def takes(self) -> bool:
        """Whether it takes positions now."""
        raise NotImplementedError

    @property
    def direct(self) -> "tuple[int, Transport] | None":
        """The descriptor that frames may be written to, and their form."""
        return None

    def give(self, update: "Update", *, exact: bool) -> None:
        """A position."""
        raise NotImplementedError

    def tell(self, entity: Entity) -> None:
        """A change of an entity; changes are few, unlike positions, so each is taken."""
        raise NotImplementedError

    def passed(self, entity: Entity, passage: Passage) -> None:
        """An entity came to a geofence, stayed, or went."""
        raise NotImplementedError

    def refuse(self, refused: Mapping[int, Mapping[str, Any]]) -> None:
        """Some of what was watched is watched no more."""
        raise NotImplementedError


class SocketWatcher(Watcher):
    """A watcher on a socket."""

    __slots__ = ("link",)

    def __init__(self, link: Link, user: int) -> None:
        super().__init__(user)
        self.link = link

    @property
    @override
    def takes(self) -> bool:
        return self.ready and not self.link.blocked

    @property
    @override
    def direct(self) -> tuple[int, Transport] | None:
        return (self.link.fd, self.link.transport_kind) if self.takes and self.link.fd >= 0 else None

    @override
    def give(self, update: "Update", *, exact: bool) -> None:
        self.link.send(update.frame(self.link.transport_kind, exact=exact))

    @override
    def tell(self, entity: Entity) -> None:
        said = _dispatch(ENTITY_UPDATE, _encode(entity_facts(entity)))
        self.link.answer(wrap(said, self.link.transport_kind))

    @override
    def passed(self, entity: Entity, passage: Passage) -> None:
        said = _dispatch(GEOFENCE_UPDATE, _encode(passage_facts(entity, passage)))
        self.link.answer(wrap(said, self.link.transport_kind))

    @override
    def refuse(self, refused: Mapping[int, Mapping[str, Any]]) -> None:
        said = answer(self, refused)
        self.link.answer(wrap(control(Op.WATCH, said), self.link.transport_kind))


def answer(watcher: Watcher, refused: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The `d` of op 131."""
    return {
        "entities": [str(ident) for ident in sorted(watcher.wanted)],
        "refused": {str(ident): why for ident, why in refused.items()},
    }


class Update:
    """The newest position of an entity, in all forms in which it is sent; each is made once."""

    __slots__ = ("_frames", "fix")

    def __init__(self, fix: Fix) -> None:
        self.fix = fix
        self._frames: dict[tuple[Transport, bool], bytes] = {}

    def frame(self, transport: Transport, *, exact: bool) -> bytes:
        """The websocket frame, for who may see exactly where it is, or about where."""
        found = self._frames.get((transport, exact))
        if found is None:
            found = self._frames[transport, exact] = wrap(
                _dispatch(LOCATION_UPDATE, self.data(exact=exact)), transport
            )
        return found

    def data(self, *, exact: bool) -> bytes:
        """The `d` of LOCATION_UPDATE."""
        fix = self.fix
        said: dict[str, object] = {
            "entity_id": str(fix.entity_id),
            "lat": fix.lat,
            "lon": fix.lon,
            "at": fix.at,
        }
        if fix.seq:
            said["seq"] = fix.seq
        if not exact:
            return _encode(said | {"lat": rounded(fix.lat), "lon": rounded(fix.lon), "coarse": True})
        for name in ("accuracy_m", "heading_deg", "speed_mps"):
            if (value := getattr(fix, name)) is not None:
                said[name] = value
        if fix.jumped:
            said["jumped"] = True
        return _encode(said)


def entity_facts(entity: Entity) -> dict[str, object]:
    """What who may watch an entity is told of it."""
    return {
        "entity_id": str(entity.id),
        "kind": entity.kind,
        "name": entity.name,
        "version": entity.version,
        "state": entity.state or None,
        "follows": str(entity.follows) if entity.follows else None,
        "ended": entity.ended,
    }


def passage_facts(entity: Entity, passage: Passage) -> dict[str, object]:
    """What who may see exactly where an entity is is told of a passage."""
    return {
        "entity_id": str(entity.id),
        "geofence_id": str(passage.geofence),
        "geofence": passage.name,
        "type": passage.kind,
        "number": passage.number,
        "at": passage.at,
    }


def _dispatch(name: str, d: bytes) -> bytes:
    """A dispatch outside the numbered ones: a client resumes after the last that has a number."""
    return b'{"op":0,"s":null,"t":"%b","d":%b}' % (name.encode(), d)
