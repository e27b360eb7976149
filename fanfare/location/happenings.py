"""What the app is told of its entities, in the topic `app.events`: states, ends, and passages of geofences. Pure."""

from typing import Any, Final

import msgspec

from fanfare.location.entity import Entity

__all__ = ["APP_EVENT", "Happening", "happenings"]

APP_EVENT: Final = "ENTITY_EVENT"
"""Type of the records."""

_encode = msgspec.json.Encoder().encode


class Happening(msgspec.Struct, frozen=True):
    """One thing that has happened to an entity."""

    id: str
    """Its own for ever: the entity, its version, and a number."""
    payload: bytes


def happenings(before: Entity | None, after: Entity, now_ms: int) -> list[Happening]:
    """What a change of an entity means for the app.

    Args:
        before: the entity; None: it is new.
        after: the entity after the change.
        now_ms: when it was changed, in ms since 1970.

    """
    told: list[dict[str, Any]] = []
    if before is not None:
        for one in after.passages_since(before):
            geofence = {"geofence_id": str(one.geofence), "geofence": one.name}
            told.append({"type": one.kind, **geofence, "at": one.at})
    was = before.state if before is not None else ""
    if after.state != was:
        follows = str(after.follows) if after.follows else None
        told.append(
            {"type": "state", "state": after.state, "before": was or None, "follows": follows, "at": now_ms}
        )
    if after.ended and (before is None or not before.ended):
        told.append({"type": "ended", "at": now_ms})
    facts = {"entity_id": str(after.id), "kind": after.kind, "name": after.name}
    found = []
    for count, one_told in enumerate(told, start=1):
        ident = f"{after.id}-{after.version}-{count}"
        found.append(Happening(ident, _encode({"id": ident, **facts, **one_told})))
    return found
