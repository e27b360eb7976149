"""What a user gives to a command, a menu or a dialogue, checked against what the application asked for. Pure.

An application trusts what it is called with: a value that its definition rules out would be a hole in the application.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fanfare.ids import MAX_ID
from fanfare.payloads import Json
from gateway.ingress.errors import FormError
from gateway.ingress.forms import Form
from gateway.interactions.definitions import Option

__all__ = ["Wanted", "arguments", "choice_of", "component_with", "filled"]

_LONGEST: Final = 6000
_MAX_NUMBER: Final = 1 << 53
_SELECT_KINDS: Final = {5: ("users",), 6: ("roles",), 7: ("users", "roles"), 8: ("channels",)}
_STRING_SELECT: Final = 3
_BUTTON: Final = 2
_TEXT_INPUT: Final = 4


@dataclass(slots=True)
class Wanted:
    """The ids in what a user gave, by what they may be the id of."""

    users: set[int] = field(default_factory=set)
    roles: set[int] = field(default_factory=set)
    channels: set[int] = field(default_factory=set)
    either: set[int] = field(default_factory=set)
    """Users or roles."""


def arguments(definition: Json, given: Any, *, completes: bool = False) -> tuple[list[Json], Wanted]:
    """The options of a call, checked.

    Args:
        definition: the command.
        given: the `options` that the client sends.
        completes: it asks for suggestions for the option that is `focused`: nothing else has to be there yet.

    Raises:
        FormError: it names the option that is wrong.

    """
    wanted = Wanted()
    found = _given(definition.get("options") or [], given, "options", wanted, completes=completes)
    if completes and sum(_focused(found)) != 1:
        raise FormError.at("options", "BASE_TYPE_CHOICES", "One option has to be focused.")
    return found, wanted


def _focused(options: Sequence[Json]) -> Iterator[bool]:
    for one in options:
        yield one.get("focused", False)
        yield from _focused(one.get("options", ()))


def _given(
    definitions: Sequence[Json], given: Any, path: str, wanted: Wanted, *, completes: bool
) -> list[Json]:
    given = [] if given is None else given
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise FormError.at(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    known = {one["name"]: one for one in definitions}
    nested = any(one["type"] in (Option.SUB_COMMAND, Option.SUB_COMMAND_GROUP) for one in definitions)
    if nested and len(given) != 1:
        raise FormError.at(path, "BASE_TYPE_REQUIRED", "Exactly one subcommand is needed.")
    found: list[Json] = []
    for at, one in enumerate(given):
        where, name = f"{path}.{at}", one.get("name")
        definition = known.pop(name, None) if isinstance(name, str) else None
        if definition is None:
            raise FormError.at(f"{where}.name", "BASE_TYPE_CHOICES", "The command has no such option.")
        kind = definition["type"]
        entry: Json = {"name": name, "type": kind}
        if kind in (Option.SUB_COMMAND, Option.SUB_COMMAND_GROUP):
            inside = f"{where}.options"
            entry["options"] = _given(
                definition["options"], one.get("options"), inside, wanted, completes=completes
            )
        elif completes and one.get("focused") is True:
            entry |= _begun(definition, one, where)
        else:
            entry["value"] = _value(definition, one.get("value"), f"{where}.value", wanted)
        found.append(entry)
    missing = [name for name, definition in known.items() if definition.get("required")]
    if missing and not completes:
        raise FormError.at(f"{path}.{missing[0]}", "BASE_TYPE_REQUIRED", "This option is required.")
    return found


def _begun(definition: Json, one: Mapping[str, Any], where: str) -> Json:
    """What a user has begun to write, for suggestions."""
    if not definition.get("autocomplete"):
        raise FormError.at(f"{where}.name", "BASE_TYPE_CHOICES", "This option is not completed.")
    value = one.get("value", "")
    return {"value": value[:_LONGEST] if isinstance(value, str) else "", "focused": True}


def _value(definition: Json, value: Any, path: str, wanted: Wanted) -> Any:
    kind = definition["type"]
    if kind == Option.STRING:
        value = _string(definition, value, path)
    elif kind in (Option.INTEGER, Option.NUMBER):
        value = _number(definition, value, path)
    elif kind == Option.BOOLEAN:
        if not isinstance(value, bool):
            raise FormError.at(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    else:
        ident = _snowflake(value, path)
        place = {
            Option.USER: wanted.users,
            Option.ROLE: wanted.roles,
            Option.CHANNEL: wanted.channels,
            Option.MENTIONABLE: wanted.either,
        }[Option(kind)]
        place.add(ident)
        return str(ident)
    choices = definition.get("choices")
    if choices and value not in [one["value"] for one in choices]:
        raise FormError.at(path, "BASE_TYPE_CHOICES", "This is none of the choices.")
    return value


def _string(definition: Json, value: Any, path: str) -> str:
    least, most = definition.get("min_length") or 0, definition.get("max_length") or _LONGEST
    if not isinstance(value, str) or not least <= len(value) <= most:
        said = f"Must be a text between {least} and {most} in length."
        raise FormError.at(path, "BASE_TYPE_BAD_LENGTH", said)
    return value


def _number(definition: Json, value: Any, path: str) -> int | float:
    low, high = definition.get("min_value", -_MAX_NUMBER), definition.get("max_value", _MAX_NUMBER)
    whole = definition["type"] == Option.INTEGER
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not good or (whole and value != int(value)):
        said = f"Must be a {'whole ' if whole else ''}number between {low} and {high}."
        raise FormError.at(path, "NUMBER_TYPE_COERCE", said)
    number: int | float = int(value) if whole else value
    return number


def _snowflake(value: Any, path: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ID:
        raise FormError.at(path, "NUMBER_TYPE_COERCE", "This is no id.")
    return value


def component_with(components: Sequence[Any], custom_id: str) -> Json | None:
    """The component of a message, or of a dialogue, with this custom_id."""
    for one in components:
        if not isinstance(one, Mapping):
            continue
        if one.get("custom_id") == custom_id:
            return dict(one)
        inside = [*(one.get("components") or ()), one.get("accessory"), one.get("component")]
        if (found := component_with(inside, custom_id)) is not None:
            return found
    return None


def choice_of(component: Json, form: Form) -> tuple[Json, Wanted]:
    """What a user did with a component of a message: the `data` for the application.

    Args:
        component: as it stands in the message.
        form: the `data` that the client sends; checked.

    Raises:
        FormError: this cannot be done with it.

    """
    kind, wanted = component["type"], Wanted()
    said = form.integer("component_type")
    if said is not None and said != kind:
        form.fail("component_type", "BASE_TYPE_CHOICES", f"The component is of the type {kind}.")
    if component.get("disabled") or (kind == _BUTTON and "url" in component):
        form.fail("custom_id", "COMPONENT_VALIDATION_FAILED", "Nothing can be done with this component.")
    form.check()
    data: Json = {"component_type": kind, "custom_id": component["custom_id"], "id": component.get("id", 0)}
    if kind != _BUTTON:
        data["values"] = _values(component, form.raw("values"), "values", wanted)
    return data, wanted


def _values(component: Json, given: Any, path: str, wanted: Wanted) -> list[str]:
    least, most = component.get("min_values", 1), component.get("max_values", 1)
    if not isinstance(given, list) or not least <= len(given) <= most:
        raise FormError.at(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
    if component["type"] == _STRING_SELECT:
        options = [one["value"] for one in component["options"]]
        if any(one not in options for one in given) or len(set(given)) != len(given):
            raise FormError.at(path, "BASE_TYPE_CHOICES", "These are not options of the menu, each once.")
        return list(given)
    ids = [_snowflake(one, f"{path}.{at}") for at, one in enumerate(given)]
    kinds = _SELECT_KINDS[component["type"]]
    place = wanted.either if len(kinds) > 1 else getattr(wanted, kinds[0])
    place.update(ids)
    return [str(one) for one in ids]


def filled(dialogue: Sequence[Json], given: Any) -> tuple[list[Json], Wanted]:
    """A dialogue as a user filled it in: the `components` for the application.

    Args:
        dialogue: its components.
        given: the `components` that the client sends, in whatever rows: they are found by their custom_id.

    Raises:
        FormError: something is missing, too long or no option.

    """
    wanted = Wanted()
    if not isinstance(given, list):
        raise FormError.at("components", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")

    def fill(one: Json) -> Json:
        found: Json = {"type": one["type"], "id": one.get("id", 0)}
        if "components" in one:
            return found | {"components": [fill(inside) for inside in one["components"]]}
        if "component" in one:
            return found | {"component": fill(one["component"])}
        if "custom_id" not in one:
            return found
        said = component_with(given, one["custom_id"]) or {}
        path = f"components.{one['custom_id']}"
        found["custom_id"] = one["custom_id"]
        if one["type"] == _TEXT_INPUT:
            return found | {"value": _input(one, said.get("value"), path)}
        values = said.get("values")
        if not values and not one.get("required", True):
            return found | {"values": []}
        return found | {"values": _values(one, values, path, wanted)}

    return [fill(one) for one in dialogue], wanted


def _input(definition: Json, value: Any, path: str) -> str:
    if value in (None, "") and not definition.get("required", True):
        return ""
    least = max(definition.get("min_length") or 0, 1 if definition.get("required", True) else 0)
    most = definition.get("max_length") or 4000
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise FormError.at(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
    return value
