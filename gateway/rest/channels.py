"""Channels, of guilds and direct."""

from typing import Any, Final

from aiohttp import web

from fanfare import payloads, permissions
from fanfare.model import CATEGORY, Overwrite
from fanfare.permissions import P
from fanfare.store import Change, NotFoundError
from gateway.errors import ApiError, FormError, forbidden, unknown_channel
from gateway.forms import Form
from gateway.ingress.access import Place
from gateway.rest.changes import channel_fields, overwrite
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES", "check_overwrites", "check_parent"]


async def _get(call: Call) -> web.Response:
    place = await _place(call)
    return reply(payloads.channel(place.channel, to=call.user.id))


async def _update(call: Call) -> web.Response:
    form = await call.form()
    fields = channel_fields(form)
    form.check()
    place = await _place(call, P.MANAGE_CHANNELS)
    if "overwrites" in fields:
        check_overwrites(place, fields["overwrites"])
    check_parent(place, fields)
    try:
        change = await call.context.store.update_channel(place.channel.id, **fields)
    except NotFoundError:
        raise unknown_channel() from None
    await call.applied(change)
    return reply(payloads.channel(change.value))


async def _delete(call: Call) -> web.Response:
    place = await call.context.ingress.access.place(call.user, call.id("channel"))
    if place.guild is None:
        # Closing a direct channel hides it in clients; nothing is lost.
        return reply(payloads.channel(place.channel, to=call.user.id))
    place.require(P.MANAGE_CHANNELS)
    try:
        change = await call.context.store.delete_channel(place.channel.id)
    except NotFoundError:
        raise unknown_channel() from None
    await call.applied(change)
    return reply(payloads.channel(change.value))


async def _set_overwrite(call: Call) -> web.Response:
    body = await call.body()
    target = call.id("target")
    form_body = (body if isinstance(body, dict) else {}) | {"id": target}
    place = await _place(call, P.MANAGE_ROLES)
    one = _overwrite(form_body)
    check_overwrites(place, [one])
    await _done(call, call.context.store.set_overwrite(place.channel.id, one))
    return empty()


async def _delete_overwrite(call: Call) -> web.Response:
    place = await _place(call, P.MANAGE_ROLES)
    await _done(call, call.context.store.delete_overwrite(place.channel.id, call.id("target")))
    return empty()


async def _done(call: Call, changing: Any) -> None:
    try:
        change: Change[Any] = await changing
    except NotFoundError as error:
        if error.what == "overwrite":
            raise ApiError(404, 10009, "Unknown Overwrite") from None
        raise unknown_channel() from None
    await call.applied(change)


async def _place(call: Call, needed: int = permissions.NONE) -> Place:
    place = await call.context.ingress.access.place(call.user, call.id("channel"))
    if needed and place.guild is None:
        raise ApiError(403, 50003, "Cannot execute action on a DM channel")
    place.require(needed)
    return place


def _overwrite(body: dict[str, Any]) -> Overwrite:
    form = Form(body)
    one = overwrite(form)
    form.check()
    return one


def check_overwrites(place: Place, overwrites: "tuple[Overwrite, ...] | list[Overwrite]") -> None:
    """Nobody grants what they do not have.

    Raises:
        ApiError: 50013.

    """
    for one in overwrites:
        if (one.allow | one.deny) & ~place.permissions:
            raise forbidden()


def check_parent(place: Place, fields: dict[str, Any]) -> None:
    """Raises: FormError: the parent is no category of the guild."""
    parent = fields.get("parent_id")
    channels = place.guild.channels if place.guild is not None else {}
    if parent and (parent not in channels or channels[parent].type != CATEGORY):
        raise FormError.at("parent_id", "CHANNEL_PARENT_INVALID", "Not a category of this guild")


_CHANNEL: Final = "/channels/{channel}"

ROUTES: Final = [
    Route("GET", _CHANNEL, _get),
    Route("PATCH", _CHANNEL, _update),
    Route("DELETE", _CHANNEL, _delete),
    Route("PUT", _CHANNEL + "/permissions/{target}", _set_overwrite),
    Route("DELETE", _CHANNEL + "/permissions/{target}", _delete_overwrite),
]
