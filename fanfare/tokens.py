"""Tokens: signed statements of who a user is. `<user id>.<when and which>.<signature>`, each part base64url, unpadded.

Client libraries read the user id from the first part (docs/clients.md, rule 6): base64 of the decimal id. The second
part is the time of issue and the user's generation of tokens: revoking raises the generation, which is kept with the
user in the database, and so ends all tokens that were issued before.
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import AnyStr, Final, NamedTuple

__all__ = ["SECRET_LENGTH", "BadTokenError", "Holder", "Signer", "Tokens", "secrets_of"]

SECRET_LENGTH: Final = 32
"""The fewest characters of a secret."""

_PREFIXES: Final = ("Bot ", "Bearer ")
# Snowflakes have at most 19 digits; a longer text is rejected at once.
_MAX_LENGTH: Final = 128
_MAX_ID: Final = 2**63
_TIME_BYTES: Final = 5
_GENERATION_BYTES: Final = 4


class BadTokenError(Exception):
    """This is no token of ours: misspelt, forged, or signed with another secret (FANFARE_SECRET)."""


class Holder(NamedTuple):
    """Whose token it is."""

    user: int
    generation: int
    """Of the user's tokens; good only while it is the one that the database has."""


def secrets_of(setting: str) -> list[str]:
    """The secrets in FANFARE_SECRET, a list with commas: the first one signs, all of them verify."""
    return [one for part in setting.split(",") if (one := part.strip())]


class Signer:
    """Signs with the first of several secrets and verifies with all of them, so that a secret can be changed."""

    __slots__ = ("_keys",)

    def __init__(self, setting: str, purpose: bytes) -> None:
        """Make the keys.

        Args:
            setting: what FANFARE_SECRET holds; the same list in all processes.
            purpose: what is signed, so that a signature of something else is none.

        """
        secrets = secrets_of(setting)
        if not secrets:
            raise ValueError("signatures need a secret: set FANFARE_SECRET")
        self._keys = [hmac.digest(secret.encode(), purpose, sha256) for secret in secrets]

    def sign(self, what: bytes) -> bytes:
        """The signature, 32 bytes."""
        return hmac.digest(self._keys[0], what, sha256)

    def verifies(self, what: bytes, signature: AnyStr, form: Callable[[bytes], AnyStr]) -> bool:
        """Whether one of the secrets gives this signature, which is in this form. The time it takes says nothing."""
        good = False
        for key in self._keys:
            good |= hmac.compare_digest(form(hmac.digest(key, what, sha256)), signature)
        return good


class Tokens:
    """Issues and verifies tokens. A person who has the secret can make a token of any user."""

    __slots__ = ("_signer",)

    def __init__(self, secret: str) -> None:
        """Args: secret: what FANFARE_SECRET holds, not empty."""
        self._signer = Signer(secret, b"fanfare token 1")

    def issue(self, user_id: int, issued_at_s: int | None = None, *, generation: int = 0) -> str:
        """A token of the user.

        Args:
            user_id: whose.
            issued_at_s: seconds since 1970, default now; the same time gives the same token.
            generation: the user's generation of tokens.

        """
        issued = (int(time.time()) if issued_at_s is None else issued_at_s).to_bytes(_TIME_BYTES)
        if generation:
            issued += generation.to_bytes(_GENERATION_BYTES)
        signed = f"{_encode(str(user_id).encode())}.{_encode(issued)}"
        return f"{signed}.{_encode(self._signer.sign(signed.encode()))}"

    def verify(self, token: str) -> Holder:
        """Whose token this is; `Bot ` or `Bearer ` may stand before it.

        The signature is of the text, so each token has one form only.

        Raises:
            BadTokenError: it is none of ours.

        """
        if len(token) > _MAX_LENGTH or not token.isascii():
            raise BadTokenError("this is no token of ours")
        for prefix in _PREFIXES:
            if token.startswith(prefix):
                token = token.removeprefix(prefix)
                break
        signed, _, signature = token.rpartition(".")
        if not self._signer.verifies(signed.encode(), signature, _encode):
            raise BadTokenError("this is no token of ours")
        try:
            user, issued = signed.split(".")
            holder = Holder(int(_decode(user)), int.from_bytes(_decode(issued)[_TIME_BYTES:]))
        except ValueError as error:
            raise BadTokenError("this is no token of ours") from error
        if not 0 <= holder.user < _MAX_ID:
            raise BadTokenError("this is no token of ours")
        return holder


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
