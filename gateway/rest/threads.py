"""Threads: made, changed and listed."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from fanfare import payloads, permissions
from fanfare.model import (
    ANNOUNCEMENT,
    ANNOUNCEMENT_THREAD,
    FORUM,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    Channel,
    Thread,
)
from fanfare.payloads import Json
from fanfare.permissions import P
from fanfare.store import Change, NotFoundError
from gateway.ingress.access import Place
from gateway.ingress.drafts import Draft, draft_of
from gateway.ingress.errors import unknown_channel
from gateway.ingress.forms import Form
from gateway.ingress.message_payloads import HAS_THREAD
from gateway.rest.context import Call, Route, reply
from gateway.rest.fields import moment, refuse_others
from gateway.rest.forum_tags import applied_tags
from gateway.rest.thread_members import member_of, own_membership

__all__ = ["ROUTES", "update_thread"]

_DURATIONS: Final = (60, 1440, 4320, 10080)
"""Minutes after which a thread may be archived."""
_PAGE: Final = 50
_TYPES: Final = (ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD)
_NEW: Final = {"name", "auto_archive_duration", "rate_limit_per_user"}


async def _of_message(call: Call) -> web.Response:
    form = await call.form()
    place, _ = await call.guild_place()
    # discord.js says which type it will be.
    fields = _fields(form, _NEW | {"type"})
    if (said := form.integer("type")) is not None:
        _check_type(form, said)
    form.check()
    kind = ANNOUNCEMENT_THREAD if place.channel.type == ANNOUNCEMENT else PUBLIC_THREAD
    ingress = call.context.ingress
    message_id = call.id("message")
    await ingress.message(call.user, place.channel.id, message_id)
    change = await _make(call, _thread(call, place, message_id, kind, fields), of_message=True)
    thread = payloads.channel(change.value)
    await ingress.mark(call.user, place.channel.id, message_id, HAS_THREAD, thread=thread)
    return reply(thread | own_membership(change.value, call.user.id), 201)


async def _without_message(call: Call) -> web.Response:
    place, _ = await call.guild_place()
    if place.channel.type == FORUM:
        return await _post(call, place)
    form = await call.form()
    kind = form.integer("type") or PRIVATE_THREAD
    _check_type(form, kind)
    fields = _fields(form, _NEW | {"type", "invitable"})
    form.check()
    change = await _make(call, _thread(call, place, call.context.ids.next_id(), kind, fields))
    return reply(payloads.channel(change.value) | own_membership(change.value, call.user.id), 201)


async def _post(call: Call, place: Place) -> web.Response:
    """A thread in a forum, with its first message, which has the same id."""

    async def may() -> None:
        place.require(P.SEND_MESSAGES)
        place.require(P.ATTACH_FILES)

    async with call.with_files(may) as body:
        form = Form(body.said)
        fields = _fields(form, _NEW | {"message", "applied_tags"})
        inner = form.raw("message")
        said = Form(inner if isinstance(inner, dict) else {})
        draft: Draft = draft_of(said, body.parts)
        form.check()
        thread = _thread(call, place, call.context.ids.next_id(), PUBLIC_THREAD, fields)
        change = await _make(call, thread)
        sent = await call.context.ingress.send(call.user, thread.id, draft, ident=thread.id)
    found = payloads.channel(change.value) | own_membership(change.value, call.user.id)
    return reply(found | {"message": msgspec.Raw(sent.body)}, 201)


def _thread(call: Call, place: Place, ident: int, kind: int, fields: dict[str, Any]) -> Channel:
    now = datetime.now(UTC)
    about = {key: fields.pop(key) for key in ("auto_archive", "invitable", "tags") if key in fields}
    return Channel(
        id=ident,
        type=kind,
        guild_id=place.channel.guild_id,
        parent_id=place.channel.id,
        nsfw=place.channel.nsfw,
        thread=Thread(owner_id=call.user.id, made_at=now, changed_at=now, **about),
        **fields,
    )


def _check_type(form: Form, kind: int) -> None:
    if kind not in _TYPES:
        form.fail("type", "BASE_TYPE_CHOICES", f"Value must be one of {set(_TYPES)}.")


def _fields(form: Form, known: set[str], present: Json | None = None) -> dict[str, Any]:
    """The fields of a thread that are in a body, named as in the model. Check the form afterwards."""
    refuse_others(form, known, present)
    duration = form.integer("auto_archive_duration")
    if duration is not None and duration not in _DURATIONS:
        form.fail("auto_archive_duration", "BASE_TYPE_CHOICES", f"Value must be one of {set(_DURATIONS)}.")
    found = {
        "name": form.text("name", shortest=1, longest=100, required=present is None),
        "rate_limit_per_user": form.integer("rate_limit_per_user", most=21_600),
        "auto_archive": duration,
        "invitable": form.boolean("invitable"),
        "tags": applied_tags(form) if "applied_tags" in known else None,
    }
    return {key: value for key, value in found.items() if value is not None}


async def _make(call: Call, thread: Channel, *, of_message: bool = False) -> Change[Channel]:
    try:
        change = await call.context.store.create_thread(thread, by=call.user.id, of_message=of_message)
    except NotFoundError:
        raise unknown_channel() from None
    await call.applied(change)
    return change


async def update_thread(call: Call, form: Form, place: Place) -> web.Response:
    """PATCH of a channel that is a thread."""
    known = _NEW | {"invitable", "archived", "locked", "applied_tags"}
    present = payloads.channel(place.channel)
    fields: dict[str, Any] = _fields(form, known, present)
    for key in ("archived", "locked"):
        if (value := form.boolean(key)) is not None:
            fields[key] = value
    form.check()
    try:
        change = await call.context.store.update_thread(place.channel.id, by=call.user.id, **fields)
    except NotFoundError:
        raise unknown_channel() from None
    if change.changed:
        await call.applied(change)
    return reply(payloads.channel(change.value) | own_membership(change.value, call.user.id))


async def _active(call: Call) -> web.Response:
    guild, member = await call.guild()
    found = [
        channel
        for channel in guild.channels.values()
        if channel.thread is not None
        and not channel.thread.archived
        and permissions.in_channel(guild, member.roles, call.user.id, channel) & P.VIEW_CHANNEL
    ]
    return reply(_listed(call, sorted(found, key=lambda one: -one.id)))


async def _archived_public(call: Call) -> web.Response:
    return await _archived(call, (ANNOUNCEMENT_THREAD, PUBLIC_THREAD))


async def _archived_private(call: Call) -> web.Response:
    return await _archived(call, (PRIVATE_THREAD,), needed=P.MANAGE_THREADS)


async def _archived_own(call: Call) -> web.Response:
    return await _archived(call, (PRIVATE_THREAD,), own=True)


async def _archived(
    call: Call, types: tuple[int, ...], *, needed: int = permissions.NONE, own: bool = False
) -> web.Response:
    query = call.query()
    limit = query.integer("limit", least=1, most=100) or _PAGE
    below = query.snowflake("before") if own else None
    text = None if own else query.text("before", longest=40)
    query.check()
    before = moment("before", text) if text else None
    place, _ = await call.guild_place()
    place.require(P.READ_MESSAGE_HISTORY | needed)
    found = await call.context.store.archived_threads(
        place.channel.id,
        types,
        before=before,
        below=below,
        joined_by=call.user.id if own else 0,
        limit=limit + 1,
    )
    return reply(_listed(call, found[:limit]) | {"has_more": len(found) > limit})


def _listed(call: Call, threads: list[Channel]) -> Json:
    own = ((thread, member_of(thread, call.user.id)) for thread in threads)
    return {
        "threads": [payloads.channel(thread) for thread in threads],
        "members": [payloads.thread_member(thread, one) for thread, one in own if one is not None],
    }


_CHANNEL: Final = "/channels/{channel}"
_ARCHIVED: Final = "/threads/archived"

ROUTES: Final = [
    Route("POST", _CHANNEL + "/messages/{message}/threads", _of_message),
    Route("POST", _CHANNEL + "/threads", _without_message),
    Route("GET", "/guilds/{guild}/threads/active", _active),
    Route("GET", _CHANNEL + _ARCHIVED + "/public", _archived_public),
    Route("GET", _CHANNEL + _ARCHIVED + "/private", _archived_private),
    Route("GET", _CHANNEL + "/users/@me" + _ARCHIVED + "/private", _archived_own),
]
