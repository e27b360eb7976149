"""Who may use a command in a guild, and where, as its people say. Pure.

Discord's documentation, "Application Command Permissions": what is said of a command wins over what is said of its
application; a user wins over roles, one role that allows over others that do not, any role over @everyone. Where
nothing is said, the command's `default_member_permissions` decide.
"""

from collections.abc import Collection, Mapping
from typing import Final

from fanfare.model import Channel, Guild
from fanfare.payloads import Json
from gateway.ingress.forms import Form

__all__ = ["MOST_PERMISSIONS", "Permissions", "permissions_in", "says_of_channel", "says_of_member"]

MOST_PERMISSIONS: Final = 100
ROLE, USER, CHANNEL = 1, 2, 3
_TYPES: Final = (ROLE, USER, CHANNEL)

Permissions = Mapping[int, list[Json]]
"""By command, or application: a list of `{id, type, permission}`."""


def permissions_in(form: Form, guild: Guild) -> list[Json]:
    """The permissions in the body of PUT. Raises: FormError."""
    found = form.children("permissions", lambda one: _one(one, guild), most=MOST_PERMISSIONS, required=True)
    form.check()
    once = {(one["type"], one["id"]): one for one in found or []}
    return list(once.values())


def _one(form: Form, guild: Guild) -> Json:
    ident = form.snowflake("id", required=True)
    kind = form.integer("type", required=True)
    allowed = form.boolean("permission")
    if allowed is None and "permission" not in form.errors:
        form.fail("permission", "BASE_TYPE_REQUIRED", "This field is required")
    if kind is not None and kind not in _TYPES:
        form.fail("type", "BASE_TYPE_CHOICES", "Value must be one of (1, 2, 3).")
    elif ident is not None and (
        (kind == ROLE and ident not in guild.roles)
        or (kind == CHANNEL and ident not in guild.channels and ident != guild.id - 1)
    ):
        form.fail("id", "BASE_TYPE_CHOICES", "The guild has none with this id.")
    return {"id": str(ident or 0), "type": kind or 0, "permission": bool(allowed)}


def says_of_channel(
    said: Permissions, command: int, application: int, guild: Guild, channel: Channel
) -> bool:
    """Whether a command may be used in a channel. In a thread it may be where it may be in the thread's channel."""
    place = channel.parent_id if channel.thread is not None else channel.id
    # The id below the guild's stands for all channels.
    for target in (command, application):
        for ident in (place, guild.id - 1):
            if (found := _find(said, target, CHANNEL, ident)) is not None:
                return found
    return True


def says_of_member(
    said: Permissions, command: int, application: int, guild: Guild, user: int, roles: Collection[int]
) -> bool | None:
    """Whether a member may use a command; None: the command's own defaults decide."""
    found = _of_member(said, command, guild, user, roles)
    if found is not None:
        return found
    # What is said of the application takes away, and gives nothing.
    return False if _of_member(said, application, guild, user, roles) is False else None


def _of_member(
    said: Permissions, target: int, guild: Guild, user: int, roles: Collection[int]
) -> bool | None:
    found = _find(said, target, USER, user)
    if found is not None:
        return found
    of_roles = [one for role in roles if (one := _find(said, target, ROLE, role)) is not None]
    if of_roles:
        return any(of_roles)
    return _find(said, target, ROLE, guild.id)


def _find(said: Permissions, target: int, kind: int, ident: int) -> bool | None:
    for one in said.get(target, ()):
        if one["type"] == kind and one["id"] == str(ident):
            return bool(one["permission"])
    return None
