"""What clients and apps write about entities, checked. Pure."""

import re
from typing import Any, Final

import msgspec

from fanfare.location.entity import ENDS, ORDER, BadStateError, Entity, normal_state, step
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import Form

__all__ = ["KIND", "changed", "created", "follows_in", "shown", "state_changed", "unknown_entity"]

KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_NAME: Final = 100
_STATE: Final = 32
_MOST: Final = 1000


def unknown_entity() -> ApiError:
    """There is no such entity, or none for this user."""
    return ApiError(404, 10900, "Unknown Entity")


def created(form: Form, ident: int) -> Entity:
    """The entity in the body of POST /fanfare/v1/entities. Raises: FormError."""
    kind = form.text("kind", longest=32, required=True) or ""
    if "kind" not in form.errors and not KIND.fullmatch(kind):
        form.fail(
            "kind", "BASE_TYPE_CHOICES", "A word of small letters, digits, _ and -, such as driver or order."
        )
    entity = Entity(id=ident, kind=kind, state="placed" if kind == ORDER else "")
    return _fields(form, entity)


def changed(form: Form, entity: Entity, follows: Entity | None) -> Entity:
    """An entity after the body of PATCH.

    Args:
        form: the body.
        entity: before.
        follows: the entity that it is to follow, where the body names one that exists.

    Raises:
        FormError: fields are wrong.

    """
    if entity.ended and any(name in form for name in ("state", "follows")):
        name = "state" if "state" in form else "follows"
        form.fail(
            name, "ENTITY_ENDED", f"The entity has ended{f': it is {entity.state}' if entity.state else ''}."
        )
    after = _fields(form, entity)
    if "follows" in form and not entity.ended:
        after = _following(form, after, follows)
    form.check()
    return after


def state_changed(form: Form, entity: Entity) -> Entity:
    """An entity after a PATCH of somebody who may change nothing but its state. Raises: FormError."""
    for name in form.body:
        if name != "state":
            form.fail(name, "BASE_TYPE_UNSUPPORTED", "Who publishes an entity may change its state alone.")
    return changed(form, entity, None)


def follows_in(form: Form) -> int:
    """The entity that the body says is to be followed; 0: none."""
    return form.snowflake("follows") or 0


def shown(entity: Entity, *, everything: bool) -> dict[str, Any]:
    """An entity as REST shows it, to an app or to who may watch or publish it."""
    found: dict[str, Any] = {
        "id": str(entity.id),
        "kind": entity.kind,
        "name": entity.name,
        "version": entity.version,
        "state": entity.state or None,
        "follows": str(entity.follows) if entity.follows else None,
        "ended": entity.ended,
        "destination": _place(entity.destination),
    }
    if everything:
        for name in ("publishers", "watchers", "coarse", "roles"):
            found[name] = [str(ident) for ident in getattr(entity, name)]
        found["guild_id"] = str(entity.guild_id) if entity.guild_id else None
        found["inside"] = [{"geofence_id": str(one.geofence), "since": one.since} for one in entity.inside]
    return found


def _fields(form: Form, entity: Entity) -> Entity:
    said: dict[str, Any] = {}
    if (name := form.text("name", longest=_NAME)) is not None:
        said["name"] = name
    for field in ("publishers", "watchers", "coarse", "roles"):
        if field in form:
            said[field] = tuple(form.snowflakes(field, most=_MOST) or ())
    if "guild_id" in form:
        said["guild_id"] = form.snowflake("guild_id") or 0
    if "destination" in form:
        said["destination"] = form.child("destination", _destination)
    after = msgspec.structs.replace(entity, **said)
    if after.roles and not after.guild_id:
        form.fail("guild_id", "BASE_TYPE_REQUIRED", "Roles are those of a guild: name it.")
    if (state := form.text("state", longest=_STATE)) is not None and not entity.ended:
        after = _in_state(form, after, normal_state(state))
    form.check()
    return after


def _in_state(form: Form, entity: Entity, state: str) -> Entity:
    if entity.kind == ORDER:
        try:
            step(entity.state, state)
        except BadStateError as error:
            form.fail("state", "BASE_TYPE_CHOICES", str(error))
            return entity
        if state in ENDS:
            return msgspec.structs.replace(entity, state=state, ended=True, follows=0)
    return msgspec.structs.replace(entity, state=state)


def _following(form: Form, entity: Entity, follows: Entity | None) -> Entity:
    wanted = form.snowflake("follows") or 0
    if entity.ended:
        return entity
    if not wanted:
        return msgspec.structs.replace(entity, follows=0)
    if follows is None or follows.id != wanted:
        form.fail("follows", "BASE_TYPE_CHOICES", f'There is no entity "{wanted}".')
    elif wanted == entity.id:
        form.fail("follows", "BASE_TYPE_CHOICES", "An entity cannot follow itself.")
    elif follows.ended:
        form.fail("follows", "ENTITY_ENDED", "The entity to follow has ended.")
    elif follows.follows:
        form.fail("follows", "BASE_TYPE_CHOICES", "The entity to follow follows another one: name that one.")
    else:
        state = "assigned" if entity.state == "placed" else entity.state
        # Another driver's positions have times of another clock.
        judged = entity.judged if wanted == entity.follows else (0, 0)
        return msgspec.structs.replace(entity, follows=wanted, state=state, judged=judged)
    return entity


def _destination(form: Form) -> tuple[float, float] | None:
    found = []
    for name, most in (("lat", 90.0), ("lon", 180.0)):
        value = form.raw(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
            form.fail(name, "NUMBER_TYPE_RANGE", f"Must be a number between {-most:g} and {most:g}.")
        else:
            found.append(float(value))
    return (found[0], found[1]) if len(found) == 2 else None


def _place(place: tuple[float, float] | None) -> dict[str, float] | None:
    return None if place is None else {"lat": place[0], "lon": place[1]}
