"""Opcodes and close codes of the gateway protocol, version 10, each with the client's duty.

Source: Discord's gateway documentation; how clients really react is in docs/clients.md. Codes from 4000 are Discord's;
opcodes from 128 are Fanfare's own.
"""

from enum import IntEnum
from typing import Final

__all__ = ["FIRST_OWN_OP", "CloseCode", "Op"]

FIRST_OWN_OP: Final = 128


class Op(IntEnum):
    """What a frame is."""

    DISPATCH = 0
    """Server: an event, named by `t`. The client keeps `s`."""
    HEARTBEAT = 1
    """Both: the client sends its last `s`; the server asks for one at once."""
    IDENTIFY = 2
    """Client: start a session."""
    PRESENCE_UPDATE = 3
    """Client: its status."""
    VOICE_STATE_UPDATE = 4
    """Client: in which voice channel it is."""
    RESUME = 6
    """Client: go on with a session after `seq`."""
    RECONNECT = 7
    """Server: connect again and resume."""
    REQUEST_GUILD_MEMBERS = 8
    """Client: send members of a guild in chunks."""
    INVALID_SESSION = 9
    """Server: the session cannot be resumed now; `d` says whether to resume again (true) or identify anew (false)."""
    HELLO = 10
    """Server: first frame, with the heartbeat interval."""
    HEARTBEAT_ACK = 11
    """Server: answer to a heartbeat."""
    REQUEST_SOUNDBOARD_SOUNDS = 31
    """Client: accepted and ignored."""
    REQUEST_CHANNEL_INFO = 43
    """Client: accepted and ignored."""
    SEND = 128
    """Client: publish a message, with the body of POST /channels/{id}/messages and `channel_id`."""
    SENT = 129
    """Server: the outcome of a SEND, found by its nonce."""
    LOCATE = 130
    """Both: the client publishes a position (the body of POST /fanfare/v1/locations); the server says how that went."""
    WATCH = 131
    """Both: the client says what it watches, instead of what it watched before; the server says what it watches now."""


class CloseCode(IntEnum):
    """Why the server closes. `resumable` says the duty: RESUME the session, or not."""

    GOING_AWAY = 1001
    """The node stops: resume, on any node."""
    MESSAGE_TOO_BIG = 1009
    """A frame above every limit: mend the client."""
    SERVICE_RESTART = 1012
    """The node restarts: resume, on any node."""
    UNKNOWN_ERROR = 4000
    """An error or a store that is away on our side, or the client was too slow: resume."""
    UNKNOWN_OPCODE = 4001
    """Mend the client."""
    DECODE_ERROR = 4002
    """A frame that cannot be read, or above 4096 bytes: mend the client."""
    NOT_AUTHENTICATED = 4003
    """A frame other than IDENTIFY, RESUME or HEARTBEAT before the session began: identify first."""
    AUTHENTICATION_FAILED = 4004
    """The token is wrong: do not connect again with it."""
    ALREADY_AUTHENTICATED = 4005
    """A second IDENTIFY: mend the client."""
    RATE_LIMITED = 4008
    """More than 120 frames in 60 s: slow down, then resume."""
    SESSION_TIMED_OUT = 4009
    """No heartbeat in two intervals: resume."""
    INVALID_SHARD = 4010
    """`shard` is not [i, n] with 0 <= i < n: correct it."""
    SHARDING_REQUIRED = 4011
    """A session of more guilds than one may have: begin with more shards, as GET /gateway/bot tells."""
    INVALID_API_VERSION = 4012
    """Only version 10 (and 9) is spoken: correct the URL."""
    INVALID_INTENTS = 4013
    """`intents` is not a number of bits: correct it."""
    DISALLOWED_INTENTS = 4014
    """A privileged intent that the application must not have: ask for less, or ask the operator."""

    @property
    def resumable(self) -> bool:
        """Whether the client may RESUME after it."""
        return self in _RESUMABLE


_RESUMABLE: Final = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.SERVICE_RESTART,
        CloseCode.UNKNOWN_ERROR,
        CloseCode.UNKNOWN_OPCODE,
        CloseCode.DECODE_ERROR,
        CloseCode.RATE_LIMITED,
        CloseCode.SESSION_TIMED_OUT,
    }
)
