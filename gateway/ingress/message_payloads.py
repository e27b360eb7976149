"""The payloads that everybody gets of what clients send, encoded once. Pure.

A payload begins with the fields that the MESSAGE_CONTENT intent gates, next to each other, so that the
variant without them is a splice (`gateway.protocol.frames.splice`) and not a second encoding. What a reply refers to
is one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from fanfare import payloads
from fanfare.ids import snowflake_ms
from fanfare.mentions import Mentioned
from fanfare.model import DM, GROUP_DM, Channel, Member, User
from fanfare.payloads import Json
from gateway.ingress.attachments import resolved
from gateway.ingress.drafts import SUPPRESS_EMBEDS, Draft, Edit, check_bytes, check_kind
from gateway.ingress.errors import empty_message

__all__ = [
    "CROSSPOSTED",
    "HAS_THREAD",
    "PINNED_AT",
    "Built",
    "build",
    "deletion",
    "edited",
    "marked",
    "moment_of",
    "pinned",
    "typing",
    "where",
    "without_reference",
]

PINNED_AT: Final = "pinned_timestamp"
"""A field of ours in pinned messages."""
CROSSPOSTED: Final = 1 << 0
"""A flag of messages that were published from an announcement channel."""
HAS_THREAD: Final = 1 << 5
"""A flag of messages that threads were made of, which have their ids."""
_DEFAULT: Final = 0
_REPLY: Final = 19

_GATED: Final = ("content", "embeds", "attachments", "components", "referenced_message")

_encode = msgspec.json.Encoder().encode


class Built(NamedTuple):
    """A payload, and what its record says about it."""

    body: bytes
    gated: tuple[int, int]
    """Byte range [start, end) of the fields that MESSAGE_CONTENT gates."""
    mentions: tuple[int, ...]
    """Users mentioned, once each."""


def build(
    message_id: int,
    channel: Channel,
    author: User,
    member: Member | None,
    draft: Draft,
    *,
    mentioned: Mentioned,
    mentioned_users: Iterable[User] = (),
    replied: Json | None = None,
    attachments: Sequence[Json] = (),
    more: Mapping[str, Any] | None = None,
) -> Built:
    """A new message.

    Args:
        message_id: also says when it was sent.
        channel: of a guild, or direct.
        author: who sent it.
        member: the author in the guild; None in a direct channel.
        draft: what was sent.
        mentioned: whom it mentions in effect.
        mentioned_users: the users in `mentioned` that exist.
        replied: the message it replies to, as stored; None: the draft's reference, if any, is dropped.
        attachments: its files, stored.
        more: fields that are there besides, or instead.

    """
    users = list(mentioned_users)
    message: Json = {
        "content": draft.content,
        "embeds": resolved(list(draft.embeds), attachments),
        "attachments": list(attachments),
        "components": resolved(list(draft.components), attachments),
    }
    if replied is not None:
        message["referenced_message"] = without_reference(replied)
    message |= {
        "id": str(message_id),
        "channel_id": str(channel.id),
        "type": _DEFAULT if replied is None else _REPLY,
        "author": payloads.user(author),
    }
    if channel.type in {DM, GROUP_DM}:
        message["channel_type"] = channel.type
    else:
        message["guild_id"] = str(channel.guild_id)
        if member is not None:
            message["member"] = payloads.member(member, with_user=False)
    message |= {
        "timestamp": moment_of(message_id),
        "edited_timestamp": None,
        "tts": draft.tts,
        "pinned": False,
        "flags": draft.flags,
    } | _mentions(mentioned, users)
    if replied is not None:
        message["message_reference"] = {
            "type": 0,
            "message_id": replied["id"],
            "channel_id": replied["channel_id"],
        } | ({"guild_id": str(channel.guild_id)} if channel.guild_id else {})
    if draft.nonce is not None:
        message["nonce"] = draft.nonce
    return _finish(message | dict(more or {}), users)


def edited(
    message: Json,
    edit: Edit,
    *,
    now: datetime,
    mentioned: Mentioned | None = None,
    mentioned_users: Iterable[User] = (),
    attachments: Sequence[Json] | None = None,
) -> Built:
    """A message after an edit.

    Args:
        message: as it was, decoded.
        edit: the changes.
        now: when.
        mentioned: whom it mentions in effect, where the content changes.
        mentioned_users: the users in `mentioned` that exist.
        attachments: its files afterwards; None: those it had.

    Raises:
        FormError: it would be too long, or of two kinds.
        ApiError: 50006, nothing would be left of it.

    """
    message = {key: value for key, value in message.items() if key != "nonce"}
    if edit.content is not None:
        message["content"] = edit.content
    if attachments is not None:
        message["attachments"] = list(attachments)
    files = message["attachments"]
    if edit.embeds is not None:
        message["embeds"] = resolved(list(edit.embeds), files)
    if edit.components is not None:
        message["components"] = resolved(list(edit.components), files)
    if edit.flags is not None:
        # A message stays of its kind: the flag can be set and not be taken back.
        kept = message["flags"] & ~SUPPRESS_EMBEDS
        message["flags"] = kept | edit.flags
    check_kind(message)
    if not edit.flags_only:
        # What each of several edits brings may be short, and all of it long.
        check_bytes(message["content"], message["embeds"], message["components"], files)
        message["edited_timestamp"] = payloads.timestamp(now)
    if not (message["content"].strip() or any(message[key] for key in _GATED[1:4])):
        raise empty_message()
    if mentioned is None:
        return _same_mentions(message)
    users = list(mentioned_users)
    return _finish(message | _mentions(mentioned, users), users)


def pinned(message: Json, now: datetime | None) -> Built:
    """A message that is pinned, or with no time is not pinned any more."""
    message = {key: value for key, value in message.items() if key not in {"nonce", PINNED_AT}}
    message["pinned"] = now is not None
    if now is not None:
        message[PINNED_AT] = payloads.timestamp(now)
    return _same_mentions(message)


def marked(message: Json, flag: int, **more: Any) -> Built:
    """A message with one flag more. Args: more: what it says besides."""
    message = {key: value for key, value in message.items() if key != "nonce"}
    return _same_mentions(message | {"flags": message["flags"] | flag} | more)


def deletion(message: int | list[int], channel: Channel) -> bytes:
    """The payload of MESSAGE_DELETE, or for a list of MESSAGE_DELETE_BULK."""
    place = where(channel)
    if isinstance(message, int):
        return _encode({"id": str(message)} | place)
    return _encode({"ids": [str(ident) for ident in message]} | place)


def where(channel: Channel) -> Json:
    """How events say in which channel, and in which guild, something is."""
    return {"channel_id": str(channel.id)} | _guild(channel)


def typing(user: User, channel: Channel, member: Member | None, now: datetime) -> bytes:
    """The payload of TYPING_START."""
    found = {"channel_id": str(channel.id), "user_id": str(user.id), "timestamp": int(now.timestamp())}
    if member is not None:
        found["member"] = payloads.member(member)
    return _encode(found | _guild(channel))


def moment_of(message_id: int) -> str:
    """When the message was sent."""
    return payloads.timestamp(datetime.fromtimestamp(snowflake_ms(message_id) / 1000, UTC))


def without_reference(message: Mapping[str, Any]) -> Json:
    """A message as it stands inside a reply to it: what it itself replies to is left out."""
    return {key: value for key, value in message.items() if key not in {"referenced_message", "nonce"}}


def _finish(message: Json, users: list[User]) -> Built:
    gated = {key: message[key] for key in _GATED if key in message}
    rest = {key: value for key, value in message.items() if key not in gated}
    first, second = _encode(gated), _encode(rest)
    body = first[:-1] + b"," + second[1:]
    return Built(body, (1, len(first) - 1), tuple(user.id for user in users))


def _same_mentions(message: Json) -> Built:
    """A message that mentions whom it mentioned."""
    return _finish(message, [])._replace(mentions=_ids(message["mentions"]))


def _guild(channel: Channel) -> Json:
    return {"guild_id": str(channel.guild_id)} if channel.guild_id else {}


def _mentions(mentioned: Mentioned, users: Iterable[User]) -> Json:
    return {
        "mentions": [payloads.user(user) for user in users],
        "mention_roles": [str(role) for role in mentioned.roles],
        "mention_everyone": mentioned.everyone,
    }


def _ids(users: Iterable[Json]) -> tuple[int, ...]:
    return tuple(int(user["id"]) for user in users)
