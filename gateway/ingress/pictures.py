"""Pictures in the fields of requests, as data URLs (RFC 2397): what they are is told from their first bytes. Pure."""

import base64
import binascii
from typing import Final

from gateway.ingress.forms import Form
from gateway.ingress.picture_heads import kind_of, size_of

__all__ = ["BODY_BYTES", "MOST_BYTES", "picture"]

MOST_BYTES: Final = 256 * 1024
BODY_BYTES: Final = 4 * MOST_BYTES // 3 + 64 * 1024
"""Of a request with a picture: in base64, and what is said besides."""
_MOST_PIXELS: Final = 4096 * 4096


def picture(form: Form, key: str, *, required: bool = False) -> bytes | None:
    """The picture in a field; None where there is none, or the form notes that it is none."""
    said = form.raw(key)
    if said is None:
        if required:
            form.fail(key, "BASE_TYPE_REQUIRED", "This field is required")
        return None
    head, _, encoded = said.partition(",") if isinstance(said, str) else ("", "", "")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        form.fail(key, "IMAGE_INVALID", "Must be a picture as data:image/png;base64,...")
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        form.fail(key, "IMAGE_INVALID", "The base64 in it cannot be read.")
        return None
    if len(content) > MOST_BYTES:
        form.fail(key, "BINARY_TYPE_MAX_SIZE", f"File cannot be larger than {MOST_BYTES / 1024} kb.")
        return None
    if kind_of(content) is None:
        form.fail(key, "IMAGE_INVALID", "Must be PNG, GIF, JPEG or WebP.")
        return None
    width, height = size_of(content) or (0, 0)  # with a broken head, nobody can show it
    if width * height > _MOST_PIXELS:
        form.fail(
            key, "IMAGE_INVALID", f"Must have at most {_MOST_PIXELS} pixels, not {width} times {height}."
        )
        return None
    return content
