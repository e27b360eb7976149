"""What clients may say about channels and roles. Pure."""

from typing import Any

from fanfare.model import Overwrite
from fanfare.permissions import ALL
from gateway.forms import Form

__all__ = ["channel_fields", "overwrite", "role_fields"]

_MAX_PERMISSIONS = (1 << 63) - 1
MAX_OVERWRITES = 100


def channel_fields(form: Form) -> dict[str, Any]:
    """The fields of a channel that are in a body, named as in the model. Check the form afterwards."""
    found: dict[str, Any] = {
        "name": form.text("name", shortest=1, longest=100),
        "position": form.integer("position", most=100_000),
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


def overwrite(form: Form) -> Overwrite:
    """One overwrite; its type may be a word, as it was in old versions."""
    kinds = {"role": 0, "member": 1}
    raw = form.raw("type")
    kind = kinds.get(raw) if isinstance(raw, str) else None
    if kind is None:
        kind = form.integer("type", most=1)
    return Overwrite(
        form.snowflake("id", required=True) or 0,
        kind or 0,
        form.integer("allow", most=_MAX_PERMISSIONS) or 0,
        form.integer("deny", most=_MAX_PERMISSIONS) or 0,
    )


def role_fields(form: Form) -> dict[str, Any]:
    """The fields of a role that are in a body, named as in the model. Check the form afterwards."""
    colors = form.child("colors", lambda one: one.integer("primary_color", most=0xFFFFFF))
    permissions = form.integer("permissions", most=_MAX_PERMISSIONS)
    found: dict[str, Any] = {
        "name": form.text("name", shortest=1, longest=100),
        "permissions": None if permissions is None else permissions & ALL,
        "color": form.integer("color", most=0xFFFFFF) if colors is None else colors,
        "hoist": form.boolean("hoist"),
        "mentionable": form.boolean("mentionable"),
        "position": form.integer("position", most=100_000),
    }
    return {key: value for key, value in found.items() if value is not None}
