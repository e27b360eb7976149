"""Dialogues (modals) that an application opens for a user. Pure."""

from typing import Final

from fanfare.payloads import Json
from gateway.ingress.components import selects
from gateway.ingress.forms import Form, present

__all__ = ["read_choices", "read_dialogue"]

_ROWS: Final = 5
_MAX_TEXT: Final = 4000
_CHOICES: Final = 25
_VALUE: Final = 100
_MAX_NUMBER: Final = 1 << 53
_INPUT: Final = 4


def read_dialogue(form: Form) -> Json:
    """The `data` of a callback of type 9; check the form afterwards."""
    found: Json = {
        "custom_id": form.text("custom_id", shortest=1, longest=100, required=True),
        "title": form.text("title", shortest=1, longest=45, required=True, shown=True),
        "components": form.children("components", _row, most=_ROWS, least=1, required=True) or [],
    }
    if not form.errors:
        named = [one["custom_id"] for one in map(_inside, found["components"]) if "custom_id" in one]
        if len(named) != len(set(named)):
            said = "Component custom_id cannot be duplicated"
            form.fail("components", "COMPONENT_CUSTOM_ID_DUPLICATED", said)
    return found


def read_choices(form: Form) -> list[Json]:
    """The `data` of a callback of type 8: suggestions."""
    return form.children("choices", _choice, most=_CHOICES) or []


def _inside(row: Json) -> Json:
    found: Json = row.get("component") or next(iter(row.get("components") or ()), row)
    return found


def _row(form: Form) -> Json:
    kind = form.integer("type", required=True, most=99)
    found: Json = {"type": kind, "id": form.integer("id") or 0}
    match kind:
        case 1:
            found["components"] = form.children("components", _input, most=1, least=1, required=True)
        case 10:
            found["content"] = form.text("content", longest=_MAX_TEXT, required=True, shown=True)
        case 18:
            found["label"] = form.text("label", shortest=1, longest=45, required=True, shown=True)
            found["description"] = form.text("description", longest=100)
            found["component"] = form.child("component", _labelled)
            if form.raw("component") is None:
                form.fail("component", "BASE_TYPE_REQUIRED", "This field is required")
        case _:
            form.fail("type", "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (1, 10, 18).')
    return present(found)


def _labelled(form: Form) -> Json:
    if form.raw("type") == _INPUT:
        return _input(form, labelled=True)
    found = selects(form)
    required = form.boolean("required")
    return found | {"required": required is not False}


def _input(form: Form, *, labelled: bool = False) -> Json:
    if form.raw("type") != _INPUT:
        form.fail("type", "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (4).')
    found: Json = {
        "type": _INPUT,
        "id": form.integer("id") or 0,
        "custom_id": form.text("custom_id", shortest=1, longest=100, required=True),
        "style": form.integer("style", least=1, most=2, required=True),
        "label": form.text("label", longest=45, required=not labelled),
        "min_length": form.integer("min_length", most=_MAX_TEXT),
        "max_length": form.integer("max_length", least=1, most=_MAX_TEXT),
        "required": form.boolean("required") is not False,
        "value": form.text("value", longest=_MAX_TEXT),
        "placeholder": form.text("placeholder", longest=100),
    }
    return present(found)


def _choice(form: Form) -> Json:
    value = form.raw("value")
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER
    if not number and not (isinstance(value, str) and len(value) <= _VALUE):
        form.fail("value", "STRING_TYPE_CONVERT", "Must be a text of up to 100 characters, or a number.")
        value = ""
    return {"name": form.text("name", shortest=1, longest=100, required=True, shown=True), "value": value}
