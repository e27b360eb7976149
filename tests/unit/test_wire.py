"""The strict client's checks: what it must not let through. All that integration tests say rests on them."""

import json
import zlib

import pytest

from torture.client.wire import Compression, ProtocolError, check, inflater

GOOD = {"op": 0, "d": {}, "s": 5, "t": "MESSAGE_CREATE"}
SUFFIX = b"\x00\x00\xff\xff"
ZSTD_START = b"\x28\xb5\x2f\xfd\x00\x38"


def text(**changed: object) -> str:
    """A dispatch with some of its keys changed; `...` leaves one out."""
    return json.dumps({key: value for key, value in (GOOD | changed).items() if value is not ...})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "null",
        "[]",
        '"op"',
        b"\xff",
        text(op=...),
        text(d=...),
        text(s=...),
        text(t=...),
        text(more=1),
        text(op="0"),
        text(op=0.0),
        text(op=None),
        text(op=True),
        text(s=None),
        text(s=0),
        text(s=-1),
        text(s=1 << 53),
        text(s="5"),
        text(s=5.0),
        text(s=True),
        text(t=None),
        text(t=5),
        text(d=None),
        text(d=[]),
        text(op=11),
        text(op=11, t=None),
        text(op=11, s=None),
    ],
    ids=str,
)
def test_a_bad_frame_is_refused(bad):
    with pytest.raises(ProtocolError):
        check(bad)


@pytest.mark.parametrize(
    "good",
    [text(), text(s=(1 << 53) - 1), text(op=11, s=None, t=None, d=None), text(op=9, s=None, t=None, d=False)],
)
def test_a_good_frame_is_taken(good):
    frame = check(good)
    assert {"op": frame.op, "d": frame.d, "s": frame.s, "t": frame.t} == json.loads(good)


@pytest.mark.parametrize(
    ("compression", "bad"),
    [
        (Compression.NONE, b"{}"),
        (Compression.ZLIB, "{}"),
        (Compression.ZLIB, zlib.compress(b"{}")),
        (Compression.ZLIB, b"\x78\x9cnothing" + SUFFIX),
        (Compression.ZSTD, "{}"),
        (Compression.ZSTD, b"\x10\x00\x00{}"),
        (Compression.ZSTD, ZSTD_START + b"\x11\x00\x00{}"),
        (Compression.ZSTD, ZSTD_START + b"\x14\x00\x00{}"),
        (Compression.ZSTD, ZSTD_START + b"\x18\x00\x00{}"),
    ],
)
def test_a_message_in_the_wrong_form_is_refused(compression, bad):
    with pytest.raises(ProtocolError):
        inflater(compression).inflate(bad)


def test_a_zlib_header_comes_once():
    stream = inflater(Compression.ZLIB)
    deflate = zlib.compressobj(wbits=-15)
    block = deflate.compress(b"{}") + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert stream.inflate(b"\x78\x9c" + block) == b"{}"
    with pytest.raises(ProtocolError):
        stream.inflate(b"\x78\x9c" + block)
