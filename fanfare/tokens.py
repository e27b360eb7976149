"""Tokens: who somebody is, signed by us. `<user id>.<issued at>.<signature>`, each part base64url, unpadded.

Client libraries read the user id from the first part (docs/clients.md, rule 6): base64 of the decimal id.
"""

import binascii
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

__all__ = ["BadTokenError", "Tokens"]

_PREFIXES: Final = ("Bot ", "Bearer ")
# Snowflakes have at most 19 digits; whatever is longer is not looked at.
_MAX_LENGTH: Final = 128
_MAX_ID: Final = 2**63


class BadTokenError(Exception):
    """This is no token of ours: misspelt, forged, or signed with another secret (FANFARE_SECRET)."""


class Tokens:
    """Issues and verifies tokens with one secret. Who has the secret can be anybody."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        """Args: secret: the same in all processes, not empty."""
        if not secret:
            raise ValueError("tokens need a secret: set FANFARE_SECRET")
        # A key of its own, so that a signature of something else made with the same secret is no token.
        self._key = hmac.digest(secret.encode(), b"fanfare token 1", sha256)

    def issue(self, user_id: int, issued_at_s: int | None = None) -> str:
        """A token of the user.

        Args:
            user_id: whose.
            issued_at_s: seconds since 1970, default now; the same time gives the same token.

        """
        issued = int(time.time()) if issued_at_s is None else issued_at_s
        signed = f"{_encode(str(user_id).encode())}.{_encode(issued.to_bytes(5))}"
        return f"{signed}.{self._signature(signed)}"

    def verify(self, token: str) -> int:
        """The id of the user whose token this is; `Bot ` or `Bearer ` may stand before it.

        Raises:
            BadTokenError: it is none of ours.

        """
        for prefix in _PREFIXES:
            token = token.removeprefix(prefix)
        signed, _, signature = token.rpartition(".")
        if len(token) > _MAX_LENGTH or not token.isascii():
            raise BadTokenError("this is no token of ours")
        if not hmac.compare_digest(signature, self._signature(signed)):
            raise BadTokenError("this is no token of ours")
        try:
            user_id = int(urlsafe_b64decode(signed.partition(".")[0] + "=="))
        except (binascii.Error, ValueError) as error:
            raise BadTokenError("this is no token of ours") from error
        if not 0 <= user_id < _MAX_ID:
            raise BadTokenError("this is no token of ours")
        return user_id

    def _signature(self, signed: str) -> str:
        return _encode(hmac.digest(self._key, signed.encode(), sha256))


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
