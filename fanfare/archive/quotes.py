"""What others' replies hold of somebody's messages. Pure."""

from typing import Any, Final

import msgspec

__all__ = ["MARK", "quotes", "without_quote"]

MARK: Final = '"referenced_message":{'
_encode = msgspec.json.Encoder().encode


def quotes(body: bytes, user: int) -> bool:
    """Whether a message shows what a user wrote in another one."""
    return MARK.encode() in body and _quoted(_decoded(body), user)


def without_quote(body: bytes, user: int) -> bytes:
    """The message as if what it replies to had been deleted, if that is the user's."""
    if not quotes(body, user):
        return body
    return _encode(_decoded(body) | {"referenced_message": None})


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _quoted(message: dict[str, Any], user: int) -> bool:
    match message.get("referenced_message"):
        case {"author": {"id": ident}}:
            return str(ident) == str(user)
    return False
