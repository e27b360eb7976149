"""Session ids that say what a node must know to resume a session it has never seen.

They are signed, so that clients cannot make up their own.
"""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

import msgspec

__all__ = ["BadSessionIdError", "Claims", "SessionIds"]

_SIGNATURE_BYTES: Final = 16
_MAX_LENGTH: Final = 512


class BadSessionIdError(Exception):
    """This is no session id of ours."""


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a session id says."""

    key: str
    """Names the session in Redis."""
    user: int
    intents: int
    shard: tuple[int, int]
    inbox: str
    """Where the session began."""


class SessionIds:
    """Issues and reads session ids with one secret."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        """Args: secret: the same in all gateways."""
        self._key = hmac.digest(secret.encode(), b"fanfare session 1", sha256)

    def issue(self, claims: Claims) -> str:
        """The id of a session."""
        packed = msgspec.msgpack.encode(claims)
        return urlsafe_b64encode(self._sign(packed) + packed).decode().rstrip("=")

    def read(self, session_id: str) -> Claims:
        """What an id says.

        Raises:
            BadSessionIdError: it was not issued with this secret.

        """
        if len(session_id) > _MAX_LENGTH:
            raise BadSessionIdError
        try:
            raw = urlsafe_b64decode(session_id + "=" * (-len(session_id) % 4))
            signature, packed = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, self._sign(packed)):
                raise BadSessionIdError
            return msgspec.msgpack.decode(packed, type=Claims)
        except (binascii.Error, ValueError, msgspec.DecodeError) as error:
            raise BadSessionIdError from error

    def _sign(self, packed: bytes) -> bytes:
        return hmac.digest(self._key, packed, sha256)[:_SIGNATURE_BYTES]
