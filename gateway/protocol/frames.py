"""Frames, made once and shared by all sockets: no I/O.

A dispatch is `{"op":0,"s":...,"t":...,"d":...}` around payload bytes that nobody re-encodes. On a compressed
connection each message is a block that any client inflates whatever came before it (docs/clients.md, transport
compression), so blocks are shared too.
"""

import zlib
from enum import Enum
from typing import Any, Final

import msgspec

from fanfare.record import Record

__all__ = ["UNGATED", "Dispatch", "Transport", "control", "dispatch", "encode", "splice", "wrap"]

UNGATED: Final = b'"content":"","embeds":[],"attachments":[],"components":[]'
"""What a session without the intent MESSAGE_CONTENT gets in place of the fields that this intent gates."""

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_ZSTD_RAW_BLOCK_BYTES: Final = 131_072

# Measured: an event of 360 bytes with its plain, zlib and ungated frames takes 2,360.
_EVENT_BYTES: Final = 1_200

encode: Final = msgspec.json.Encoder().encode
"""JSON of a small object."""


class Transport(Enum):
    """How a connection's messages are wrapped. `value` is what stands before the first of them."""

    JSON = b""
    ZLIB = b"\x78\x9c"
    ZSTD = b"\x28\xb5\x2f\xfd\x00\x38"


def wrap(payload: bytes, transport: Transport, *, first: bool = False) -> bytes:
    """One message as a websocket frame (RFC 6455, section 5.2: final, unmasked).

    Args:
        payload: the message, JSON.
        transport: of the connection.
        first: whether it is the first message of its connection.

    """
    if transport is Transport.JSON:
        return _header(_TEXT, len(payload)) + payload
    if transport is Transport.ZLIB:
        deflate = zlib.compressobj(wbits=-15)
        block = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    else:
        block = b"".join(
            (len(part) << 3).to_bytes(3, "little") + part
            for start in range(0, len(payload), _ZSTD_RAW_BLOCK_BYTES)
            for part in (payload[start : start + _ZSTD_RAW_BLOCK_BYTES],)
        )
    if first:
        block = transport.value + block
    return _header(_BINARY, len(block)) + block


def _header(first_byte: int, length: int) -> bytes:
    if length < 126:
        return bytes((first_byte, length))
    if length < 65_536:
        return bytes((first_byte, 126)) + length.to_bytes(2, "big")
    return bytes((first_byte, 127)) + length.to_bytes(8, "big")


def control(op: int, d: Any) -> bytes:
    """The JSON of a message that is not a dispatch; all four keys, because clients index them."""
    return b'{"op":%d,"d":%b,"s":null,"t":null}' % (op, encode(d))


def dispatch(s: int, name: str, d: bytes) -> bytes:
    """The JSON of a dispatch around its payload."""
    return b'{"op":0,"s":%d,"t":"%b","d":%b}' % (s, name.encode(), d)


def splice(record: Record) -> bytes:
    """The payload without what MESSAGE_CONTENT gates."""
    if record.gated is None:
        return record.payload
    start, end = record.gated
    return record.payload[:start] + UNGATED + record.payload[end:]


class Dispatch:
    """The frames of one event: each variant is made when the first session needs it, and then shared."""

    __slots__ = ("_frames", "record", "s")

    def __init__(self, s: int, record: Record) -> None:
        """Args: s: of its inbox entry; record: the event."""
        self.s = s
        self.record = record
        self._frames: dict[tuple[Transport, bool | str], bytes] = {}

    def frame(self, transport: Transport, *, content: bool) -> bytes:
        """The frame for a transport, with or without what MESSAGE_CONTENT gates."""
        content = content or self.record.gated is None
        frame = self._frames.get((transport, content))
        if frame is None:
            d = self.record.payload if content else splice(self.record)
            frame = self._frames[transport, content] = wrap(dispatch(self.s, self.record.type, d), transport)
        return frame

    def frame_as(self, name: str, d: bytes, transport: Transport) -> bytes:
        """The frame of the event under another name, as some sessions get it; `d` is always the same for a name."""
        frame = self._frames.get((transport, name))
        if frame is None:
            frame = self._frames[transport, name] = wrap(dispatch(self.s, name, d), transport)
        return frame

    @property
    def size(self) -> int:
        """Bytes that the event comes to hold with its frames, about; most are made after the ring has asked."""
        return _EVENT_BYTES + 3 * len(self.record.payload)
