"""Sizes of pictures: real ones, and heads made by hand as their specifications lay them out."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.ingress.picture_heads import size_of

SIDES = st.integers(1, 16_000)


def png(width, height):
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )


def gif(width, height, *, screen=(1, 1), flags=0x91, before=b"!\xf9\x04\0\0\0\0\0!\xfe\x03hey\x02yo\0"):
    table = bytes(3 << ((flags & 7) + 1)) if flags & 0x80 else b""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", *screen, flags, 0, 0)
        + table
        + before
        + b","
        + struct.pack("<HHHHB", 0, 0, width, height, 0)
    )


def jpeg(width, height, frame=0xC2):
    segments = (
        b"\xff\xe0" + struct.pack(">H", 6) + b"JFIF" + b"\xff\xff\xc4" + struct.pack(">H", 4) + b"hi\xff\x01"
    )
    return b"\xff\xd8" + segments + bytes((0xFF, frame)) + struct.pack(">HBHH", 11, 8, height, width)


def webp(kind, head):
    return (
        b"RIFF" + struct.pack("<I", 4 + 8 + len(head)) + b"WEBP" + kind + struct.pack("<I", len(head)) + head
    )


def lossy(width, height):
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height))


def lossless(width, height):
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width, height):
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


MAKERS = [png, gif, jpeg, lossy, lossless, extended]


@pytest.mark.parametrize("make", MAKERS)
@given(width=SIDES, height=SIDES)
def test_the_size_is_in_the_head(make, width, height):
    assert size_of(make(width, height) + b"pixels") == (width, height)


@pytest.mark.parametrize("make", MAKERS)
@given(cut=st.integers(0, 60), junk=st.binary(max_size=20))
def test_what_is_cut_off_or_broken_has_none_or_another(make, cut, junk):
    found = size_of(make(300, 200)[:cut] + junk)
    assert found is None or min(found) > 0


def test_a_gif_whose_screen_is_larger_or_smaller_than_its_picture():
    assert size_of(gif(10, 5000, screen=(700, 3))) == (700, 5000)
    assert size_of(gif(10, 10, flags=0x10, before=b"")) == (10, 10)
    assert size_of(gif(10, 10)[:-10] + b";") is None


def test_what_has_no_size():
    for content in (
        b"",
        b"%PDF-1.7",
        png(0, 5),
        b"\xff\xd8\xff\xd9\0\0",
        webp(b"ALPH", bytes(20)),
        png(1, 1)[:12] + b"IDAT" + bytes(9),
    ):
        assert size_of(content) is None


@pytest.mark.parametrize(
    "kind", ["PNG", "GIF", "JPEG", "WEBP", "WEBP lossless", "WEBP animated", "GIF animated"]
)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_real_pictures(kind, width, height):
    name, _, way = kind.partition(" ")
    frames = [Image.new("RGB", (width, height), colour) for colour in ("red", "blue")]
    with io.BytesIO() as made:
        options = (
            {"save_all": True, "append_images": frames[1:]}
            if way == "animated"
            else {"lossless": way == "lossless"}
        )
        frames[0].save(made, name, **options if name != "JPEG" else {"progressive": True})
        assert size_of(made.getvalue()) == (width, height)
