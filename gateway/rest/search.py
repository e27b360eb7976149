"""Search of a guild's messages: by words, author, channel and time, in what the user may read."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from fanfare import permissions
from fanfare.permissions import VOICE_TYPES, P
from fanfare.store.search import Query
from gateway.ingress.errors import ApiError, missing_access
from gateway.ingress.forms import Form
from gateway.rest.context import Call, Route, json_body

__all__ = ["ROUTES"]

_LISTS: Final = ("author_id", "channel_id")
_MOST: Final = 25
# Threads that are searched besides those that are open, or were lately.
_MOST_ARCHIVED: Final = 1000
_WORDS: Final = 1024
_LAST_OFFSET: Final = 9975
_NEEDED: Final = P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY


async def _search(call: Call) -> web.Response:
    guild, member = await call.guild()
    form = _form(call)
    words = form.text("content", longest=_WORDS)
    authors, channels = (form.snowflakes(key, most=100) for key in _LISTS)
    after, before = form.snowflake("min_id"), form.snowflake("max_id")
    limit = form.integer("limit", least=1, most=_MOST)
    offset = form.integer("offset", most=_LAST_OFFSET)
    if (order := form.text("sort_order", longest=4)) not in {None, "asc", "desc"}:
        form.fail("sort_order", "BASE_TYPE_CHOICES", "Value must be one of ('asc', 'desc').")
    form.check()
    archived = await call.context.store.long_archived(guild.id, _MOST_ARCHIVED)
    seen = [
        channel.id
        for channel in (*guild.channels.values(), *archived)
        if _readable(
            permissions.in_channel(guild, member.roles, call.user.id, channel),
            voice=channel.type in VOICE_TYPES,
        )
    ]
    if channels is not None:
        if not set(channels) <= set(seen):
            raise missing_access()
        seen = channels
    query = Query(
        channels=seen,
        authors=authors or (),
        words=words or "",
        after=-1 if after is None else after,
        before=(1 << 63) - 1 if before is None else before,
    )
    total, found = await call.context.store.search(
        query, limit=limit or _MOST, offset=offset or 0, oldest=order == "asc"
    )
    messages = await _now(call, found)
    shown = b",".join(b"[" + messages[ident] + b"]" for _, ident in found if ident in messages)
    return json_body(
        b'{"doing_deep_historical_index":false,"total_results":%d,"messages":[%b]}' % (total, shown)
    )


def _readable(granted: int, *, voice: bool) -> bool:
    needed = _NEEDED | P.CONNECT if voice else _NEEDED
    return granted & needed == needed


async def _now(call: Call, found: Sequence[tuple[int, int]]) -> dict[int, bytes]:
    """Messages, named by channel and id, as they are now; without those deleted since the archiver wrote them."""
    bodies = await asyncio.gather(*(_body(call, channel, ident) for channel, ident in found))
    there: dict[int, dict[int, bytes]] = {}
    for (channel, ident), body in zip(found, bodies, strict=True):
        if body is not None:
            there.setdefault(channel, {})[ident] = body
    seen = call.context.ingress.reacting.seen
    pages = await asyncio.gather(
        *(seen.attach(channel, list(page.values()), call.user.id) for channel, page in there.items())
    )
    return {
        ident: body
        for page, shown in zip(there.values(), pages, strict=True)
        for ident, body in zip(page, shown, strict=True)
    }


async def _body(call: Call, channel: int, ident: int) -> bytes | None:
    try:
        return await call.context.ingress.history.message(channel, ident)
    except ApiError:
        return None


def _form(call: Call) -> Form:
    """The query; authors and channels may be several."""
    query = call.request.query
    given: dict[str, Any] = {key: query[key] for key in query if key not in _LISTS}
    return Form(given | {key: query.getall(key) for key in _LISTS if key in query})


ROUTES: Final = [Route("GET", "/guilds/{guild}/messages/search", _search)]
