"""Who has joined a thread."""

from collections.abc import Awaitable
from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import Channel, ThreadMember
from fanfare.payloads import Json
from fanfare.rights import WrongTypeError
from fanfare.store import Change, NotFoundError
from gateway.ingress.access import Place
from gateway.ingress.errors import unknown_channel, unknown_member
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES", "member_of", "own_membership"]

_PAGE: Final = 100


def own_membership(channel: Channel, user_id: int) -> Json:
    """The `member` of a thread that somebody has joined."""
    one = member_of(channel, user_id)
    return {"member": payloads.thread_member(channel, one)} if one is not None else {}


def member_of(channel: Channel, user_id: int) -> ThreadMember | None:
    """Somebody in a thread; None: they have not joined it."""
    members = channel.thread.members if channel.thread is not None else ()
    return next((one for one in members if one.id == user_id), None)


async def _join(call: Call) -> web.Response:
    return await _come(call, call.user.id)


async def _add(call: Call) -> web.Response:
    return await _come(call, call.id("user"))


async def _leave(call: Call) -> web.Response:
    return await _go(call, call.user.id)


async def _remove(call: Call) -> web.Response:
    return await _go(call, call.id("user"))


async def _come(call: Call, user_id: int) -> web.Response:
    place = await _place(call)
    return await _done(call, call.context.store.join_thread(place.channel.id, user_id, by=call.user.id))


async def _go(call: Call, user_id: int) -> web.Response:
    place = await _place(call)
    return await _done(call, call.context.store.leave_thread(place.channel.id, user_id, by=call.user.id))


async def _done(call: Call, changing: Awaitable[Change[Channel]]) -> web.Response:
    try:
        change = await changing
    except NotFoundError as error:
        raise (unknown_member() if error.what == "member" else unknown_channel()) from None
    if change.changed:
        await call.applied(change)
    return empty()


async def _members(call: Call) -> web.Response:
    query = call.query()
    after = query.snowflake("after") or 0
    limit = query.integer("limit", least=1, most=_PAGE) or _PAGE
    query.check()
    place = await _place(call)
    assert place.channel.thread is not None
    found = [one for one in place.channel.thread.members if one.id > after][:limit]
    return reply(await _shown(call, place.channel, found))


async def _one_member(call: Call) -> web.Response:
    place = await _place(call)
    one = member_of(place.channel, call.id("user"))
    shown = await _shown(call, place.channel, [one]) if one is not None else []
    if not shown:
        raise unknown_member()
    return reply(shown[0])


async def _shown(call: Call, thread: Channel, those: list[ThreadMember]) -> list[Json]:
    """With the members of the guild, if that was asked for."""
    if not call.asks("with_member"):
        return [payloads.thread_member(thread, one) for one in those]
    members = await call.context.store.members(thread.guild_id, [one.id for one in those])
    return [
        payloads.thread_member(thread, one) | {"member": payloads.member(members[one.id])}
        for one in those
        if one.id in members
    ]


async def _place(call: Call) -> Place:
    """The thread in the path. Raises: ApiError."""
    place, _ = await call.guild_place()
    if place.channel.thread is None:
        raise WrongTypeError
    return place


_THREAD: Final = "/channels/{channel}/thread-members"

ROUTES: Final = [
    Route("GET", _THREAD, _members),
    Route("PUT", _THREAD + "/@me", _join),
    Route("DELETE", _THREAD + "/@me", _leave),
    Route("GET", _THREAD + "/{user}", _one_member),
    Route("PUT", _THREAD + "/{user}", _add),
    Route("DELETE", _THREAD + "/{user}", _remove),
]
