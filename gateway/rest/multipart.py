"""Bodies of several parts (RFC 7578), in which libraries send messages with files.

What a message says stands in the part `payload_json`, or in fields by their names; the files are `files[n]`, or any
other part with a file's name. They may come in any order. A body is read into memory, so the bytes of all of them that
a process reads at once are bounded (`Uploads`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from fanfare.constants import UPLOADS_BYTES, UPLOADS_OF_USER_BYTES
from gateway.ingress.attachments import MAX_FILES, Part, too_many
from gateway.ingress.errors import ApiError, FormError, RefusedError
from gateway.ingress.forms import body_of

__all__ = ["Body", "Uploads", "read_parts"]

_PARTS: Final = 32
_PAYLOAD: Final = "payload_json"
_NUMBERED: Final = re.compile(r"(?:files\[|files?)([0-9]{1,9})\]?")
# The answer that refuses a field names it, so a name that the answer could not hold is refused, too.
_NAME: Final = re.compile(r"[A-Za-z0-9_\[\]-]{1,64}")
_NAME_LENGTH: Final = 255


class Body(NamedTuple):
    """What a body says, and the files that it brings."""

    said: Any
    parts: tuple[Part, ...]


class Uploads:
    """The bodies with files that this process reads."""

    def __init__(self, most: int = UPLOADS_BYTES, most_of_user: int = UPLOADS_OF_USER_BYTES) -> None:
        """Args: most: bytes of all bodies at once; most_of_user: of one user."""
        self._most = most
        self._most_of_user = most_of_user
        self._held: Counter[int] = Counter()

    @contextmanager
    def room(self, user: int, size: int) -> Iterator[None]:
        """Keep room for a body until its files are stored.

        Raises:
            RefusedError: there is none now.

        """
        if self._held[user] and self._held[user] + size > self._most_of_user:
            raise RefusedError("you are sending other files: one after the other, please")
        if self._held.total() + size > self._most:
            raise RefusedError("very many files are being sent")
        self._held[user] += size
        try:
            yield
        finally:
            self._held[user] -= size
            if not self._held[user]:
                del self._held[user]


async def read_parts(
    request: web.Request, *, most: int, of_file: int = 0, refusal: ApiError | None = None
) -> Body:
    """The body.

    Args:
        request: with a body of several parts.
        most: bytes of all that is not a file.
        of_file: bytes of a file; 0: none are taken.
        refusal: why there are to be no files; raised at the first one.

    Raises:
        FormError: there are fields besides `payload_json`, or it is no object, or files where none are taken.
        ApiError: 50035, the parts cannot be told apart; 50109, `payload_json` is not JSON; 40005, something is too
            large; 30015, there are too many files.

    """
    try:
        fields, parts = await _read(request, most, of_file, refusal)
    except (HttpProcessingError, ValueError, AssertionError, KeyError, LookupError, RuntimeError) as error:
        # What aiohttp raises for headers, boundaries, encodings and character sets that are wrong.
        raise _malformed("The parts of the body cannot be read.") from error
    payload = fields.pop(_PAYLOAD, None)
    if payload is None:
        return Body({name: _text(name, raw) for name, raw in fields.items()}, parts)
    if fields:
        said = "This field cannot stand beside payload_json: put it in there."
        raise FormError.at(next(iter(fields)), "BASE_TYPE_UNSUPPORTED", said)
    body = body_of(payload)
    if not isinstance(body, dict):
        said = "Only dictionaries may be used in a DictType"
        raise FormError.at(_PAYLOAD, "DICT_TYPE_CONVERT", said)
    return Body(body, parts)


async def _read(
    request: web.Request, most: int, of_file: int, refusal: ApiError | None
) -> tuple[dict[str, bytes], tuple[Part, ...]]:
    """The parts by their names, and the files."""
    fields: dict[str, bytes] = {}
    files: dict[int, Part] = {}
    size = count = 0
    async for part in await request.multipart():
        count += 1
        if count > _PARTS:
            raise _malformed(f"A body has {_PARTS} parts at the most.")
        if not isinstance(part, BodyPartReader):
            raise _malformed("A part must not have parts of its own.")
        name = part.name or ""
        numbered = _NUMBERED.fullmatch(name)
        if numbered or part.filename is not None:
            if refusal is not None:
                raise refusal
            if not of_file:
                raise FormError.at("files", "BASE_TYPE_UNSUPPORTED", "No files are taken here.")
            number = int(numbered[1]) if numbered else _free(files)
            if number in files:
                raise _malformed(f"Two files have the number {number}.")
            if len(files) == MAX_FILES:
                raise too_many()
            content = await _content(part, of_file)
            files[number] = Part(number, (part.filename or "file")[:_NAME_LENGTH], content)
            continue
        if not _NAME.fullmatch(name) or name in fields:
            raise _malformed(
                "Each part needs a name of its own: up to 64 letters, digits, _, - and brackets."
            )
        fields[name] = await _content(part, most - size)
        size += len(fields[name])
    return fields, tuple(files.values())


async def _content(part: BodyPartReader, most: int) -> bytes:
    raw = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        raw += chunk
        if len(raw) > most:
            raise web.HTTPRequestEntityTooLarge(most, len(raw))
    return bytes(raw)


def _free(files: dict[int, Part]) -> int:
    return next(number for number in range(len(files) + 1) if number not in files)


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FormError.at(name, "STRING_TYPE_CONVERT", "It is no text in UTF-8.") from None


def _malformed(said: str) -> ApiError:
    return FormError({"_errors": [{"code": "MULTIPART_INVALID", "message": said}]})
