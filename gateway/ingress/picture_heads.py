"""What a picture is and how many pixels it has, told from its first bytes: no pixel is decoded. Pure.

A file of 100 kB can hold a picture of a billion pixels, and who shows it needs four bytes for each. Clients are told
the size, so that they show none that they cannot bear. Sources: the PNG specification, section 11.2.2; GIF89a,
sections 18 to 23; ITU-T T.81, annex B; RFC 9649 (WebP).
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["Size", "kind_of", "size_of"]

Size = tuple[int, int]
"""Width and height."""
_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""


_BEGINNINGS: Final = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"\xff\xd8\xff": "jpeg",
}


def kind_of(content: bytes) -> str | None:
    """png, gif, jpeg or webp; None: something else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((kind for begins, kind in _BEGINNINGS.items() if content.startswith(begins)), None)


def size_of(content: bytes) -> Size | None:
    """Width and height of a PNG, GIF, JPEG or WebP; None: it is something else, or its head is broken."""
    kind = kind_of(content)
    if kind is None:
        return None
    try:
        found = _READERS[kind](content)
    except (struct.error, IndexError):
        return None
    return found if found is not None and all(found) else None


def _png(content: bytes) -> Size | None:
    if content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _gif(content: bytes) -> Size | None:
    """The larger of the screen and its first picture, as browsers take it."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    at = 13 + _colours(flags)
    while content[at] == 0x21:  # an extension: its kind, and blocks with their lengths
        at += 2
        while content[at]:
            at += content[at] + 1
        at += 1
    if content[at] != 0x2C:
        return None
    left, top, wide, high = struct.unpack_from("<HHHH", content, at + 1)
    return max(width, left + wide), max(height, top + high)


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _jpeg(content: bytes) -> Size | None:
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filled up
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            at += 2 + max(2, length)
    return None


def _webp(content: bytes) -> Size | None:
    match content[12:16]:
        case b"VP8X":
            return _three(content, 24) + 1, _three(content, 27) + 1
        case b"VP8L" if content[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", content, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


def _three(content: bytes, at: int) -> int:
    """A number of three bytes."""
    low, high = struct.unpack_from("<HB", content, at)
    return int(low) | int(high) << 16


_READERS: Final[Mapping[str, Callable[[bytes], Size | None]]] = {
    "png": _png,
    "gif": _gif,
    "jpeg": _jpeg,
    "webp": _webp,
}
