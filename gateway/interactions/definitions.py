"""The commands that an application registers: checked and reduced to a normal form. Pure.

A definition that a client cannot show, or an application cannot be called by, is refused when it is registered, and
named by its path. Source: Discord's documentation, "Application Commands".
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from fanfare.payloads import Json
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import Form, present

__all__ = ["CHAT_INPUT", "MAX_COMMANDS", "MESSAGE", "USER", "Option", "check_number", "read_command"]

CHAT_INPUT: Final = 1
USER: Final = 2
MESSAGE: Final = 3
MAX_COMMANDS: Final = {CHAT_INPUT: 100, USER: 15, MESSAGE: 15}
"""Commands of each type that an application may have, globally and again in each guild."""

_NAME: Final = re.compile(r"[-_'\w]{1,32}")
_OPTIONS: Final = 25
_MAX_BITS: Final = (1 << 63) - 1
_MAX_NUMBER: Final = 1 << 53
_MAX_LENGTH: Final = 6000
_CHOICE: Final = 100
_LONGEST_ALL: Final = 8000
# Discord's are some thirty; what is in them is for the client to choose from.
_LOCALES: Final = 40


class Option(IntEnum):
    """Types of options."""

    SUB_COMMAND = 1
    SUB_COMMAND_GROUP = 2
    STRING = 3
    INTEGER = 4
    BOOLEAN = 5
    USER = 6
    CHANNEL = 7
    ROLE = 8
    MENTIONABLE = 9
    NUMBER = 10
    ATTACHMENT = 11


_WITH_CHOICES: Final = (Option.STRING, Option.INTEGER, Option.NUMBER)


def read_command(form: Form, before: Json | None = None) -> Json:
    """A command as it is kept; check the form afterwards.

    Args:
        form: what the application sends.
        before: the command as it is, where only some fields are sent.

    """
    had = before or {}
    kind = had.get("type") or form.integer("type", least=1, most=4) or CHAT_INPUT
    if kind not in MAX_COMMANDS:
        form.fail("type", "BASE_TYPE_CHOICES", "Only commands of the types 1 to 3 are supported here.")
        kind = CHAT_INPUT
    found: Json = {
        "type": kind,
        "name": _name(form, kind, required=not had),
        "description": _description(form, kind, required=not had),
    }
    found = present(found)
    for key in ("name_localizations", "description_localizations"):
        if key in form or not had:
            found[key] = _localized(form, key)
    if "options" in form or not had:
        found["options"] = _options(form) if kind == CHAT_INPUT else []
    found |= _usable(form, every=not had)
    found = had | found | {"default_permission": True}
    if not form.errors and _length(found) > _LONGEST_ALL:
        said = f"Names, descriptions and values of a command may have {_LONGEST_ALL} characters in all."
        form.fail("options", "APPLICATION_COMMAND_TOO_LARGE", said)
    return found


def _usable(form: Form, *, every: bool) -> Json:
    """Who may use a command, and where: every field, or those that are sent."""
    found: Json = {}
    if "default_member_permissions" in form or every:
        bits = form.integer("default_member_permissions", most=_MAX_BITS)
        found["default_member_permissions"] = None if bits is None else str(bits)
    for key, standard in (("dm_permission", True), ("nsfw", False)):
        value = form.boolean(key)
        if value is not None or every:
            found[key] = standard if value is None else value
    for key, most in (("contexts", 2), ("integration_types", 1)):
        if key in form or every:
            found[key] = form.integers(key, most=3, largest=most)
    if found.get("integration_types", [0]) is None:
        found["integration_types"] = [0]
    return found


def check_number(commands: Sequence[Json]) -> None:
    """Raises: ApiError: 30032, so many commands cannot be."""
    for kind, most in MAX_COMMANDS.items():
        if sum(one["type"] == kind for one in commands) > most:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")


def _name(form: Form, kind: int = CHAT_INPUT, *, required: bool = True) -> str | None:
    name = form.text("name", shortest=1, longest=32, required=required, shown=True)
    if name is None or kind != CHAT_INPUT:
        return name
    if not _NAME.fullmatch(name) or name != name.lower():
        said = "Command name is invalid: small letters, digits, - and _."
        form.fail("name", "APPLICATION_COMMAND_INVALID_NAME", said)
    return name


def _description(form: Form, kind: int = CHAT_INPUT, *, required: bool = True) -> str | None:
    if kind != CHAT_INPUT:
        if form.raw("description") not in (None, ""):
            said = "Context menu commands cannot have description"
            form.fail("description", "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_NOT_ALLOWED", said)
        return ""
    return form.text("description", shortest=1, longest=100, required=required, shown=True)


def _localized(form: Form, key: str) -> dict[str, str] | None:
    raw = form.raw(key)
    if raw is None:
        return None
    longest = 32 if key.startswith("name") else 100
    if not isinstance(raw, dict) or len(raw) > _LOCALES:
        form.fail(key, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return None
    if not all(isinstance(one, str) and 0 < len(one) <= longest for one in raw.values()):
        form.fail(key, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {longest} in length.")
        return None
    return {str(locale)[:16]: text for locale, text in raw.items()}


def _options(form: Form, depth: int = 0) -> list[Json]:
    """The options of a command, a group (depth 1) or a subcommand (depth 2)."""
    found = form.children("options", lambda one: _option(one, depth), most=_OPTIONS) or []
    if "options" in form.errors:
        return found
    names = [one["name"] for one in found]
    if len(names) != len(set(names)):
        form.fail("options", "APPLICATION_COMMAND_OPTIONS_NAME_NOT_UNIQUE", "Option names must be unique.")
    nested = [one["type"] in (Option.SUB_COMMAND, Option.SUB_COMMAND_GROUP) for one in found]
    if any(nested) and not all(nested):
        said = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        form.fail("options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", said)
    required = [one.get("required", False) for one in found]
    if required != sorted(required, reverse=True):
        said = "Required options must be placed before non-required options"
        form.fail("options", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", said)
    return found


def _option(form: Form, depth: int) -> Json:
    kind = form.integer("type", required=True, least=1, most=max(Option))
    allowed = {0: 2, 1: 1, 2: 0}[depth]
    if kind is not None and ((kind <= 2 and kind > allowed) or (depth == 1 and kind != Option.SUB_COMMAND)):
        form.fail("type", "BASE_TYPE_CHOICES", "An option of this type cannot stand here.")
        kind = None
    if kind == Option.ATTACHMENT:
        form.fail("type", "BASE_TYPE_CHOICES", "Options that are files are not supported here.")
    found: Json = {
        "type": kind or 0,
        "name": _name(form) or "",
        "name_localizations": _localized(form, "name_localizations"),
        "description": _description(form) or "",
        "description_localizations": _localized(form, "description_localizations"),
    }
    if kind in (Option.SUB_COMMAND, Option.SUB_COMMAND_GROUP):
        return found | {"options": _options(form, 2 if kind == Option.SUB_COMMAND else 1)}
    found["required"] = form.boolean("required") or False
    if kind == Option.CHANNEL:
        types = form.integers("channel_types", most=_OPTIONS, largest=16)
        return found | ({"channel_types": types} if types else {})
    if kind not in _WITH_CHOICES:
        return found
    choices = form.children("choices", lambda one: _choice(one, kind), most=_OPTIONS)
    completed = form.boolean("autocomplete") or False
    if completed and choices:
        form.fail("autocomplete", "BASE_TYPE_CHOICES", "An option with choices cannot be completed.")
    more: Json = {"choices": choices or None, "autocomplete": completed}
    if kind == Option.STRING:
        more["min_length"] = form.integer("min_length", most=_MAX_LENGTH)
        more["max_length"] = form.integer("max_length", least=1, most=_MAX_LENGTH)
        low, high = more["min_length"], more["max_length"]
    else:
        more["min_value"], more["max_value"] = (
            _number(form, key, kind) for key in ("min_value", "max_value")
        )
        low, high = more["min_value"], more["max_value"]
    if low is not None and high is not None and low > high:
        form.fail(
            "max_length" if kind == Option.STRING else "max_value",
            "NUMBER_TYPE_MIN",
            "It is below the least.",
        )
    return found | present(more)


def _number(form: Form, key: str, kind: int) -> int | float | None:
    value: Any = form.raw(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MAX_NUMBER:
        form.fail(key, "NUMBER_TYPE_COERCE", "This is no number between -2^53 and 2^53.")
        return None
    if kind == Option.INTEGER and value != int(value):
        form.fail(key, "NUMBER_TYPE_COERCE", "This is no whole number.")
        return None
    number: int | float = int(value) if kind == Option.INTEGER else value
    return number


def _choice(form: Form, kind: int) -> Json:
    found: Json = {
        "name": form.text("name", shortest=1, longest=_CHOICE, required=True, shown=True) or "",
        "name_localizations": _localized(form, "name_localizations"),
    }
    if kind == Option.STRING:
        value: Any = form.text("value", longest=_CHOICE, required=True)
    else:
        value = _number(form, "value", kind)
        if form.raw("value") is None:
            form.fail("value", "BASE_TYPE_REQUIRED", "This field is required")
    return found | {"value": value}


def _length(one: Json) -> int:
    own = len(one.get("name", "")) + len(one.get("description") or "")
    own += sum(len(choice["name"]) + len(str(choice["value"])) for choice in one.get("choices") or ())
    return own + sum(map(_length, one.get("options") or ()))
