"""Voice states: who is in which voice channel. Fanfare carries no sound, so it keeps and tells them, and no more. Pure.

Source: Discord's documentation, "Voice State Object" and "Update Voice State".
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fanfare import payloads
from fanfare.permissions import VOICE_TYPES, P
from gateway.guilds.audience import View, rights_of
from gateway.protocol.frames import encode
from gateway.protocol.member_requests import as_id

__all__ = ["NO_SERVER", "VoiceWish", "left", "may_connect", "read", "state_of"]

NO_SERVER: Final = "no-voice.fanfare.invalid:443"
"""The voice server that clients are told. The name can exist nowhere (RFC 2606): who connects to it fails at once,
and reads why."""


@dataclass(frozen=True, slots=True)
class VoiceWish:
    """A session wants its user to be in a voice channel, or in none (0)."""

    guild: int
    channel: int
    mute: bool
    deaf: bool


def read(d: bytes) -> VoiceWish | None:
    """The wish in the `d` of op 4; None if it names no guild, or what cannot be a channel."""
    try:
        said = msgspec.json.decode(d)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    guild, channel = _id(said.get("guild_id")), said.get("channel_id")
    if not guild or (channel is not None and not _id(channel)):
        return None
    return VoiceWish(guild, _id(channel), said.get("self_mute") is True, said.get("self_deaf") is True)


def may_connect(view: View, user: int, channel_id: int) -> bool:
    """Whether a member may be in a voice channel."""
    channel = view.guild.channels.get(channel_id)
    if channel is None or channel.type not in VOICE_TYPES or user not in view.guild.members:
        return False
    needed = P.VIEW_CHANNEL | P.CONNECT
    return view.permissions(*rights_of(view, user), channel_id) & needed == needed


def state_of(view: View, wish: VoiceWish, user: int, session: str) -> bytes:
    """JSON of the voice state. Args: session: the key of the session, which nobody may learn from it."""
    shown = hashlib.blake2s(session.encode(), digest_size=16, person=b"voice").hexdigest()
    member = view.guild.members.get(user)
    state: dict[str, Any] = {
        "guild_id": str(wish.guild),
        "channel_id": str(wish.channel) if wish.channel else None,
        "user_id": str(user),
        "session_id": shown,
        "deaf": False,
        "mute": False,
        "self_deaf": wish.deaf,
        "self_mute": wish.mute,
        "self_stream": False,
        "self_video": False,
        "suppress": False,
        "request_to_speak_timestamp": None,
    }
    if member is not None:
        state["member"] = payloads.member(member)
    return encode(state)


def left(view: View, user: int) -> bytes:
    """JSON of the voice state of somebody who is in no channel any more."""
    return state_of(view, VoiceWish(view.guild.id, 0, mute=False, deaf=False), user, "")


def _id(said: Any) -> int:
    if isinstance(said, bool) or not isinstance(said, int | str):
        return 0
    return as_id(str(said))
