"""Messages: what clients may send, and the payload bytes that everybody gets, encoded once.

Pure, but for a count of what was encoded.

A payload begins with the fields that the MESSAGE_CONTENT intent gates, next to each other, so that the
variant without them is a splice (`gateway.protocol.frames.splice`) and not a second encoding. What a reply refers to
is one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from fanfare.mentions import ALLOW_ALL, Allowed, Written, find
from fanfare.payloads import Json
from gateway.ingress import components, embeds
from gateway.ingress.attachments import Kept, Part, Upload, read_files
from gateway.ingress.errors import FormError, empty_message
from gateway.ingress.forms import Form

__all__ = [
    "COMPONENTS_V2",
    "EDITABLE",
    "MAX_BYTES",
    "MAX_CONTENT",
    "SUPPRESS_EMBEDS",
    "Draft",
    "Edit",
    "Reference",
    "check_bytes",
    "check_kind",
    "draft_of",
    "read_draft",
    "read_edit",
]

MAX_CONTENT: Final = 2000
MAX_NONCE: Final = 25
MAX_BYTES: Final = 32 * 1024
"""JSON of content, embeds and components together. Their own limits are in characters, and add up to 150 kB."""

SUPPRESS_EMBEDS: Final = 1 << 2
SUPPRESS_NOTIFICATIONS: Final = 1 << 12
COMPONENTS_V2: Final = 1 << 15
_FLAGS: Final = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | COMPONENTS_V2
EDITABLE: Final = SUPPRESS_EMBEDS | COMPONENTS_V2
"""Flags that an edit may set and take away."""
_VOICE_MESSAGE: Final = 1 << 13
# What Discord's messages have and ours do not.
_UNSUPPORTED: Final = {
    "files": "Files are parts of a multipart body.",
    "poll": "Polls are not supported here.",
    "sticker_ids": "Stickers are not supported here.",
    "shared_client_theme": "Themes are not supported here.",
    "activity": "Activities are not supported here.",
    "thread_name": "Make the thread first, with POST /channels/{id}/threads.",
    "applied_tags": "Say the tags of a thread where it is made: POST /channels/{id}/threads.",
    "avatar_url": "Only webhooks have an avatar of their own.",
    "username": "Only webhooks have a name of their own.",
}

_LEGACY: Final = (
    "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
    "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2",
)
# The text is so short that it cannot be too many bytes.
_SHORT: Final = 1000
_encode = msgspec.json.Encoder().encode


class Reference(NamedTuple):
    """What a message replies to."""

    message_id: int
    channel_id: int
    """0: the channel of the reply."""
    must_exist: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that a client wants to send, checked."""

    content: str = ""
    embeds: tuple[Json, ...] = ()
    components: tuple[Any, ...] = ()
    allowed: Allowed = ALLOW_ALL
    reference: Reference | None = None
    flags: int = 0
    tts: bool = False
    nonce: str | int | None = None
    enforce_nonce: bool = False
    """The same nonce from the same author in the same channel again is the same message."""
    files: tuple[Upload, ...] = ()

    @property
    def written(self) -> Written:
        """The mentions in what it says."""
        return find(_said(self.content, self.components))


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Changes to a message. None: left as it is."""

    content: str | None = None
    embeds: tuple[Json, ...] | None = None
    components: tuple[Any, ...] | None = None
    allowed: Allowed = ALLOW_ALL
    flags: int | None = None
    files: tuple[Upload, ...] = ()
    """New ones."""
    kept: tuple[Kept, ...] | None = None
    """Files of the message that stay; None: all."""

    def written(self, message: Json) -> Written | None:
        """The mentions in what a message says after the edit; None: it says what it said."""
        v2 = (message["flags"] | (self.flags or 0)) & COMPONENTS_V2
        if self.content is None and (self.components is None or not v2):
            return None
        content = message["content"] if self.content is None else self.content
        return find(_said(content, message["components"] if self.components is None else self.components))

    @property
    def flags_only(self) -> bool:
        """Nothing but flags changes: what moderators may do to the messages of others."""
        return (
            self.content is None
            and self.embeds is None
            and self.components is None
            and self.kept is None
            and not self.files
        )


def read_draft(body: Any, parts: Sequence[Part] = ()) -> Draft:
    """The message in the body of POST /channels/{id}/messages. Raises as `draft_of`."""
    return draft_of(Form(body), parts)


def draft_of(form: Form, parts: Sequence[Part] = (), *, enforce_nonce: bool = False) -> Draft:
    """The message in a form, of which other fields may have been read already.

    Args:
        form: what is said.
        parts: the files that came with it.
        enforce_nonce: its nonce binds whatever it says itself.

    Raises:
        FormError: fields are wrong, those read before included.
        ApiError: 50006, there is nothing to send.

    """
    flags = _flags(form)
    v2 = bool(flags & COMPONENTS_V2)
    files, kept = read_files(form, parts)
    if kept:
        form.fail("attachments", "ATTACHMENT_NOT_FOUND", f'There is no file "{kept[0].id}" in the request.')
    draft = Draft(
        content=form.text("content", longest=MAX_CONTENT) or "",
        embeds=tuple(_embeds(form) or ()),
        components=tuple((components.layout if v2 else components.rows)(form) or ()),
        allowed=form.child("allowed_mentions", _allowed) or ALLOW_ALL,
        reference=form.child("message_reference", _reference),
        flags=flags,
        tts=form.boolean("tts") or False,
        nonce=_nonce(form),
        enforce_nonce=form.boolean("enforce_nonce") or enforce_nonce,
        files=files,
    )
    _refuse_unsupported(form)
    if v2:
        _refuse_beside_layout(form)
    form.check()
    check_bytes(draft.content, draft.embeds, draft.components, files)
    if not (draft.content.strip() or draft.embeds or draft.components or files):
        raise empty_message()
    return draft


def read_edit(body: Any, parts: Sequence[Part] = ()) -> Edit:
    """The changes in the body of PATCH /channels/{id}/messages/{id}, and the files that came with it.

    Raises:
        FormError: fields are wrong.

    """
    form = Form(body)
    flags = _flags(form) if form.raw("flags") is not None else None
    v2 = bool((flags if flags is not None else 0) & COMPONENTS_V2)
    content, found = form.text("content", longest=MAX_CONTENT), _embeds(form)
    if "components" in form:
        # Without flags the edit may be for either kind of message. Components that fit neither kind are wrong.
        layout = v2 or (flags is None and _has_layout(form.raw("components")))
        listed = (components.layout if layout else components.rows)(form)
    else:
        listed = None
    files, kept = read_files(form, parts)
    edit = Edit(
        content=(content or "") if "content" in form else None,
        embeds=tuple(found or ()) if "embeds" in form or "embed" in form else None,
        components=tuple(listed or ()) if "components" in form else None,
        allowed=form.child("allowed_mentions", _allowed) or ALLOW_ALL,
        flags=None if flags is None else flags & EDITABLE,
        files=files,
        kept=kept,
    )
    _refuse_unsupported(form)
    if v2:
        _refuse_beside_layout(form)
    form.check()
    check_bytes(edit.content or "", edit.embeds or (), edit.components or (), files)
    return edit


def _embeds(form: Form) -> list[Json] | None:
    found = form.children("embeds", embeds.embed, most=embeds.MAX_EMBEDS)
    if found is not None and form.raw("embed") is not None:
        form.fail("embed", "BASE_TYPE_UNSUPPORTED", "Put it into embeds: there is one list of embeds.")
    elif found is None and (one := form.child("embed", embeds.embed)) is not None:
        found = [one]
    if found and embeds.length(found) > embeds.MAX_LENGTH:
        said = f"Embed size exceeds maximum size of {embeds.MAX_LENGTH}"
        form.fail("embeds", "MAX_EMBED_SIZE_EXCEEDED", said)
    return found


def _said(content: str, listed: Sequence[Json]) -> str:
    return f"{content}\n{components.texts(listed)}" if listed else content


def _flags(form: Form) -> int:
    flags = form.integer("flags") or 0
    if flags & _VOICE_MESSAGE:
        form.fail("flags", "BASE_TYPE_UNSUPPORTED", "Voice messages are not supported here.")
    return flags & _FLAGS


def _has_layout(listed: Any) -> bool:
    """Whether something else than rows is in a list of components."""
    found = listed if isinstance(listed, list) else []
    return any(isinstance(one, Mapping) and one.get("type") != 1 for one in found)


def _refuse_unsupported(form: Form) -> None:
    for key in _UNSUPPORTED.keys() & form.body.keys():
        form.refuse(key, _UNSUPPORTED[key])


def _refuse_beside_layout(form: Form) -> None:
    """A message of components says everything by them."""
    for key in ("content", "embeds", "embed"):
        if form.raw(key) not in (None, "", []):
            form.fail(key, *_LEGACY)


def check_kind(message: Json) -> None:
    """Check a message after an edit. Raises: FormError: its content does not go with its flags."""
    v2 = bool(message["flags"] & COMPONENTS_V2)
    if v2 and (message["content"] or message["embeds"]):
        raise FormError.at("content", *_LEGACY)
    if not v2 and any(one["type"] != 1 for one in message["components"]):
        said = "Without MessageFlags.IS_COMPONENTS_V2 there are action rows only."
        raise FormError.at("components", "UNION_TYPE_CHOICES", said)


def check_bytes(
    content: str, found: Sequence[Json], listed: Sequence[Json], files: Sequence[Upload | Json] = ()
) -> None:
    """Raises: FormError: content, embeds, components and what is said of files are too many bytes together."""
    if len(content) < _SHORT and not found and not listed and not files:
        return
    about = [(one.title, one.description) if isinstance(one, Upload) else one for one in files]
    if len(_encode([content, found, listed, about])) > MAX_BYTES:
        said = f"A message may have {MAX_BYTES} bytes in all."
        raise FormError({"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": said}]})


def _nonce(form: Form) -> str | int | None:
    nonce: Any = form.raw("nonce")
    if nonce is None or nonce == "":
        return None
    if isinstance(nonce, bool) or not isinstance(nonce, str | int):
        form.fail("nonce", "STRING_TYPE_CONVERT", "Must be a string or a number.")
        return None
    if isinstance(nonce, int) and not -(1 << 63) <= nonce < (1 << 64):
        # Clients may send any number, and no encoder of ours takes one that is larger.
        nonce = str(nonce) if nonce.bit_length() < 128 else "?" * (MAX_NONCE + 1)
    if len(str(nonce)) > MAX_NONCE:
        form.fail("nonce", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_NONCE} or fewer in length.")
        return None
    checked: str | int = nonce
    return checked


def _reference(form: Form) -> Reference | None:
    if form.integer("type") not in {None, 0}:
        form.fail("type", "BASE_TYPE_CHOICES", "Messages cannot be forwarded here.")
    message_id = form.snowflake("message_id", required=True)
    channel_id = form.snowflake("channel_id")
    must_exist = form.boolean("fail_if_not_exists")
    return Reference(message_id or 0, channel_id or 0, must_exist=must_exist is not False)


def _allowed(form: Form) -> Allowed:
    parse = form.words("parse", known=("users", "roles", "everyone")) or []
    users = form.snowflakes("users", most=100)
    roles = form.snowflakes("roles", most=100)
    for key, listed in (("users", users), ("roles", roles)):
        if key in parse and listed:
            said = f'parse:["{key}"] and {key}: [ids...] are mutually exclusive.'
            form.fail("parse", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", said)
    return Allowed(
        None if "users" in parse else frozenset(users or ()),
        None if "roles" in parse else frozenset(roles or ()),
        everyone="everyone" in parse,
        replied_user=form.boolean("replied_user") or False,
    )
