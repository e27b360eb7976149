"""Roles of a guild."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import Role
from fanfare.permissions import P, base
from fanfare.rights import MAX_ROLES
from fanfare.store import NotFoundError
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import forms_of
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import refuse_others, role_fields, role_position

__all__ = ["ROUTES"]


async def _list(call: Call) -> web.Response:
    guild, _ = await call.guild()
    return _all(guild.roles.values())


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild()
    role = guild.roles.get(call.id("role"))
    if role is None:
        raise _unknown()
    return reply(payloads.role(role))


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


async def _move(call: Call) -> web.Response:
    body = await call.body()
    guild, _ = await call.guild(P.MANAGE_ROLES)
    positions = {}
    for form in forms_of(body, MAX_ROLES):
        refuse_others(form, {"id", "position"})
        role_id, position = form.snowflake("id", required=True) or 0, role_position(form)
        form.check()
        if position is not None:
            positions[role_id] = position
    try:
        change = await call.context.store.move_roles(guild.id, positions, by=call.user.id)
    except NotFoundError:
        raise _unknown() from None
    await call.applied(change)
    return _all(change.value)


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


def _all(roles: Iterable[Role]) -> web.Response:
    return reply([payloads.role(role) for role in sorted(roles, key=lambda one: (one.position, one.id))])


def _unknown() -> ApiError:
    return ApiError(404, 10011, "Unknown Role")


_ROLES: Final = "/guilds/{guild}/roles"

ROUTES: Final = [
    Route("GET", _ROLES, _list),
    Route("POST", _ROLES, _create),
    Route("PATCH", _ROLES, _move),
    Route("GET", _ROLES + "/{role}", _get),
    Route("PATCH", _ROLES + "/{role}", _update),
    Route("DELETE", _ROLES + "/{role}", _delete),
]
