"""Accepting what clients send: one of three answers within 5 s, whatever Kafka, Redis or PostgreSQL do.

    accepted    Kafka has it
    refused     RefusedError: it was never handed to Kafka and never will be
    unknown     UnknownOutcomeError: handed over and not acknowledged; it will appear once or never

REST and the socket both come here, so both have the same checks, limits and idempotency.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fanfare.clock import now_s
from fanfare.ids import snowflake_ms
from fanfare.model import ANNOUNCEMENT, User
from fanfare.payloads import Json
from fanfare.permissions import P
from fanfare.record import Record
from fanfare.rights import WrongTypeError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.applied import Applied
from gateway.ingress.drafts import EDITABLE, SUPPRESS_EMBEDS, Draft, Edit, draft_of
from gateway.ingress.editing import rewriting
from gateway.ingress.errors import (
    ApiError,
    FormError,
    UnknownOutcomeError,
    forbidden,
    not_in_direct,
    unknown_message,
)
from gateway.ingress.forms import Form, body_of
from gateway.ingress.history import History
from gateway.ingress.limits import Quota, RateLimits
from gateway.ingress.message_payloads import CROSSPOSTED, Built, build, deletion, marked, typing
from gateway.ingress.nonce_rebuild import NonceRebuild
from gateway.ingress.pinning import Pinning
from gateway.ingress.purge import Purge
from gateway.ingress.reacting import Reacting
from gateway.ingress.records import PREPARE_S, answer_by, message_record, record_of
from gateway.ingress.redis_batch import RedisBatch
from gateway.ingress.sends import Sends, Sent
from gateway.ingress.slow_mode import Repetition, SlowMode
from gateway.ingress.threads import Threads
from gateway.ingress.uploads import UploadStore
from gateway.ingress.webhooks import WebhookMessages

if TYPE_CHECKING:
    from fanfare.mentions import Mentioned
    from gateway.interactions.assembly import Interactions

__all__ = ["Ingress"]

_READ_S: Final = 0.5
# Deleting many at once is for messages of the last 14 days.
_BULK_AGE_S: Final = 14 * 86_400


class Ingress:
    """What clients send, on its way into the log; and messages as they can be read."""

    def __init__(
        self,
        *,
        access: Access,
        applied: Applied,
        threads: Threads,
        history: History,
        reacting: Reacting,
        pinning: Pinning,
        interactions: "Interactions",
        sends: Sends,
        limits: RateLimits,
        slow_mode: SlowMode,
        nonces: NonceRebuild,
        uploads: UploadStore,
        webhooks: WebhookMessages,
        purge: Purge,
        batch: RedisBatch,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            access: who may do what where.
            applied: waits for changes to guilds.
            threads: what happens to them when something is said.
            history: messages as they can be read.
            reacting: reactions to messages.
            pinning: pinned messages.
            interactions: what users do with applications.
            sends: messages on their way.
            limits: of this node.
            slow_mode: of all nodes.
            nonces: brings them back where Redis has lost them.
            uploads: the files of messages.
            webhooks: messages of webhooks.
            purge: deletes what somebody has written.
            batch: Redis; closed with this.

        """
        self.access = access
        self.applied = applied
        self.threads = threads
        self.history = history
        self.reacting = reacting
        self.pinning = pinning
        self.interactions = interactions
        self._sends = sends
        self._limits = limits
        self._slow_mode = slow_mode
        self._nonces = nonces
        self._uploads = uploads
        self.webhooks = webhooks
        self.purge = purge
        self._batch = batch
        self._logger = logs.get("ingress")

    def start(self) -> None:
        """See to it that the nonces are known, however long that takes. Fan-outs wait for it."""
        self._nonces.begin()

    async def ready(self) -> None:
        """Wait until sends with a nonce are taken, too. Raises what went wrong with Redis or Kafka."""
        await self._nonces.unless_complete()

    @property
    def problem(self) -> str:
        """What keeps sends from being taken, and does not pass by itself; or ''."""
        return self._nonces.problem

    async def watch(self) -> None:
        """Look all the time whether nonces are missing in Redis, and bring them back; a supervised task."""
        await self._nonces.watch()

    def lost(self) -> None:
        """Redis has lost writes, nonces among them: bring them back."""
        self._nonces.begin()

    async def close(self) -> None:
        """Stop; what was handed over may still be accepted."""
        await self.threads.close()
        await self._sends.close()
        await self._nonces.close()
        await self._batch.close()

    def quota(self, user: User, channel_id: int) -> Quota:
        """What the user may still send to the channel now."""
        return self._limits.quota(user.id, channel_id, time.monotonic())

    async def send(
        self, author: User, channel_id: int, draft: Draft, *, read: bool = True, ident: int = 0
    ) -> Sent:
        """Send a message.

        Args:
            author: who sends it.
            channel_id: where to.
            draft: the message.
            read: also for a retry of what was accepted before, read its JSON.
            ident: the message's id, made just now; 0: it is made here.

        Raises:
            RefusedError: it will never appear.
            UnknownOutcomeError: it will appear once or never.
            ApiError: it must not be sent.

        """
        deadline = answer_by()
        nonce = str(draft.nonce) if draft.enforce_nonce and draft.nonce is not None else ""
        async with refusing(PREPARE_S):
            place = await self.access.place(author, channel_id)
            _check(place, draft)
            place = await self.threads.open(place, author.id)
            replied = await self._replied(place, draft)
            replied_to = int(replied["author"]["id"]) if replied is not None else 0
            mentioned, users = await self.access.mentioned(place, draft.written, draft.allowed, replied_to)
            self._limits.take(author.id, channel_id, time.monotonic())
            turn = await self._slow_mode.take(place, author.id, nonce)
        attachments: list[Json] = []

        def make(ident: int) -> Record:
            if isinstance(turn, Repetition):
                turn.check(ident)
            built = build(
                ident,
                place.channel,
                author,
                place.member,
                draft,
                mentioned=mentioned,
                mentioned_users=users,
                replied=replied,
                attachments=attachments,
            )
            return message_record(place, "MESSAGE_CREATE", ident, author.id, built, nonce=nonce)

        try:
            if draft.files:
                attachments += await self._uploads.keep(channel_id, draft.files)
                deadline = answer_by()
            sent = await self._sends.send(author.id, nonce, channel_id, make, deadline, ident=ident)
        except UnknownOutcomeError:
            raise
        except BaseException:
            await self._uploads.drop(attachments)
            await self._slow_mode.give_back(turn)
            raise
        self.threads.said(place, author, users)
        if not sent.body:
            # It was sent before: this try has sent nothing.
            await self._uploads.drop(attachments)
            await self._slow_mode.give_back(turn)
        if sent.body or not read:
            return sent
        try:
            async with refusing(_READ_S):
                return sent._replace(body=await self.history.message(sent.channel, sent.id))
        except ApiError:
            if sent.channel != channel_id:
                raise
            # The message cannot be found now, or was deleted since: answer what it must have been.
            return sent._replace(body=make(sent.id).payload)

    async def publish(self, user: User, body: Mapping[str, Any] | bytes) -> Json:
        """Send the message in op 128.

        Args:
            user: who sends it.
            body: its `d`: the body of POST /channels/{id}/messages, and `channel_id`.

        Returns:
            The `d` of op 129: `nonce`, and either `id` and `channel_id` or `error`.

        """
        nonce = None
        try:
            decoded = body_of(body) if isinstance(body, bytes) else body
            nonce = decoded.get("nonce") if isinstance(decoded, Mapping) else None
            form = Form(decoded)
            channel_id = form.snowflake("channel_id", required=True)
            # Over the socket a nonce is how a client finds its answer, so it always binds.
            draft = draft_of(form, enforce_nonce=True)
            sent = await self.send(user, channel_id or 0, draft, read=False)
        except ApiError as error:
            return {"nonce": nonce, "error": error.socket()}
        except Exception:
            self._logger.exception("a send failed", action=Action.REQUEST_FAILED)
            return {"nonce": nonce, "error": ApiError(500, 0, "500: Internal Server Error").socket()}
        return {"nonce": nonce, "id": str(sent.id), "channel_id": str(sent.channel)}

    async def edit(self, user: User, channel_id: int, message_id: int, edit: Edit) -> bytes:
        """Edit a message; its JSON afterwards. Raises as `send`; ApiError 10008, 50005."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            place.require_open()
            message = await self._stored(channel_id, message_id)
            if int(message["author"]["id"]) != user.id:
                _check_moderator(place, edit, message)
            else:
                _check_says(place, has_embeds=bool(edit.embeds), has_files=bool(edit.files))
            mentioned: Mentioned | None = None
            users: list[User] = []
            if (written := edit.written(message)) is not None:
                mentioned, users = await self.access.mentioned(place, written, edit.allowed)
        async with rewriting(
            self._uploads, channel_id, message, edit, mentioned=mentioned, users=users
        ) as built:
            if edit.files:
                deadline = answer_by()
            return await self._rewrite(user, place, message_id, built, deadline)

    async def mark(self, user: User, channel_id: int, message_id: int, flag: int, **more: Any) -> bytes:
        """Note in a message what has become of it; its JSON afterwards.

        Args:
            user: who did that.
            channel_id: where.
            message_id: which.
            flag: what it was.
            more: fields that the message gets.

        Raises:
            RefusedError, UnknownOutcomeError, ApiError: as for an edit.

        """
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            built = marked(await self._stored(channel_id, message_id), flag, **more)
        return await self._rewrite(user, place, message_id, built, deadline)

    async def _rewrite(
        self, user: User, place: Place, message_id: int, built: Built, deadline: float
    ) -> bytes:
        record = message_record(place, "MESSAGE_UPDATE", self._sends.next_id(), user.id, built)
        await self._sends.change(record, [message_id], built.body, deadline)
        return built.body

    async def crosspost(self, user: User, channel_id: int, message_id: int) -> bytes:
        """Publish a message of an announcement channel; its JSON afterwards. Raises as `mark`; ApiError: 40033."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            if place.channel.type != ANNOUNCEMENT:
                raise WrongTypeError
            place.require(P.SEND_MESSAGES)
            message = await self._stored(channel_id, message_id)
            if int(message["author"]["id"]) != user.id:
                place.require(P.MANAGE_MESSAGES)
            if message["flags"] & CROSSPOSTED:
                raise ApiError(400, 40033, "This message has already been crossposted.")
        return await self._rewrite(user, place, message_id, marked(message, CROSSPOSTED), deadline)

    async def delete(self, user: User, channel_id: int, message_id: int) -> None:
        """Delete a message. Raises as `send`; ApiError 10008, 50013."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            place.require_open()
            message = await self._stored(channel_id, message_id)
            if int(message["author"]["id"]) != user.id:
                place.require(P.MANAGE_MESSAGES)
        payload = deletion(message_id, place.channel)
        record = record_of(place, "MESSAGE_DELETE", self._sends.next_id(), user.id, payload)
        await self._sends.change(record, [message_id], b"", deadline)

    async def delete_many(self, user: User, channel_id: int, message_ids: list[int]) -> None:
        """Delete messages; those that do not exist do not matter. Raises as `send`; ApiError 50034."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            if place.guild is None:
                raise not_in_direct()
            place.require_open()
            place.require(P.MANAGE_MESSAGES)
            oldest = (now_s() - _BULK_AGE_S) * 1000
            if any(snowflake_ms(ident) < oldest for ident in message_ids):
                raise ApiError(400, 50034, "You can only bulk delete messages that are under 14 days old.")
            known = await asyncio.gather(*(self.history.exists(channel_id, one) for one in message_ids))
            there = [one for one, is_there in zip(message_ids, known, strict=True) if is_there]
        if not there:
            return
        payload = deletion(there, place.channel)
        record = record_of(place, "MESSAGE_DELETE_BULK", self._sends.next_id(), user.id, payload)
        await self._sends.change(record, there, b"", deadline)

    async def typing(self, user: User, channel_id: int) -> None:
        """Say that somebody types. Raises as `send`."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            place.require_open()
            place.require(P.SEND_MESSAGES)
        payload = typing(user, place.channel, place.member, datetime.now(UTC))
        record = record_of(place, "TYPING_START", self._sends.next_id(), user.id, payload)
        await self._sends.change(record, [], b"", deadline)

    async def message(self, user: User, channel_id: int, message_id: int) -> bytes:
        """A message as it is now. Raises: ApiError."""
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            place.require_messages()
            place.require(P.READ_MESSAGE_HISTORY)
            body = await self.history.message(channel_id, message_id)
            # The message may be known while the database is away, and then its reactions are not.
            return (await self.reacting.seen.attach(channel_id, [body], user.id, certain=False))[0]

    async def may_attach(self, user: User, channel_id: int) -> None:
        """Before files are read: whether the user may send any to the channel. Raises: ApiError."""
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            _check_says(place, has_embeds=False, has_files=True)

    async def messages(
        self,
        user: User,
        channel_id: int,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int = 50,
    ) -> list[bytes]:
        """A page of a channel's messages, newest first; empty for a user who may not read the history.

        Arguments as of `History.messages`. Raises ApiError.
        """
        async with refusing(PREPARE_S):
            place = await self.access.place(user, channel_id)
            place.require_messages()
            if not place.may(P.READ_MESSAGE_HISTORY):
                return []
            page = await self.history.messages(
                channel_id, before=before, after=after, around=around, limit=limit
            )
            return await self.reacting.seen.attach(channel_id, page, user.id)

    async def _stored(self, channel_id: int, message_id: int) -> Json:
        message: Json = msgspec.json.decode(await self.history.message(channel_id, message_id))
        return message

    async def _replied(self, place: Place, draft: Draft) -> Json | None:
        """The message that a draft replies to."""
        reference = draft.reference
        if reference is None:
            return None
        if reference.channel_id not in {0, place.channel.id}:
            raise FormError.at("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        if not place.may(P.READ_MESSAGE_HISTORY):
            raise ApiError(403, 160002, "You cannot reply without permission to read message history")
        try:
            return await self._stored(place.channel.id, reference.message_id)
        except ApiError as error:
            if error.code != unknown_message().code:
                raise
            if reference.must_exist:
                said = FormError.at("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
                raise said from None
            return None


def _check(place: Place, draft: Draft) -> None:
    """Raises: ApiError: this must not be sent here."""
    _check_says(place, has_embeds=bool(draft.embeds), has_files=bool(draft.files))
    if draft.tts and place.guild is not None:
        place.require(P.SEND_TTS_MESSAGES)


def _check_says(place: Place, *, has_embeds: bool, has_files: bool) -> None:
    """What an edit says wants the same rights as if it was sent. Raises: ApiError."""
    place.require_messages()
    place.require(P.SEND_MESSAGES)
    if has_embeds:
        place.require(P.EMBED_LINKS)
    if has_files:
        place.require(P.ATTACH_FILES)


def _check_moderator(place: Place, edit: Edit, message: Json) -> None:
    """A moderator may hide the embeds of another user's message; nobody may edit anything else of it."""
    if not (edit.flags_only and edit.flags is not None):
        raise ApiError(403, 50005, "Cannot edit a message authored by another user")
    if (message["flags"] ^ edit.flags) & EDITABLE & ~SUPPRESS_EMBEDS:
        raise forbidden()
    place.require(P.MANAGE_MESSAGES)
