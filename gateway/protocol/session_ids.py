"""Session ids: each holds what a node must know to resume a session that it has never seen.

They are signed, so that clients cannot make up their own.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from fanfare.tokens import Signer

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
    generation: int = 0
    """The user's generation of tokens when it began: once that is revoked, no newer token can resume the session."""


class SessionIds:
    """Issues and reads session ids."""

    __slots__ = ("_signer",)

    def __init__(self, secret: str) -> None:
        """Args: secret: what FANFARE_SECRET holds."""
        self._signer = Signer(secret, b"fanfare session 1")

    def issue(self, claims: Claims) -> str:
        """The id of a session."""
        packed = msgspec.msgpack.encode(claims)
        return _encode(self._signer.sign(packed)[:_SIGNATURE_BYTES] + packed)

    def read(self, session_id: str) -> Claims:
        """What an id says.

        Raises:
            BadSessionIdError: it was not issued with one of our secrets.

        """
        if len(session_id) > _MAX_LENGTH or not session_id.isascii():
            raise BadSessionIdError
        try:
            raw = urlsafe_b64decode(session_id + "=" * (-len(session_id) % 4))
            signature, packed = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
            good = self._signer.verifies(packed, signature, lambda one: one[:_SIGNATURE_BYTES])
            # Base64 can be written in several ways; an id has one.
            if not good or _encode(raw) != session_id:
                raise BadSessionIdError
            return msgspec.msgpack.decode(packed, type=Claims)
        except (ValueError, msgspec.DecodeError) as error:
            raise BadSessionIdError from error


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
