"""What the body of a request may say about channels and roles. Pure."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from fanfare.model import GuildSettings, Overwrite
from fanfare.rights import MAX_OVERWRITES
from gateway.ingress.errors import FormError
from gateway.ingress.forms import Form

__all__ = [
    "GUILD_SETTINGS",
    "channel_fields",
    "guild_settings",
    "moment",
    "overwrite",
    "refuse_others",
    "role_fields",
    "role_position",
]

# What a field that is absent would be.
_NOTHING: Final[tuple[Any, ...]] = (False, 0, "0", "", [], {})
_CAPITAL: Final = re.compile(r"[A-Z]")
_MAX_PERMISSIONS: Final = (1 << 63) - 1
# A guild has some hundred roles and channels; a much larger position only breaks clients that make room for it.
_MAX_POSITION: Final = 10_000


_GUILD_NUMBERS: Final = {
    "verification_level": 4,
    "default_message_notifications": 1,
    "explicit_content_filter": 2,
    "afk_timeout": 3600,
    "system_channel_flags": (1 << 16) - 1,
}
_GUILD_CHANNELS: Final = (
    "afk_channel_id",
    "system_channel_id",
    "rules_channel_id",
    "public_updates_channel_id",
    "safety_alerts_channel_id",
)
_AFK_TIMEOUTS: Final = (60, 300, 900, 1800, 3600)
GUILD_SETTINGS: Final = frozenset({"description", "preferred_locale", *_GUILD_NUMBERS, *_GUILD_CHANNELS})
"""The fields of `guild_settings`."""
_CHANNEL: Final = frozenset(
    {"name", "position", "nsfw", "rate_limit_per_user", "permission_overwrites", "topic", "parent_id"}
)
_ROLE: Final = frozenset({"name", "permissions", "color", "hoist", "mentionable", "position"})


def refuse_others(form: Form, known: Collection[str], present: Mapping[str, Any] | None = None) -> None:
    """Refuse by its name each field that is not supported: a 200 that does nothing would be a lie.

    Args:
        form: the body.
        known: the fields that are read.
        present: what the thing is now: a field that says so, or says nothing, is let pass, because libraries send
            fields that they do not change.

    """
    now = present or {}
    for key in form.body.keys() - set(known):
        if key != (snake := _CAPITAL.sub(lambda found: "_" + found[0].lower(), key)) and snake in form.body:
            # discord.js sends what its user has written besides the field that it makes of it.
            continue
        value = form.raw(key)
        same = value == now[key] if key in now else value in _NOTHING
        if value is not None and not same:
            form.fail(key[:64], "BASE_TYPE_UNSUPPORTED", "This field is not supported here.")


def channel_fields(
    form: Form, known: Collection[str] = (), present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The fields of a channel that are in a body, named as in the model. Check the form afterwards.

    Args:
        form: the body.
        known: fields that are read elsewhere.
        present: the channel as it is.

    """
    refuse_others(form, _CHANNEL | set(known), present)
    found: dict[str, Any] = {
        "name": form.text("name", shortest=1, longest=100),
        "position": form.integer("position", most=_MAX_POSITION),
        "nsfw": form.boolean("nsfw"),
        "rate_limit_per_user": form.integer("rate_limit_per_user", most=21_600),
    }
    overwrites = form.children("permission_overwrites", overwrite, most=MAX_OVERWRITES)
    if overwrites is not None:
        found["overwrites"] = tuple({one.id: one for one in overwrites}.values())
    found = {key: value for key, value in found.items() if value is not None}
    if "topic" in form:
        found["topic"] = form.text("topic", longest=1024) or None
    if "parent_id" in form:
        found["parent_id"] = form.snowflake("parent_id") or 0
    return found


def guild_settings(form: Form) -> dict[str, Any]:
    """The settings of a guild that are in a body, named as in the model; null is what they begin with."""
    found: dict[str, Any] = {
        "description": form.text("description", longest=300) or None,
        "preferred_locale": form.text("preferred_locale", longest=10, shortest=2),
        **{name: form.integer(name, most=most) for name, most in _GUILD_NUMBERS.items()},
        **{name: form.snowflake(name) for name in _GUILD_CHANNELS},
    }
    timeout = found["afk_timeout"]
    if timeout is not None and timeout not in _AFK_TIMEOUTS:
        form.fail("afk_timeout", "BASE_TYPE_CHOICES", f"Value must be one of {set(_AFK_TIMEOUTS)}.")
    begins = msgspec.structs.asdict(GuildSettings())
    return {name: begins[name] if value is None else value for name, value in found.items() if name in form}


def overwrite(form: Form) -> Overwrite:
    """One overwrite; its type may be a word, as it was in old versions."""
    kinds = {"role": 0, "member": 1}
    raw = form.raw("type")
    kind = kinds.get(raw) if isinstance(raw, str) else None
    if kind is None:
        kind = form.integer("type", most=1)
    ident = form.snowflake("id", required=True)
    if ident == 0:
        form.fail("id", "NUMBER_TYPE_MIN", "An overwrite is for a role or a member.")
    return Overwrite(
        ident or 0,
        kind or 0,
        form.integer("allow", most=_MAX_PERMISSIONS) or 0,
        form.integer("deny", most=_MAX_PERMISSIONS) or 0,
    )


def role_fields(form: Form, present: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a role that are in a body, named as in the model. Check the form afterwards."""
    refuse_others(form, _ROLE | {"colors"}, present)
    found: dict[str, Any] = {
        "name": form.text("name", shortest=1, longest=100),
        "permissions": form.integer("permissions", most=_MAX_PERMISSIONS),
        "color": form.child("colors", _color),
        "hoist": form.boolean("hoist"),
        "mentionable": form.boolean("mentionable"),
        "position": role_position(form),
    }
    if found["color"] is None:
        found["color"] = form.integer("color", most=0xFFFFFF)
    return {key: value for key, value in found.items() if value is not None}


def moment(field: str, text: str) -> datetime:
    """A time with its offset, as in a query. Raises: FormError: this is none."""
    try:
        # In a query a plus sign may have become a space.
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise FormError.at(field, "DATE_TIME_TYPE_PARSE", f"Could not parse {text[:40]}. Should be ISO8601.")
    return found


def role_position(form: Form) -> int | None:
    """The place of a role; the rules say who may be where."""
    return form.integer("position", most=_MAX_POSITION)


def _color(form: Form) -> int | None:
    refuse_others(form, {"primary_color"})
    return form.integer("primary_color", most=0xFFFFFF)
