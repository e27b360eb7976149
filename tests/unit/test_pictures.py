"""Pictures in requests: what gets in is a picture, and not a large one."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingress.forms import Form
from gateway.ingress.picture_heads import kind_of
from gateway.ingress.pictures import MOST_BYTES, picture

GIF = b"GIF89a\x01\x00\x01\x00"


def url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (GIF, "gif"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF1234WEBPVP8 ", "webp"),
    ],
)
def test_a_picture_is_known_by_its_bytes_and_not_by_its_name(content, kind):
    form = Form({"image": url(content, "svg+xml")})
    assert picture(form, "image") == content
    assert kind_of(content) == kind
    assert form.errors == {}


@pytest.mark.parametrize(
    "said",
    [
        5,
        [],
        "",
        "data:image/png;base64",
        "data:image/png,x",
        "data:text/html;base64,PGI+",
        "https://example.com/x.png",
        "data:image/png;base64,###",
        url(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "svg+xml"),
        url(b""),
        url(GIF + b"x" * MOST_BYTES),
        # A thousand million pixels, in a file that is small.
        url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 33_000, 33_000), "png"),
    ],
)
def test_what_is_no_picture_is_named(said: Any):
    form = Form({"image": said})
    assert picture(form, "image") is None
    assert list(form.errors) == ["image"]


def test_a_picture_may_be_absent_unless_it_must_not():
    form = Form({})
    assert picture(form, "icon") is None
    assert form.errors == {}
    assert picture(form, "image", required=True) is None
    assert list(form.errors) == ["image"]


@given(st.binary(max_size=20))
def test_any_bytes_have_one_kind_or_none(content: bytes):
    assert kind_of(content) in {None, "png", "gif", "jpeg", "webp"}
