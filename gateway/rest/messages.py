"""Messages of a channel."""

import time
from typing import Final

from aiohttp import web

from gateway.ingress.drafts import read_draft, read_edit
from gateway.ingress.errors import ApiError
from gateway.rest.context import Call, Route, empty, json_body

__all__ = ["ROUTES"]

_BULK: Final = 100


async def _page(call: Call) -> web.Response:
    query = call.query()
    limit = query.integer("limit", least=1, most=100)
    around, before, after = (query.snowflake(key) for key in ("around", "before", "after"))
    query.check()
    if around is not None:
        before = after = None
    elif before is not None:
        after = None
    page = await call.context.ingress.messages(
        call.user, call.id("channel"), before=before, after=after, around=around, limit=limit or 50
    )
    return json_body(b"[" + b",".join(page) + b"]")


async def _one(call: Call) -> web.Response:
    return json_body(await call.context.ingress.message(call.user, call.id("channel"), call.id("message")))


async def _send(call: Call) -> web.Response:
    channel, ingress = call.id("channel"), call.context.ingress
    async with call.with_files(lambda: ingress.may_attach(call.user, channel)) as body:
        sent = await ingress.send(call.user, channel, read_draft(body.said, body.parts))
    quota = ingress.quota(call.user, channel)
    return json_body(
        sent.body,
        headers={
            "X-RateLimit-Limit": str(quota.limit),
            "X-RateLimit-Remaining": str(quota.remaining),
            "X-RateLimit-Reset": f"{time.time() + quota.reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{quota.reset_after:.3f}",
            "X-RateLimit-Bucket": quota.bucket,
        },
    )


async def _edit(call: Call) -> web.Response:
    channel, ingress = call.id("channel"), call.context.ingress
    async with call.with_files(lambda: ingress.may_attach(call.user, channel)) as body:
        edit = read_edit(body.said, body.parts)
        return json_body(await ingress.edit(call.user, channel, call.id("message"), edit))


async def _delete(call: Call) -> web.Response:
    await call.context.ingress.delete(call.user, call.id("channel"), call.id("message"))
    return empty()


async def _delete_many(call: Call) -> web.Response:
    form = await call.form()
    ids = form.snowflakes("messages", most=_BULK)
    form.check()
    if not ids or len(ids) < 2:
        raise ApiError(400, 50016, "Provided too few or too many messages to delete. Must provide 2 to 100.")
    await call.context.ingress.delete_many(call.user, call.id("channel"), ids)
    return empty()


async def _crosspost(call: Call) -> web.Response:
    return json_body(await call.context.ingress.crosspost(call.user, call.id("channel"), call.id("message")))


async def _typing(call: Call) -> web.Response:
    await call.context.ingress.typing(call.user, call.id("channel"))
    return empty()


_CHANNEL: Final = "/channels/{channel}"
_MESSAGES: Final = _CHANNEL + "/messages"

ROUTES: Final = [
    Route("GET", _MESSAGES, _page),
    Route("POST", _MESSAGES, _send),
    Route("GET", _MESSAGES + "/{message}", _one),
    Route("PATCH", _MESSAGES + "/{message}", _edit),
    Route("DELETE", _MESSAGES + "/{message}", _delete),
    Route("POST", _MESSAGES + "/bulk-delete", _delete_many),
    Route("POST", _MESSAGES + "/{message}/crosspost", _crosspost),
    Route("POST", _CHANNEL + "/typing", _typing),
]
