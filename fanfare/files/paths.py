"""The paths of files, which are also how they are asked for: who knows one may read it. Pure."""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

__all__ = ["PATTERN", "TOKEN_BYTES", "key_of", "keys_of", "path_of", "plain_name"]

TOKEN_BYTES: Final = 16
"""What makes a path unguessable."""
PREFIX: Final = "/attachments/"
PATTERN: Final = (
    PREFIX
    + r"{channel:[0-9]{1,20}}/{file:[0-9]{1,20}}/{token:[A-Za-z0-9_-]{22}}/{name:[A-Za-z0-9._-]{1,100}}"
)
"""The route, as aiohttp writes it."""

_KEY: Final = re.compile(r"[0-9]{1,20}/[0-9]{1,20}/[A-Za-z0-9_-]{22}/[A-Za-z0-9._-]{1,100}")
_NAME_LENGTH: Final = 100
_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]+")
# A message without files says so, and is not decoded.
_MARK: Final = b'"attachments":[{'


class _File(msgspec.Struct):
    url: str = ""


class _Message(msgspec.Struct):
    attachments: list[_File] = []


_message = msgspec.json.Decoder(_Message)


def plain_name(name: str) -> str:
    """A file's name with nothing in it that a path, a header or a file system reads otherwise."""
    plain = _OTHER.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip("._-")
    if len(plain) > _NAME_LENGTH:
        stem, dot, ending = plain.rpartition(".")
        keep = _NAME_LENGTH - len(dot + ending)
        plain = stem[:keep] + dot + ending if dot and keep > 0 else plain[:_NAME_LENGTH]
    return plain or "file"


def path_of(channel: int, file: int, token: str, name: str) -> str:
    """What the store knows a file by; the path of its URL is PREFIX and this."""
    return f"{channel}/{file}/{token}/{name}"


def key_of(url: str) -> str | None:
    """The path in the store of a file's URL; None: it is none of ours."""
    _, found, key = urlsplit(url).path.partition(PREFIX)
    return key if found and _KEY.fullmatch(key) else None


def keys_of(body: bytes) -> set[str]:
    """The files of a message, by their paths in the store. Those of a message that it replies to are not its own."""
    if _MARK not in body:
        return set()
    try:
        files = _message.decode(body).attachments
    except msgspec.DecodeError:
        return set()
    return {key for one in files if (key := key_of(one.url)) is not None}
