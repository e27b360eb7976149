"""Channels, of guilds and direct."""

from typing import Any, Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import FORUM, THREADS
from fanfare.store import Change, NotFoundError
from gateway.ingress.access import Place
from gateway.ingress.errors import ApiError, not_in_direct, unknown_channel
from gateway.ingress.forms import Form
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import channel_fields, overwrite, refuse_others
from gateway.rest.forum_tags import available_tags
from gateway.rest.thread_members import own_membership
from gateway.rest.threads import update_thread

__all__ = ["ROUTES"]


async def _get(call: Call) -> web.Response:
    place = await _place(call)
    return reply(
        payloads.channel(place.channel, to=call.user.id) | own_membership(place.channel, call.user.id)
    )


async def _update(call: Call) -> web.Response:
    form = await call.form()
    place = await _place(call)
    if place.channel.type in THREADS:
        return await update_thread(call, form, place)
    is_forum = place.channel.type == FORUM
    known = {"available_tags"} if is_forum else ()
    fields = channel_fields(form, known, present=payloads.channel(place.channel))
    if is_forum and (tags := available_tags(form, place.channel.tags, call.context.ids.next_id)) is not None:
        fields["tags"] = tags
    form.check()
    try:
        change = await call.context.store.update_channel(place.channel.id, by=call.user.id, **fields)
    except NotFoundError:
        raise unknown_channel() from None
    await call.applied(change)
    return reply(payloads.channel(change.value))


async def _delete(call: Call) -> web.Response:
    place = await call.context.ingress.access.place(call.user, call.id("channel"))
    if place.guild is None:
        # Closing a direct channel hides it in clients; nothing is lost.
        return reply(payloads.channel(place.channel, to=call.user.id))
    try:
        change = await call.context.store.delete_channel(place.channel.id, by=call.user.id)
    except NotFoundError:
        raise unknown_channel() from None
    await call.applied(change)
    return reply(payloads.channel(change.value))


async def _set_overwrite(call: Call) -> web.Response:
    body = await call.body()
    form = Form((body if isinstance(body, dict) else {}) | {"id": call.id("target")})
    refuse_others(form, {"id", "type", "allow", "deny"})
    one = overwrite(form)
    form.check()
    place = await _place(call)
    await _done(call, call.context.store.set_overwrite(place.channel.id, one, by=call.user.id))
    return empty()


async def _delete_overwrite(call: Call) -> web.Response:
    place = await _place(call)
    deleting = call.context.store.delete_overwrite(place.channel.id, call.id("target"), by=call.user.id)
    await _done(call, deleting)
    return empty()


async def _done(call: Call, changing: Any) -> None:
    try:
        change: Change[Any] = await changing
    except NotFoundError as error:
        if error.what == "overwrite":
            raise ApiError(404, 10009, "Unknown Overwrite") from None
        raise unknown_channel() from None
    await call.applied(change)


async def _place(call: Call) -> Place:
    """A channel of a guild that the user may see."""
    place = await call.context.ingress.access.place(call.user, call.id("channel"))
    if place.guild is None and call.request.method != "GET":
        raise not_in_direct()
    return place


_CHANNEL: Final = "/channels/{channel}"

ROUTES: Final = [
    Route("GET", _CHANNEL, _get),
    Route("PATCH", _CHANNEL, _update),
    Route("DELETE", _CHANNEL, _delete),
    Route("PUT", _CHANNEL + "/permissions/{target}", _set_overwrite),
    Route("DELETE", _CHANNEL + "/permissions/{target}", _delete_overwrite),
]
