"""Roles of a guild."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import Guild, Member, Role
from fanfare.permissions import P, base, top_role
from fanfare.store import NotFoundError
from gateway.errors import ApiError, forbidden
from gateway.rest.changes import role_fields
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]

_MAX_ROLES: Final = 250


async def _list(call: Call) -> web.Response:
    guild, _ = await call.guild()
    return reply([payloads.role(r) for r in sorted(guild.roles.values(), key=lambda r: (r.position, r.id))])


async def _create(call: Call) -> web.Response:
    form = await call.form()
    fields = role_fields(form)
    form.check()
    guild, me = await call.guild(P.MANAGE_ROLES)
    if len(guild.roles) >= _MAX_ROLES:
        raise ApiError(400, 30005, f"Maximum number of guild roles reached ({_MAX_ROLES})")
    fields.setdefault("permissions", guild.roles[guild.id].permissions & base(guild, me))
    _check_granted(guild, me, fields["permissions"])
    fields.setdefault("name", "new role")
    fields.setdefault("position", 1)
    role = Role(id=call.context.ids.next_id(), **fields)
    change = await call.context.store.create_role(guild.id, role)
    await call.applied(change)
    return reply(payloads.role(change.value))


async def _update(call: Call) -> web.Response:
    form = await call.form()
    fields = role_fields(form)
    form.check()
    guild, me = await call.guild(P.MANAGE_ROLES)
    role = _role(call, guild, me)
    if "permissions" in fields:
        _check_granted(guild, me, fields["permissions"] & ~role.permissions)
    try:
        change = await call.context.store.update_role(guild.id, role.id, **fields)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return reply(payloads.role(change.value))


async def _delete(call: Call) -> web.Response:
    guild, me = await call.guild(P.MANAGE_ROLES)
    role = _role(call, guild, me)
    if role.id == guild.id:
        raise ApiError(400, 50028, "Invalid Role")
    try:
        change = await call.context.store.delete_role(guild.id, role.id)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return empty()


def _role(call: Call, guild: Guild, me: Member) -> Role:
    """The role in the path, if it stands below one's own."""
    role = guild.roles.get(call.id("role"))
    if role is None:
        raise _unknown()
    if guild.owner_id != me.user.id and top_role(guild, [role.id]) >= top_role(guild, me.roles):
        raise forbidden()
    return role


def _check_granted(guild: Guild, me: Member, permissions: int) -> None:
    """Nobody grants what they do not have."""
    if permissions & ~base(guild, me):
        raise forbidden()


def _unknown() -> ApiError:
    return ApiError(404, 10011, "Unknown Role")


_ROLES: Final = "/guilds/{guild}/roles"

ROUTES: Final = [
    Route("GET", _ROLES, _list),
    Route("POST", _ROLES, _create),
    Route("PATCH", _ROLES + "/{role}", _update),
    Route("DELETE", _ROLES + "/{role}", _delete),
]
