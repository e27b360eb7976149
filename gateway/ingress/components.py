"""Components of a message in the bodies of clients: checked against their types, reduced to a normal form. Pure.

A component that a library cannot read ends the bot that reads it, so nothing gets in that is not in the documentation:
what is unknown is left out, what is wrong is named by its path.
Source: Discord's documentation, "Component Reference".
"""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Final

from fanfare.payloads import Json
from gateway.ingress.forms import Form, present

__all__ = ["MAX_LAYOUT", "layout", "rows", "selects", "texts"]

MAX_LAYOUT: Final = 40
"""Components of a message with the flag IS_COMPONENTS_V2, those inside others included."""
_MAX_ROWS: Final = 5
_MAX_TEXT: Final = 4000
_CUSTOM_ID: Final = 100
_URL: Final = 2048
_LINK: Final = 512
_MAX_ID: Final = (1 << 31) - 1
_COLORS: Final = 0xFFFFFF


class Kind(IntEnum):
    """Types of components."""

    ACTION_ROW = 1
    BUTTON = 2
    STRING_SELECT = 3
    TEXT_INPUT = 4
    USER_SELECT = 5
    ROLE_SELECT = 6
    MENTIONABLE_SELECT = 7
    CHANNEL_SELECT = 8
    SECTION = 9
    TEXT_DISPLAY = 10
    THUMBNAIL = 11
    MEDIA_GALLERY = 12
    FILE = 13
    SEPARATOR = 14
    CONTAINER = 17
    LABEL = 18
    FILE_UPLOAD = 19


_SELECTS: Final = frozenset(
    {Kind.STRING_SELECT, Kind.USER_SELECT, Kind.ROLE_SELECT, Kind.MENTIONABLE_SELECT, Kind.CHANNEL_SELECT}
)
_IN_CONTAINER: Final = (
    Kind.ACTION_ROW,
    Kind.SECTION,
    Kind.TEXT_DISPLAY,
    Kind.MEDIA_GALLERY,
    Kind.SEPARATOR,
)
_MODAL_ONLY: Final = frozenset({Kind.TEXT_INPUT, Kind.LABEL, Kind.FILE_UPLOAD})
_PREMIUM: Final = 6
_LINK_STYLE: Final = 5
_DEFAULT_KINDS: Final = {
    Kind.USER_SELECT: ("user",),
    Kind.ROLE_SELECT: ("role",),
    Kind.MENTIONABLE_SELECT: ("user", "role"),
    Kind.CHANNEL_SELECT: ("channel",),
}


def rows(form: Form) -> list[Json] | None:
    """The action rows of an ordinary message; None: the key is absent or null."""
    found = form.children("components", _only(Kind.ACTION_ROW), most=_MAX_ROWS)
    return _whole(form, found)


def layout(form: Form) -> list[Json] | None:
    """The components of a message with the flag IS_COMPONENTS_V2; None: the key is absent or null."""
    found = form.children("components", _only(*_IN_CONTAINER, Kind.CONTAINER), most=MAX_LAYOUT)
    return _whole(form, found)


def selects(form: Form) -> Json:
    """One select, as it stands in a dialogue."""
    return _only(*sorted(_SELECTS))(form)


def texts(components: Sequence[Json]) -> str:
    """What the components say, for the mentions in it."""
    return "\n".join(one["content"] for one in _every(components) if one["type"] == Kind.TEXT_DISPLAY)


def _whole(form: Form, found: list[Json] | None) -> list[Json] | None:
    """What holds for all components of a message together."""
    if found is None or "components" in form.errors:
        return found
    every = list(_every(found))
    if len(every) > MAX_LAYOUT:
        form.fail("components", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_LAYOUT} or fewer in length.")
    if len(texts(found)) > _MAX_TEXT:
        said = f"The text of all components must be {_MAX_TEXT} or fewer in length."
        form.fail("components", "BASE_TYPE_MAX_LENGTH", said)
    for key, said in (("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"), ("id", "COMPONENT_ID_DUPLICATED")):
        named = [one[key] for one in every if key in one]
        if len(named) != len(set(named)):
            form.fail("components", said, f"Component {key} cannot be duplicated")
    taken = {one["id"] for one in every if "id" in one}
    free = (number for number in range(1, _MAX_ID) if number not in taken)
    for one in every:
        if "id" not in one:
            one["id"] = next(free)
    return found


def _every(components: Sequence[Json]) -> Iterator[Json]:
    for one in components:
        yield one
        yield from _every(one.get("components", ()))
        if "accessory" in one:
            yield one["accessory"]


def _only(*kinds: Kind) -> Callable[[Form], Json]:
    """Reads a component that has to be of one of these types."""

    def read(form: Form) -> Json:
        kind = form.integer("type", required=True, most=99)
        if kind in _MODAL_ONLY:
            form.fail("type", "UNION_TYPE_CHOICES", f"Type {kind} can only be used in modals.")
        elif kind == Kind.FILE:
            form.fail("type", "UNION_TYPE_CHOICES", "Type 13 needs a file, and this server stores none.")
        elif kind is not None and kind not in kinds:
            known = ", ".join(str(int(one)) for one in kinds)
            form.fail("type", "UNION_TYPE_CHOICES", f'Value of field "type" must be one of ({known}).')
        if kind is None or form.errors:
            return {"type": 0}
        found: Json = {"type": kind, "id": form.integer("id", most=_MAX_ID) or None}
        return present(found | _READ[Kind(kind)](form))

    return read


def _action_row(form: Form) -> Json:
    found = form.children("components", _only(Kind.BUTTON, *sorted(_SELECTS)), most=5, least=1, required=True)
    kinds = [one["type"] for one in found or ()]
    if len(kinds) > 1 and any(kind in _SELECTS for kind in kinds):
        form.fail(
            "components", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "A row has one select, or up to five buttons."
        )
    return {"components": found}


def _button(form: Form) -> Json:
    style = form.integer("style", required=True, least=1, most=_PREMIUM)
    if style == _PREMIUM:
        form.fail("style", "BASE_TYPE_CHOICES", "Premium buttons are not supported here.")
    found: Json = {
        "style": style,
        "label": form.text("label", longest=80, shown=True),
        "emoji": form.child("emoji", _emoji),
        "disabled": form.boolean("disabled") or False,
    }
    if style == _LINK_STYLE:
        found["url"] = form.url("url", longest=_LINK, required=True, schemes=("http", "https", "discord"))
        if form.raw("custom_id") is not None:
            form.fail("custom_id", "BUTTON_COMPONENT_INVALID", "A link button has no custom_id.")
    else:
        found["custom_id"] = _custom_id(form)
        if form.raw("url") is not None:
            form.fail("url", "BUTTON_COMPONENT_INVALID", "Only a link button (style 5) has a url.")
    if found["label"] is None and found["emoji"] is None:
        form.fail("label", "BASE_TYPE_REQUIRED", "A button needs a label or an emoji.")
    return found


def _emoji(form: Form) -> Json:
    ident, name = form.snowflake("id"), form.text("name", longest=100) or None
    if ident is None and name is None:
        form.fail("name", "BASE_TYPE_REQUIRED", "This field is required")
    return {"id": None if ident is None else str(ident), "name": name} | (
        {"animated": True} if form.boolean("animated") else {}
    )


def _custom_id(form: Form) -> str | None:
    return form.text("custom_id", shortest=1, longest=_CUSTOM_ID, required=True)


def _choice(form: Form) -> Json:
    """What all selects have."""
    least, most = form.integer("min_values", most=25), form.integer("max_values", least=1, most=25)
    if least is not None and least > (most or 1):
        form.fail("min_values", "BASE_TYPE_MAX", "min_values cannot be above max_values.")
    return {
        "custom_id": _custom_id(form),
        "placeholder": form.text("placeholder", longest=150, shown=True),
        "min_values": 1 if least is None else least,
        "max_values": most or 1,
        "disabled": form.boolean("disabled") or False,
    }


def _string_select(form: Form) -> Json:
    options = form.children("options", _option, most=25, least=1, required=True) or []
    values = [one.get("value") for one in options]
    if len(values) != len(set(values)):
        form.fail(
            "options",
            "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
            "The specified option value is already used",
        )
    found = _choice(form)
    if options and found["max_values"] > len(options):
        form.fail("max_values", "BASE_TYPE_MAX", "max_values cannot be above the number of options.")
    if sum(one.get("default", False) for one in options) > found["max_values"]:
        form.fail(
            "options", "SELECT_COMPONENT_TOO_MANY_DEFAULTS", "More options are default than max_values."
        )
    return found | {"options": options}


def _option(form: Form) -> Json:
    return present(
        {
            "label": form.text("label", longest=100, required=True, shown=True),
            "value": form.text("value", shortest=1, longest=100, required=True),
            "description": form.text("description", longest=100) or None,
            "emoji": form.child("emoji", _emoji),
            "default": form.boolean("default") or False,
        }
    )


def _auto_select(kind: Kind) -> Callable[[Form], Json]:
    def default(form: Form) -> Json:
        named = form.text("type", longest=20, required=True)
        if named is not None and named not in _DEFAULT_KINDS[kind]:
            form.fail("type", "BASE_TYPE_CHOICES", f"Value must be one of {_DEFAULT_KINDS[kind]}.")
        return {"id": str(form.snowflake("id", required=True) or 0), "type": named}

    def read(form: Form) -> Json:
        found = _choice(form) | {"default_values": form.children("default_values", default, most=25)}
        if len(found["default_values"] or ()) > found["max_values"]:
            form.fail("default_values", "BASE_TYPE_MAX_LENGTH", "More values are default than max_values.")
        if kind is Kind.CHANNEL_SELECT:
            found["channel_types"] = form.integers("channel_types", most=25, largest=16)
        return found

    return read


def _section(form: Form) -> Json:
    accessory = form.child("accessory", _only(Kind.BUTTON, Kind.THUMBNAIL))
    if form.raw("accessory") is None:
        form.fail("accessory", "BASE_TYPE_REQUIRED", "This field is required")
    return {
        "components": form.children("components", _only(Kind.TEXT_DISPLAY), most=3, least=1, required=True),
        "accessory": accessory,
    }


def _text_display(form: Form) -> Json:
    return {"content": form.text("content", longest=_MAX_TEXT, required=True, shown=True)}


def _media(form: Form) -> Json:
    url = form.url("url", longest=_URL, required=True, schemes=("http", "https", "attachment"))
    return {"url": url, "proxy_url": url, "height": None, "width": None}


def _item(form: Form) -> Json:
    """A picture with what is said of it."""
    media = form.child("media", _media)
    if form.raw("media") is None:
        form.fail("media", "BASE_TYPE_REQUIRED", "This field is required")
    return {
        "media": media,
        "description": form.text("description", longest=1024) or None,
        "spoiler": form.boolean("spoiler") or False,
    }


def _gallery(form: Form) -> Json:
    return {"items": form.children("items", _item, most=10, least=1, required=True)}


def _separator(form: Form) -> Json:
    return {
        "divider": form.boolean("divider") is not False,
        "spacing": form.integer("spacing", least=1, most=2) or 1,
    }


def _container(form: Form) -> Json:
    return {
        "components": form.children(
            "components", _only(*_IN_CONTAINER), most=MAX_LAYOUT, least=1, required=True
        ),
        "accent_color": form.integer("accent_color", most=_COLORS),
        "spoiler": form.boolean("spoiler") or False,
    }


_READ: Final[dict[Kind, Callable[[Form], Json]]] = {
    Kind.ACTION_ROW: _action_row,
    Kind.BUTTON: _button,
    Kind.STRING_SELECT: _string_select,
    **{kind: _auto_select(kind) for kind in _DEFAULT_KINDS},
    Kind.SECTION: _section,
    Kind.TEXT_DISPLAY: _text_display,
    Kind.THUMBNAIL: _item,
    Kind.MEDIA_GALLERY: _gallery,
    Kind.SEPARATOR: _separator,
    Kind.CONTAINER: _container,
}
