"""Reactions to messages."""

from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.emoji import Emoji, parse_emoji
from gateway.ingress.errors import unknown_emoji
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]


async def _add(call: Call) -> web.Response:
    await call.context.ingress.reacting.add(call.user, call.id("channel"), call.id("message"), _emoji(call))
    return empty()


async def _remove_own(call: Call) -> web.Response:
    return await _removed(call, call.user.id)


async def _remove(call: Call) -> web.Response:
    return await _removed(call, call.id("user"))


async def _removed(call: Call, whose: int) -> web.Response:
    reacting = call.context.ingress.reacting
    await reacting.remove(call.user, call.id("channel"), call.id("message"), _emoji(call), whose)
    return empty()


async def _users(call: Call) -> web.Response:
    query = call.query()
    after = query.snowflake("after") or 0
    limit = query.integer("limit", least=1, most=100) or 25
    burst = query.integer("type", most=1)
    query.check()
    if burst:
        return reply([])
    found = await call.context.ingress.reacting.users(
        call.user, call.id("channel"), call.id("message"), _emoji(call), after=after, limit=limit
    )
    return reply([payloads.user(user) for user in found])


async def _clear_emoji(call: Call) -> web.Response:
    reacting = call.context.ingress.reacting
    await reacting.clear(call.user, call.id("channel"), call.id("message"), _emoji(call))
    return empty()


async def _clear(call: Call) -> web.Response:
    await call.context.ingress.reacting.clear(call.user, call.id("channel"), call.id("message"))
    return empty()


def _emoji(call: Call) -> Emoji:
    """The emoji in the path. Raises: ApiError: there is none such."""
    found = parse_emoji(call.request.match_info["emoji"])
    if found is None:
        raise unknown_emoji(400)
    return found


_REACTIONS: Final = "/channels/{channel}/messages/{message}/reactions"
_EMOJI: Final = _REACTIONS + "/{emoji}"

ROUTES: Final = [
    Route("DELETE", _REACTIONS, _clear),
    Route("GET", _EMOJI, _users),
    Route("DELETE", _EMOJI, _clear_emoji),
    Route("PUT", _EMOJI + "/@me", _add),
    Route("DELETE", _EMOJI + "/@me", _remove_own),
    Route("DELETE", _EMOJI + "/{user}", _remove),
]
