"""An application answers an interaction: callbacks, the original answer, and further messages.

What only the user may see is a record for this user alone. It is not archived and in no history; it is kept in Redis
for as long as the application may change it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from fanfare.model import User
from fanfare.payloads import Json
from fanfare.record import USERS, Record
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.attachments import Part
from gateway.ingress.drafts import Draft, Edit, read_draft, read_edit
from gateway.ingress.editing import rewriting
from gateway.ingress.errors import ApiError, FormError, RefusedError, unknown_message
from gateway.ingress.forms import Form
from gateway.ingress.history import History
from gateway.ingress.interfaces import Guilds
from gateway.ingress.message_payloads import build, deletion
from gateway.ingress.records import PREPARE_S, answer_by, message_record, record_of
from gateway.ingress.sends import Sends
from gateway.ingress.uploads import UploadStore
from gateway.interactions.dialogues import read_choices, read_dialogue
from gateway.interactions.objects import COMMAND, COMPLETE, COMPONENT, SUBMIT, metadata
from gateway.interactions.state import (
    Interaction,
    State,
    TokensOf,
    flags_of,
    put_ephemeral,
    unknown_interaction,
    unknown_webhook,
)

__all__ = ["ORIGINAL", "Responding"]

ORIGINAL: Final = "@original"
_EPHEMERAL: Final = 1 << 6
_LOADING: Final = 1 << 7
_CALLED: Final = 20

PONG, SAY, SAY_LATER, CHANGE_LATER, CHANGE, COMPLETED, OPEN = 1, 4, 5, 6, 7, 8, 9
_FITS: Final = {
    COMMAND: (SAY, SAY_LATER, OPEN),
    COMPONENT: (SAY, SAY_LATER, CHANGE_LATER, CHANGE, OPEN),
    COMPLETE: (COMPLETED,),
    SUBMIT: (SAY, SAY_LATER, CHANGE_LATER, CHANGE),
}

_encode = msgspec.json.Encoder().encode


class _Case(NamedTuple):
    """An interaction, with those that it is between."""

    interaction: Interaction
    notes: dict[str, str]
    user: User
    bot: User
    place: Place
    """The channel, as the application meets it."""


class Responding:
    """Takes what applications answer."""

    def __init__(
        self,
        *,
        access: Access,
        guilds: Guilds,
        history: History,
        sends: Sends,
        state: State,
        tokens: TokensOf,
        uploads: UploadStore,
    ) -> None:
        """Prepare. Arguments as of `Invoking`; uploads: the files of messages."""
        self._access = access
        self._guilds = guilds
        self._history = history
        self._sends = sends
        self._state = state
        self._tokens = tokens
        self._uploads = uploads

    def of_token(self, token: str) -> int | None:
        """The interaction that a token is of; None: it is no such token."""
        return self._tokens.verify(token)

    async def callback(self, ident: int, token: str, body: Any, parts: Sequence[Part] = ()) -> Json:
        """The first answer.

        Args:
            ident: of the interaction.
            token: of it.
            body: what is answered.
            parts: the files that came with it.

        Returns:
            What is answered if the application asks for it.

        Raises:
            FormError: fields are wrong.
            ApiError: 10062; 40060: it was answered before.
            RefusedError, UnknownOutcomeError: as for a message.

        """
        if self._tokens.verify(token) != ident:
            raise unknown_interaction()
        form = Form(body)
        kind = form.integer("type", required=True) or 0
        form.check()
        async with refusing(PREPARE_S):
            case = await self._case(ident, unknown_interaction())
            interaction = case.interaction
            if kind == PONG or kind not in _FITS[interaction.type]:
                raise FormError.at(
                    "type", "BASE_TYPE_CHOICES", f"Value must be one of {_FITS[interaction.type]}."
                )
            if kind in {CHANGE, CHANGE_LATER} and not interaction.message:
                raise FormError.at("type", "BASE_TYPE_CHOICES", "There is no message to change.")
            data = form.raw("data") if form.raw("data") is not None else {}
            try:
                answer = _read(kind, data, parts)
            except FormError as error:
                raise FormError({"data": error.errors or {}}) from None
            await self._state.claim(ident, kind)
        try:
            message = await self._carry_out(
                case, kind, answer, flags_of(data) if isinstance(data, dict) else 0
            )
        except RefusedError:
            await self._state.give_back(ident)
            raise
        return _said(interaction, kind, message)

    async def _carry_out(self, case: _Case, kind: int, answer: Any, flags: int) -> Json | None:
        interaction = case.interaction
        match kind:
            case 4 | 5:
                draft = answer if isinstance(answer, Draft) else Draft()
                flags = (flags & _EPHEMERAL) | (_LOADING if kind == SAY_LATER else 0)
                more = {"type": _CALLED} if interaction.type == COMMAND else {}
                message = await self._say(case, draft, flags, more)
                notes = {"original": message["id"]} | ({"deferred": "1"} if kind == SAY_LATER else {})
                await self._state.note(interaction.id, **notes)
                return message
            case 6 | 7:
                await self._state.note(interaction.id, original=str(interaction.message), **_of_message(case))
                if kind == CHANGE:
                    return await self._change(case, interaction.message, answer)
                await self._tell(case, "INTERACTION_SUCCESS", {})
            case 8:
                await self._tell(case, "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", {"choices": answer})
            case 9:
                await self._state.note(interaction.id, dialogue=_encode(answer).decode())
                opened = answer | {
                    "application": {"id": str(interaction.application)},
                    "channel_id": str(interaction.channel),
                }
                await self._tell(case, "INTERACTION_MODAL_CREATE", opened)
        return None

    async def follow_up(self, ident: int, body: Any, parts: Sequence[Part] = ()) -> bytes:
        """A further message; the first one after "later" is the answer itself. Raises as `callback`."""
        draft = read_draft(body, parts)
        async with refusing(PREPARE_S):
            case = await self._answered(ident)
        if case.notes.get("deferred") == "1":
            return await self.change(ident, ORIGINAL, body, parts)
        message = await self._say(case, draft, flags_of(body) & _EPHEMERAL, {})
        return _encode(message)

    async def read(self, ident: int, which: str) -> bytes:
        """One of the messages of an interaction. Raises: ApiError: 10015, 10008."""
        async with refusing(PREPARE_S):
            case = await self._answered(ident)
            _, message = await self._message(case, _meant(case, which))
        return _encode(message)

    async def change(self, ident: int, which: str, body: Any, parts: Sequence[Part] = ()) -> bytes:
        """Change one of them; its JSON afterwards. Raises as `callback`."""
        edit = read_edit(body, parts)
        async with refusing(PREPARE_S):
            case = await self._answered(ident)
        message = await self._change(case, _meant(case, which), edit)
        if which == ORIGINAL and case.notes.get("deferred") == "1":
            await self._state.note(ident, deferred="0")
        return _encode(message)

    async def delete(self, ident: int, which: str) -> None:
        """Delete one of them. Raises as `callback`."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            case = await self._answered(ident)
            message_id = _meant(case, which)
            ephemeral, _ = await self._message(case, message_id)
        bot, place = case.bot, case.place
        payload = deletion(message_id, place.channel)
        record = record_of(place, "MESSAGE_DELETE", self._sends.next_id(), bot.id, payload)
        if ephemeral:
            note = partial(put_ephemeral, message=message_id, body=b"")
            await self._sends.produce(_private(record, case), note, deadline)
        else:
            await self._sends.change(record, [message_id], b"", deadline)

    async def _say(self, case: _Case, draft: Draft, flags: int, more: Json) -> Json:
        """A new message of the application. Returns it."""
        interaction, bot, place = case.interaction, case.bot, case.place
        async with refusing(PREPARE_S):
            mentioned, users = await self._access.mentioned(place, draft.written, draft.allowed)
        more = metadata(interaction, case.user) | {"flags": draft.flags | flags} | more
        attachments = await self._uploads.keep(place.channel.id, draft.files)
        deadline = answer_by()

        def make(ident: int) -> Record:
            built = build(
                ident,
                place.channel,
                bot,
                None,
                draft,
                mentioned=mentioned,
                mentioned_users=users,
                attachments=attachments,
                more=more,
            )
            return message_record(place, "MESSAGE_CREATE", ident, bot.id, built)

        async with self._uploads.kept(attachments):
            if flags & _EPHEMERAL:
                record = _private(make(self._sends.next_id()), case)
                note = partial(put_ephemeral, message=record.id, body=record.payload)
                await self._sends.produce(record, note, deadline)
                body = record.payload
            else:
                body = (await self._sends.send(bot.id, "", place.channel.id, make, deadline)).body
        message: Json = msgspec.json.decode(body)
        await self._state.note(interaction.id, **{f"m{message['id']}": "1"})
        return message

    async def _change(self, case: _Case, message_id: int, edit: Edit) -> Json:
        place = case.place
        async with refusing(PREPARE_S):
            ephemeral, message = await self._message(case, message_id)
            mentioned, users = None, list[User]()
            if (written := edit.written(message)) is not None:
                mentioned, users = await self._access.mentioned(place, written, edit.allowed)
        message["flags"] &= ~_LOADING
        async with rewriting(
            self._uploads, place.channel.id, message, edit, mentioned=mentioned, users=users
        ) as built:
            deadline = answer_by()
            record = message_record(place, "MESSAGE_UPDATE", self._sends.next_id(), case.bot.id, built)
            if ephemeral:
                note = partial(put_ephemeral, message=message_id, body=built.body)
                await self._sends.produce(_private(record, case), note, deadline)
            else:
                await self._sends.change(record, [message_id], built.body, deadline)
        after: Json = msgspec.json.decode(built.body)
        return after

    async def _tell(self, case: _Case, name: str, payload: Json) -> None:
        """Tell the user alone what has become of it."""
        interaction = case.interaction
        body = _encode({"id": str(interaction.id), "nonce": interaction.nonce} | payload)
        record = record_of(case.place, name, self._sends.next_id(), case.bot.id, body)
        await self._sends.produce(_private(record, case), None, answer_by())

    async def _case(self, ident: int, missing: ApiError) -> _Case:
        found = await self._state.find(ident)
        if found is None:
            raise missing
        interaction, notes = found
        users = await self._guilds.users([interaction.user, interaction.application])
        if len(users) < len({interaction.user, interaction.application}):
            raise missing
        bot = users[interaction.application]
        place = await self._access.anywhere(bot, interaction.channel)
        return _Case(interaction, notes, users[interaction.user], bot, place)

    async def _answered(self, ident: int) -> _Case:
        """An interaction that has its first answer. Raises: ApiError: 10015."""
        case = await self._case(ident, unknown_webhook())
        if "answer" not in case.notes:
            raise unknown_webhook()
        return case

    async def _message(self, case: _Case, message_id: int) -> tuple[bool, Json]:
        """A message of an interaction, and whether only the user has it. Raises: ApiError: 10008."""
        body = await self._state.ephemeral(message_id)
        if body is not None:
            return True, msgspec.json.decode(body)
        stored = await self._history.stored(case.interaction.channel, message_id)
        return False, msgspec.json.decode(stored)


def _read(kind: int, data: Any, parts: Sequence[Part]) -> Any:
    """The `data` of a callback, checked. Raises: FormError."""
    if parts and kind not in {SAY, CHANGE}:
        raise FormError.at("files", "BASE_TYPE_UNSUPPORTED", "No files are taken here.")
    match kind:
        case 4:
            return read_draft(data, parts)
        case 7:
            return read_edit(data, parts)
        case 8 | 9:
            form = Form(data)
            found = read_choices(form) if kind == COMPLETED else read_dialogue(form)
            form.check()
            return found
        case _:
            return None


def _meant(case: _Case, which: str) -> int:
    """The id of a message of the interaction. Raises: ApiError: 10008, it is none."""
    ident = case.notes.get("original", "") if which == ORIGINAL else which
    if not ident or (which != ORIGINAL and f"m{ident}" not in case.notes):
        raise unknown_message()
    return int(ident)


def _of_message(case: _Case) -> dict[str, str]:
    return {f"m{case.interaction.message}": "1"}


def _private(record: Record, case: _Case) -> Record:
    """For the user alone."""
    return replace(record, audience=USERS, users=(case.interaction.user,))


def _said(interaction: Interaction, kind: int, message: Json | None) -> Json:
    flags = message["flags"] if message is not None else 0
    told: Json = {"id": str(interaction.id), "type": interaction.type}
    found: Json = {"interaction": told, "resource": {"type": kind}}
    if message is not None:
        told |= {
            "response_message_id": message["id"],
            "response_message_loading": bool(flags & _LOADING),
            "response_message_ephemeral": bool(flags & _EPHEMERAL),
        }
        found["resource"]["message"] = message
    return found
