"""Bodies of several parts (RFC 7578), in which libraries send messages that could have files.

Files are not stored here, so what is wanted is the part `payload_json`, or fields by their names.
"""

import re
from typing import Any, Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import body_of

__all__ = ["payload_json"]

_PARTS: Final = 32
_PAYLOAD: Final = "payload_json"
# The answer that refuses a field names it, so a name that the answer could not hold is refused, too.
_NAME: Final = re.compile(r"[A-Za-z0-9_\[\]-]{1,64}")


async def payload_json(request: web.Request) -> Any:
    """The body.

    Raises:
        FormError: there are files, or fields besides `payload_json`, or it is no object.
        ApiError: 50035, the parts cannot be told apart; 50109, `payload_json` is not JSON; 40005, it is too large.

    """
    try:
        fields = await _fields(request)
    except (HttpProcessingError, ValueError, AssertionError, KeyError, LookupError, RuntimeError) as error:
        # What aiohttp raises for headers, boundaries, encodings and character sets that are wrong.
        raise _malformed("The parts of the body cannot be read.") from error
    payload = fields.pop(_PAYLOAD, None)
    if payload is None:
        return {name: _text(name, raw) for name, raw in fields.items()}
    if fields:
        said = "This field cannot stand beside payload_json: put it in there."
        raise FormError.at(next(iter(fields)), "BASE_TYPE_UNSUPPORTED", said)
    body = body_of(payload)
    if not isinstance(body, dict):
        said = "Only dictionaries may be used in a DictType"
        raise FormError.at(_PAYLOAD, "DICT_TYPE_CONVERT", said)
    return body


async def _fields(request: web.Request) -> dict[str, bytes]:
    """The parts by their names, all of them bounded together."""
    found: dict[str, bytes] = {}
    size = count = 0
    async for part in await request.multipart():
        count += 1
        if count > _PARTS:
            raise _malformed(f"A body has {_PARTS} parts at the most.")
        if not isinstance(part, BodyPartReader):
            raise _malformed("A part must not have parts of its own.")
        name = part.name or ""
        if name == "file" or name.startswith("files") or part.filename is not None:
            raise FormError.at("files", "BASE_TYPE_MAX_LENGTH", "This server stores no files: send none.")
        if not _NAME.fullmatch(name) or name in found:
            raise _malformed(
                "Each part needs a name of its own: up to 64 letters, digits, _, - and brackets."
            )
        raw = bytearray()
        while chunk := await part.read_chunk():
            raw += chunk
            size += len(chunk)
            if size > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, size)
        found[name] = bytes(raw)
    return found


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FormError.at(name, "STRING_TYPE_CONVERT", "It is no text in UTF-8.") from None


def _malformed(said: str) -> ApiError:
    return FormError({"_errors": [{"code": "MULTIPART_INVALID", "message": said}]})
