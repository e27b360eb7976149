"""Watch links: whoever has one may watch one entity, until a time or the entity's end, without an account. Pure.

`<entity>.<until>.<signature>`, signed with FANFARE_SECRET: both numbers in decimal, seconds since 1970.
"""

import base64
from typing import Final

from fanfare.tokens import Signer

__all__ = ["Links"]

_PURPOSE: Final = b"fanfare watch link 1"
_LONGEST: Final = 128


class Links:
    """Makes and verifies watch links."""

    def __init__(self, secret: str) -> None:
        """Args: secret: what FANFARE_SECRET holds."""
        self._signer = Signer(secret, _PURPOSE)

    def issue(self, entity_id: int, until_s: int) -> str:
        """A link to watch an entity until a time, in seconds since 1970."""
        said = f"{entity_id}.{until_s}"
        return f"{said}.{_text(self._signer.sign(said.encode()))}"

    def verify(self, token: str, now_s: float) -> int:
        """The entity that a link lets watch; 0: it is none of ours, or its time is over."""
        if len(token) > _LONGEST or not token.isascii():
            return 0
        said, _, signature = token.rpartition(".")
        entity, _, until = said.partition(".")
        if not (entity.isdigit() and until.isdigit()):
            return 0
        if not self._signer.verifies(said.encode(), signature, _text):
            return 0
        return int(entity) if now_s < int(until) else 0

    @staticmethod
    def until_s(token: str) -> int:
        """When a link that was verified ends, in seconds since 1970."""
        return int(token.split(".")[1])


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
