"""Webhooks: by people who manage them, and by whoever has the token of one."""

import hmac
import secrets
from typing import Any, Final

from aiohttp import web

from fanfare import payloads
from fanfare.model import CATEGORY, THREADS
from fanfare.permissions import P
from fanfare.rights import WrongTypeError
from fanfare.store.errors import NotFoundError
from fanfare.store.webhooks import Webhook
from gateway.ingress.drafts import read_draft, read_edit
from gateway.ingress.errors import ApiError, FormError, forbidden
from gateway.ingress.forms import Form
from gateway.ingress.webhooks import Persona
from gateway.interactions.state import unknown_webhook
from gateway.rest.context import Call, Route, empty, json_body, reply
from gateway.rest.fields import refuse_others
from gateway.rest.server import identified, invalid
from gateway.rest.webhook_forms import from_github, from_slack

__all__ = ["ROUTES", "delete_message", "edit_message", "get_message", "say"]

_NAME: Final = 80
_TOKEN_BYTES: Final = 51


async def _create(call: Call) -> web.Response:
    place, _ = await call.guild_place()
    place.require(P.MANAGE_WEBHOOKS)
    form = await call.form()
    name = form.text("name", shortest=1, longest=_NAME, required=True, shown=True)
    form.refuse("avatar", "Pictures of webhooks are not kept here: give avatar_url with each message.")
    refuse_others(form, {"name", "avatar"})
    form.check()
    if place.channel.type == CATEGORY:
        raise WrongTypeError
    made = Webhook(
        id=call.context.ids.next_id(),
        guild_id=place.channel.guild_id,
        channel_id=place.channel.id,
        name=name or "",
        token=secrets.token_urlsafe(_TOKEN_BYTES),
        application_id=call.user.id if call.user.bot else 0,
        user=call.user,
    )
    change = await call.context.store.create_webhook(made)
    await call.applied(change)
    return reply(_shown(change.value))


async def _of_channel(call: Call) -> web.Response:
    place, _ = await call.guild_place()
    place.require(P.MANAGE_WEBHOOKS)
    found = await call.context.store.webhooks(place.channel.guild_id, place.channel.id)
    return reply([_shown(one) for one in found])


async def _of_guild(call: Call) -> web.Response:
    guild, _ = await call.guild(P.MANAGE_WEBHOOKS)
    return reply([_shown(one) for one in await call.context.store.webhooks(guild.id)])


async def _get(call: Call) -> web.Response:
    return reply(_shown(await _managed(call)))


async def _change(call: Call) -> web.Response:
    webhook = await _managed(call)
    return reply(_shown(await _changed(call, webhook, call.user.id)))


async def _delete(call: Call) -> web.Response:
    webhook = await _managed(call)
    await _gone(call, webhook, call.user.id)
    return empty()


async def _get_by_token(call: Call) -> web.Response:
    return reply(_shown(await _by_token(call), by_token=True))


async def _change_by_token(call: Call) -> web.Response:
    return reply(_shown(await _changed(call, await _by_token(call), 0), by_token=True))


async def _delete_by_token(call: Call) -> web.Response:
    await _gone(call, await _by_token(call), 0)
    return empty()


async def say(call: Call) -> web.Response:
    """A message of the webhook with the token in the path."""
    webhook = await _where(call)

    async def may() -> None:
        """Whoever has the token may send files."""

    async with call.with_files(may, whose=webhook.id) as body:
        said = body.said if isinstance(body.said, dict) else {}
        draft = read_draft({k: v for k, v in said.items() if k not in _PERSONA}, body.parts)
        message = await call.context.ingress.webhooks.send(webhook, draft, _persona(webhook, said))
    return json_body(message) if call.asks("wait") else empty()


async def _slack(call: Call) -> web.Response:
    webhook = await _where(call)
    await _say(call, webhook, from_slack(await call.body()))
    return web.Response(text="ok")


async def _github(call: Call) -> web.Response:
    webhook = await _where(call)
    said = from_github(call.request.headers.get("X-GitHub-Event", ""), await call.body())
    if said is not None:
        await _say(call, webhook, said)
    return empty()


async def get_message(call: Call) -> web.Response:
    """A message of the webhook."""
    webhook = await _where(call)
    return json_body(await call.context.ingress.webhooks.read(webhook, call.id("message")))


async def edit_message(call: Call) -> web.Response:
    """Edit a message of the webhook."""
    webhook = await _where(call)

    async def may() -> None:
        """Whoever has the token may send files."""

    async with call.with_files(may, whose=webhook.id) as body:
        edit = read_edit(body.said, body.parts)
        return json_body(await call.context.ingress.webhooks.edit(webhook, call.id("message"), edit))


async def delete_message(call: Call) -> web.Response:
    """Delete a message of the webhook."""
    webhook = await _where(call)
    await call.context.ingress.webhooks.delete(webhook, call.id("message"))
    return empty()


async def _say(call: Call, webhook: Webhook, said: dict[str, Any]) -> None:
    draft = read_draft({k: v for k, v in said.items() if k not in _PERSONA})
    await call.context.ingress.webhooks.send(webhook, draft, _persona(webhook, said))


async def _managed(call: Call) -> Webhook:
    """The webhook in the path, for who manages webhooks in its channel. Raises: ApiError."""
    try:
        webhook = await call.context.store.webhook(call.id("webhook"))
    except NotFoundError:
        raise unknown_webhook() from None
    try:
        place = await call.context.ingress.access.place(call.user, webhook.channel_id)
    except ApiError:
        # Who is not in the guild learns nothing of it.
        raise unknown_webhook() from None
    if not place.may(P.MANAGE_WEBHOOKS):
        raise forbidden()
    return webhook


async def _by_token(call: Call) -> Webhook:
    """The webhook in the path, for who has its token. Raises: ApiError: 10015."""
    token = call.request.match_info["token"]
    try:
        webhook = await call.context.store.webhook(call.id("webhook"))
    except NotFoundError:
        webhook = None
    if webhook is None or not hmac.compare_digest(webhook.token.encode(), token.encode()):
        invalid(call.request)
        raise unknown_webhook()
    identified(call.request)
    return webhook


async def _where(call: Call) -> Webhook:
    """The webhook in the path, for a message in its channel, or in the thread of the query. Raises: ApiError."""
    webhook = await _by_token(call)
    query = call.query()
    thread = query.snowflake("thread_id")
    query.check()
    return await call.context.ingress.webhooks.in_thread(webhook, thread) if thread else webhook


async def _changed(call: Call, webhook: Webhook, by: int) -> Webhook:
    form = await call.form()
    name = form.text("name", shortest=1, longest=_NAME, shown=True) or webhook.name
    channel = (form.snowflake("channel_id") if by else None) or webhook.channel_id
    form.refuse("avatar", "Pictures of webhooks are not kept here: give avatar_url with each message.")
    refuse_others(form, {"name", "avatar", "channel_id"})
    form.check()
    if channel != webhook.channel_id:
        place = await call.context.ingress.access.place(call.user, channel)
        if place.guild is None or place.guild.id != webhook.guild_id or place.channel.type in _NO_WEBHOOKS:
            raise FormError.at(
                "channel_id", "BASE_TYPE_CHOICES", "It is no channel of the guild for messages."
            )
    try:
        change = await call.context.store.change_webhook(webhook, name=name, channel_id=channel, by=by)
    except NotFoundError:
        raise unknown_webhook() from None
    if change.changed:
        await call.applied(change)
    return change.value


async def _gone(call: Call, webhook: Webhook, by: int) -> None:
    try:
        change = await call.context.store.delete_webhook(webhook, by=by)
    except NotFoundError:
        raise unknown_webhook() from None
    await call.applied(change)


# No webhook is in one of these.
_NO_WEBHOOKS: Final = THREADS | {CATEGORY}
_PERSONA: Final = frozenset({"username", "avatar_url"})


def _persona(webhook: Webhook, said: dict[str, Any]) -> Persona:
    """As whom the message is said. Raises: FormError."""
    form = Form(said)
    name = form.text("username", shortest=1, longest=_NAME, shown=True)
    avatar = form.url("avatar_url", longest=2048)
    form.check()
    return Persona(name or webhook.name, avatar or "")


def _shown(webhook: Webhook, *, by_token: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": str(webhook.id),
        "type": 1,
        "guild_id": str(webhook.guild_id),
        "channel_id": str(webhook.channel_id),
        "name": webhook.name,
        "avatar": None,
        "token": webhook.token,
        "application_id": str(webhook.application_id) if webhook.application_id else None,
    }
    if not by_token and webhook.user is not None:
        found["user"] = payloads.user(webhook.user)
    return found


_WEBHOOK: Final = "/webhooks/{webhook}"
_BY_TOKEN: Final = "/webhooks/{webhook}/{token}"  # noqa: S105 - a path

ROUTES: Final = [
    Route("POST", "/channels/{channel}/webhooks", _create),
    Route("GET", "/channels/{channel}/webhooks", _of_channel),
    Route("GET", "/guilds/{guild}/webhooks", _of_guild),
    Route("GET", _WEBHOOK, _get),
    Route("PATCH", _WEBHOOK, _change),
    Route("DELETE", _WEBHOOK, _delete),
    Route("GET", _BY_TOKEN, _get_by_token),
    Route("PATCH", _BY_TOKEN, _change_by_token),
    Route("DELETE", _BY_TOKEN, _delete_by_token),
    Route("POST", _BY_TOKEN + "/slack", _slack),
    Route("POST", _BY_TOKEN + "/github", _github),
]
"""The routes that interactions have, too, are there: the token says whose they are."""
