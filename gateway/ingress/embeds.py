"""Embeds in the bodies of clients: checked against Discord's limits, reduced to the known keys. Pure."""

from datetime import UTC, datetime
from typing import Any, Final

from fanfare.payloads import Json, timestamp
from gateway.ingress.forms import Form, present

__all__ = ["MAX_EMBEDS", "embed", "length"]

MAX_EMBEDS: Final = 10
MAX_LENGTH: Final = 6000
"""Characters of all embeds of a message together."""

_URL: Final = 2048
# attachment: a file of the same message.
_PICTURES: Final = ("http", "https", "attachment")
# An embed with none of these shows nothing: its url is where its title leads to.
_SAYS: Final = (
    "title",
    "description",
    "footer",
    "image",
    "thumbnail",
    "author",
    "fields",
    "timestamp",
)


def embed(form: Form) -> Json:
    """One embed; keys that are absent, null or wrong are left out."""
    found: Json = {
        "type": "rich",
        "title": form.text("title", longest=256, shown=True),
        "description": form.text("description", longest=4096, shown=True),
        "url": form.url("url", longest=_URL),
        "color": form.integer("color", most=0xFFFFFF),
        "timestamp": _moment(form),
        "footer": form.child("footer", _footer),
        "image": form.child("image", _media),
        "thumbnail": form.child("thumbnail", _media),
        "author": form.child("author", _author),
        "fields": form.children("fields", _field, most=25),
    }
    found = present(found)
    if not any(found.get(key) for key in _SAYS) and not form.errors:
        form.fail("description", "BASE_TYPE_REQUIRED", "This field is required")
    return found


def length(embeds: list[Json]) -> int:
    """Characters that count towards the limit of a message."""
    texts: list[str] = []
    for one in embeds:
        texts += [one.get("title", ""), one.get("description", "")]
        texts += [one.get("footer", {}).get("text", ""), one.get("author", {}).get("name", "")]
        texts += [text for field in one.get("fields", ()) for text in (field["name"], field["value"])]
    return sum(map(len, texts))


def _moment(form: Form) -> str | None:
    text = form.text("timestamp", longest=64)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return timestamp(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        form.fail("timestamp", "DATE_TIME_TYPE_PARSE", f'Could not parse "{text}". Should be ISO8601.')
        return None


def _footer(form: Form) -> Json:
    return present(
        {
            "text": form.text("text", longest=2048, required=True, shown=True),
            "icon_url": form.url("icon_url", longest=_URL, schemes=_PICTURES),
        }
    )


def _media(form: Form) -> Json:
    return present({"url": form.url("url", longest=_URL, required=True, schemes=_PICTURES)})


def _author(form: Form) -> Json:
    return present(
        {
            "name": form.text("name", longest=256, required=True, shown=True),
            "url": form.url("url", longest=_URL),
            "icon_url": form.url("icon_url", longest=_URL, schemes=_PICTURES),
        }
    )


def _field(form: Form) -> dict[str, Any]:
    return {
        "name": form.text("name", longest=256, required=True, shown=True) or "",
        "value": form.text("value", longest=1024, required=True, shown=True) or "",
        "inline": form.boolean("inline") or False,
    }
