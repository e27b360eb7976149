"""From websocket messages to checked frames: no I/O."""

import zlib
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

import msgspec

__all__ = ["Compression", "Frame", "Inflater", "ProtocolError", "check", "inflater"]

_ZLIB_SUFFIX: Final = b"\x00\x00\xff\xff"
# A zstd frame header with a window of 128 KiB and no content size: magic number, descriptor, window.
_ZSTD_START: Final = b"\x28\xb5\x2f\xfd\x00\x38"
_KEYS: Final = {"op", "d", "s", "t"}
_decode = msgspec.json.Decoder().decode


class ProtocolError(Exception):
    """The server did what it must never do; the message says what."""


class Compression(StrEnum):
    """What a client may ask for in the query, as `compress`."""

    NONE = ""
    ZLIB = "zlib-stream"
    ZSTD = "zstd-stream"


class Frame(NamedTuple):
    """One message of the server."""

    op: int
    d: Any
    s: int | None
    t: str | None


class Inflater(Protocol):
    """The decompression of one connection."""

    def inflate(self, message: str | bytes) -> str | bytes:
        """The JSON in a websocket message. Raises: ProtocolError."""


class _Plain:
    def inflate(self, message: str | bytes) -> str | bytes:
        if not isinstance(message, str):
            raise ProtocolError("a BINARY message came, though no compression was asked for")
        return message


class _Zlib:
    """One inflater for the life of the connection, as the libraries have it."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def inflate(self, message: str | bytes) -> bytes:
        if isinstance(message, str):
            raise ProtocolError("a TEXT message came on a zlib-stream connection")
        if not message.endswith(_ZLIB_SUFFIX):
            raise ProtocolError("a zlib-stream message does not end in 00 00 ff ff")
        try:
            return self._stream.decompress(message)
        except zlib.error as error:
            raise ProtocolError(f"a zlib-stream message cannot be inflated: {error}") from error


class _Zstd:
    """Raw blocks of one zstd frame. Another server's compressed blocks are refused: use a library there."""

    def __init__(self) -> None:
        self._started = False

    def inflate(self, message: str | bytes) -> bytes:
        if isinstance(message, str):
            raise ProtocolError("a TEXT message came on a zstd-stream connection")
        at = 0
        if not self._started:
            if not message.startswith(_ZSTD_START):
                raise ProtocolError("the first zstd-stream message does not begin with a frame header")
            self._started = True
            at = len(_ZSTD_START)
        parts = []
        while at < len(message):
            head = int.from_bytes(message[at : at + 3], "little")
            size = head >> 3
            if head & 0b111:
                raise ProtocolError("a zstd-stream block is the last one, or is not raw")
            if at + 3 + size > len(message):
                raise ProtocolError("a zstd-stream block does not end with its message")
            parts.append(message[at + 3 : at + 3 + size])
            at += 3 + size
        return b"".join(parts)


def inflater(compression: Compression) -> Inflater:
    """The decompression of a new connection."""
    match compression:
        case Compression.NONE:
            return _Plain()
        case Compression.ZLIB:
            return _Zlib()
        case Compression.ZSTD:
            return _Zstd()


def check(text: str | bytes) -> Frame:
    """A frame with everything that every frame must have.

    Raises:
        ProtocolError: it is no JSON object with the four keys, or their types are wrong.

    """
    try:
        frame = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a message is no JSON: {error}") from error
    if not isinstance(frame, dict) or frame.keys() != _KEYS:
        raise ProtocolError(f"a frame does not have exactly the keys op, d, s and t: {text[:200]!r}")
    op, s, t = frame["op"], frame["s"], frame["t"]
    if type(op) is not int:
        raise ProtocolError(f"`op` is no integer: {text[:200]!r}")
    if op == 0:
        if (
            type(s) is not int
            or not 0 < s < 2**53
            or not isinstance(t, str)
            or not isinstance(frame["d"], dict)
        ):
            raise ProtocolError(f"a dispatch without `s`, `t` or an object `d`: {text[:200]!r}")
    elif s is not None or t is not None:
        raise ProtocolError(f"`s` or `t` on a frame that is no dispatch: {text[:200]!r}")
    return Frame(op, frame["d"], s, t)
