"""Frames, and the blocks that all clients of a node share."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.record import Record
from gateway.protocol.frames import UNGATED, Dispatch, Transport, control, dispatch, splice, wrap
from tests.unit.gateway_world import Log, inflated, raw_blocks, unframed

TEXTS = st.lists(
    st.binary(max_size=300) | st.binary(min_size=1, max_size=9).map(lambda b: b * 20_000), max_size=6
)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_the_header_of_each_length(length):
    payload = b"x" * length
    assert unframed(wrap(payload, Transport.JSON)) == [(0x81, payload)]


@given(TEXTS, st.randoms())
def test_blocks_inflate_whatever_came_before(texts, random):
    blocks = {text: wrap(text, Transport.ZLIB) for text in texts}
    for _ in range(3):
        random.shuffle(texts)
        inflate = zlib.decompressobj()  # a client's only one
        first = wrap(b"hello", Transport.ZLIB, first=True)
        [(kind, payload)] = unframed(first)
        assert kind == 0x82
        assert inflate.decompress(payload) == b"hello"
        for text in texts:
            [(kind, payload)] = unframed(blocks[text])
            assert kind == 0x82
            assert payload.endswith(b"\x00\x00\xff\xff")
            assert inflate.decompress(payload) == text
        assert not inflate.unused_data
        assert not inflate.eof


@given(TEXTS)
def test_raw_blocks_hold_the_text(texts):
    for text in texts:
        [(kind, payload)] = unframed(wrap(text, Transport.ZSTD))
        assert kind == 0x82
        assert raw_blocks(payload) == text


def test_the_first_message_begins_the_stream():
    for transport, head in ((Transport.ZLIB, b"\x78\x9c"), (Transport.ZSTD, bytes.fromhex("28b52ffd0038"))):
        [(_, first)] = unframed(wrap(b"hello", transport, first=True))
        [(_, other)] = unframed(wrap(b"hello", transport))
        assert first == head + other
    assert wrap(b"hello", Transport.JSON, first=True) == wrap(b"hello", Transport.JSON)


def test_all_four_keys_are_in_every_message():
    assert json.loads(control(9, d=False)) == {"op": 9, "d": False, "s": None, "t": None}
    assert json.loads(dispatch(2**53 - 1, "RESUMED", b"{}")) == {
        "op": 0,
        "d": {},
        "s": 2**53 - 1,
        "t": "RESUMED",
    }


def test_a_splice_takes_only_what_is_gated():
    record = Log().message("secret")
    before, after = json.loads(record.payload), json.loads(splice(record))
    ungated = {"content": "", "embeds": [], "attachments": [], "components": []}
    assert before["content"] == "secret"
    assert after == before | ungated == {"id": "1", "tts": False} | ungated
    assert json.loads(b"{" + UNGATED + b"}") == ungated


def test_without_a_range_nothing_is_taken():
    record = Record(type="TYPING_START", payload=b'{"a":1}')
    assert splice(record) == record.payload


@pytest.mark.parametrize("transport", Transport)
def test_each_variant_is_made_once(transport):
    event = Dispatch(5, Log().message("secret"))
    full, less = event.frame(transport, content=True), event.frame(transport, content=False)
    assert [json.loads(text)["d"]["content"] for text in inflated(full + less, transport)] == ["secret", ""]
    assert event.frame(transport, content=True) is full
    assert event.frame(transport, content=False) is less


def test_the_size_covers_the_frames_that_are_made_later():
    """The ring asks when an event comes, before any session has needed a frame of it."""
    event = Dispatch(5, Log().message("x" * 2000))
    size = event.size
    frames = [
        event.frame(kind, content=content)
        for kind in (Transport.JSON, Transport.ZLIB)
        for content in (True, False)
    ]
    assert size == event.size > len(event.record.payload) + sum(map(len, frames))


def test_what_is_not_gated_has_one_variant():
    event = Dispatch(5, Record(type="TYPING_START", payload=b"{}"))
    assert event.frame(Transport.JSON, content=True) is event.frame(Transport.JSON, content=False)
