"""Messages of webhooks: sent, read, edited and deleted by whoever has the token of the webhook."""

import time
from typing import Final, NamedTuple

import msgspec

from fanfare.model import THREADS, User
from fanfare.payloads import Json
from fanfare.permissions import P
from fanfare.record import Record
from fanfare.store.webhooks import Webhook
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.drafts import Draft, Edit
from gateway.ingress.editing import rewriting
from gateway.ingress.errors import unknown_channel, unknown_message
from gateway.ingress.history import History
from gateway.ingress.interfaces import Guilds
from gateway.ingress.limits import RateLimits
from gateway.ingress.message_payloads import build, deletion
from gateway.ingress.records import PREPARE_S, answer_by, message_record, record_of
from gateway.ingress.sends import Sends
from gateway.ingress.threads import Threads
from gateway.ingress.uploads import UploadStore

__all__ = ["Persona", "WebhookMessages"]

# Nobody has a token without having been let in: as Discord does, it may all that can be said in the channel.
_MAY: Final = (1 << 63) - 1 & ~int(P.ADMINISTRATOR)


class Persona(NamedTuple):
    """As whom a webhook says something."""

    username: str
    avatar_url: str = ""


class WebhookMessages:
    """The messages of webhooks."""

    def __init__(
        self,
        *,
        access: Access,
        guilds: Guilds,
        threads: Threads,
        history: History,
        sends: Sends,
        uploads: UploadStore,
        limits: RateLimits,
    ) -> None:
        """Prepare. Arguments as of `Ingress`."""
        self._access = access
        self._guilds = guilds
        self._threads = threads
        self._history = history
        self._sends = sends
        self._uploads = uploads
        self._limits = limits

    async def in_thread(self, webhook: Webhook, thread_id: int) -> Webhook:
        """The webhook as if it was one of a thread in its channel. Raises: ApiError: 10003."""
        async with refusing(PREPARE_S):
            channel = await self._guilds.channel(thread_id)
        if channel.type not in THREADS or channel.parent_id != webhook.channel_id:
            raise unknown_channel()
        return webhook._replace(channel_id=thread_id)

    async def send(self, webhook: Webhook, draft: Draft, persona: Persona) -> bytes:
        """Say something; the message.

        Raises:
            RefusedError, UnknownOutcomeError, ApiError: as a message of a user.

        """
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self._place(webhook)
            place.require_messages()
            place = await self._threads.open(place, 0)
            mentioned, users = await self._access.mentioned(place, draft.written, draft.allowed)
            self._limits.take(webhook.id, webhook.channel_id, time.monotonic())
        author = User(id=webhook.id, username=persona.username, bot=True)
        more = _said_by(webhook, persona)
        attachments: list[Json] = []

        def make(ident: int) -> Record:
            built = build(
                ident,
                place.channel,
                author,
                None,
                draft,
                mentioned=mentioned,
                mentioned_users=users,
                attachments=attachments,
                more=more,
            )
            return message_record(place, "MESSAGE_CREATE", ident, webhook.id, built)

        if draft.files:
            attachments += await self._uploads.keep(webhook.channel_id, draft.files)
            deadline = answer_by()
        async with self._uploads.kept(attachments):
            sent = await self._sends.send(webhook.id, "", webhook.channel_id, make, deadline)
        return sent.body

    async def read(self, webhook: Webhook, message_id: int) -> bytes:
        """A message of the webhook. Raises: ApiError: 10008."""
        async with refusing(PREPARE_S):
            return (await self._message(webhook, message_id))[0]

    async def edit(self, webhook: Webhook, message_id: int, edit: Edit) -> bytes:
        """Edit a message of the webhook; its JSON afterwards. Raises as `send`; ApiError 10008."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self._place(webhook)
            place.require_open()
            _, message = await self._message(webhook, message_id)
            mentioned, users = None, list[User]()
            if (written := edit.written(message)) is not None:
                mentioned, users = await self._access.mentioned(place, written, edit.allowed)
        async with rewriting(
            self._uploads, webhook.channel_id, message, edit, mentioned=mentioned, users=users
        ) as built:
            if edit.files:
                deadline = answer_by()
            record = message_record(place, "MESSAGE_UPDATE", self._sends.next_id(), webhook.id, built)
            await self._sends.change(record, [message_id], built.body, deadline)
        return built.body

    async def delete(self, webhook: Webhook, message_id: int) -> None:
        """Delete a message of the webhook. Raises as `send`; ApiError 10008."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self._place(webhook)
            place.require_open()
            await self._message(webhook, message_id)
        payload = deletion(message_id, place.channel)
        record = record_of(place, "MESSAGE_DELETE", self._sends.next_id(), webhook.id, payload)
        await self._sends.change(record, [message_id], b"", deadline)

    async def _place(self, webhook: Webhook) -> Place:
        channel = await self._guilds.channel(webhook.channel_id)
        return Place(channel, await self._guilds.get(webhook.guild_id), None, _MAY)

    async def _message(self, webhook: Webhook, message_id: int) -> tuple[bytes, Json]:
        body = await self._history.message(webhook.channel_id, message_id)
        message: Json = msgspec.json.decode(body)
        if message.get("webhook_id") != str(webhook.id):
            raise unknown_message()
        return body, message


def _said_by(webhook: Webhook, persona: Persona) -> Json:
    author: Json = {
        "id": str(webhook.id),
        "username": persona.username,
        "discriminator": "0000",
        "global_name": None,
        "avatar": None,
        "bot": True,
        "public_flags": 0,
    }
    if persona.avatar_url:
        author["avatar_url"] = persona.avatar_url
    found: Json = {"author": author, "webhook_id": str(webhook.id)}
    if webhook.application_id:
        found["application_id"] = str(webhook.application_id)
    return found
