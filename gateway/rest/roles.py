"""Roles of a guild."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import Role
from fanfare.permissions import P, base
from fanfare.store import NotFoundError
from gateway.ingress.errors import ApiError
from gateway.rest.changes import role_fields
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]


async def _list(call: Call) -> web.Response:
    guild, _ = await call.guild()
    return reply([payloads.role(r) for r in sorted(guild.roles.values(), key=lambda r: (r.position, r.id))])


async def _create(call: Call) -> web.Response:
    form = await call.form()
    fields = role_fields(form)
    form.check()
    guild, me = await call.guild(P.MANAGE_ROLES)
    fields.setdefault("permissions", guild.roles[guild.id].permissions & base(guild, me))
    fields.setdefault("name", "new role")
    fields.setdefault("position", 1)
    role = Role(id=call.context.ids.next_id(), **fields)
    change = await call.context.store.create_role(guild.id, role, by=call.user.id)
    await call.applied(change)
    return reply(payloads.role(change.value))


async def _update(call: Call) -> web.Response:
    form = await call.form()
    guild, _ = await call.guild(P.MANAGE_ROLES)
    role = guild.roles.get(call.id("role"))
    if role is None:
        raise _unknown()
    fields = role_fields(form, payloads.role(role))
    form.check()
    try:
        change = await call.context.store.update_role(guild.id, role.id, by=call.user.id, **fields)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return reply(payloads.role(change.value))


async def _delete(call: Call) -> web.Response:
    guild, _ = await call.guild(P.MANAGE_ROLES)
    try:
        change = await call.context.store.delete_role(guild.id, call.id("role"), by=call.user.id)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return empty()


def _unknown() -> ApiError:
    return ApiError(404, 10011, "Unknown Role")


_ROLES: Final = "/guilds/{guild}/roles"

ROUTES: Final = [
    Route("GET", _ROLES, _list),
    Route("POST", _ROLES, _create),
    Route("PATCH", _ROLES + "/{role}", _update),
    Route("DELETE", _ROLES + "/{role}", _delete),
]
