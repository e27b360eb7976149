"""Record format 1."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.record import CHANNEL, FENCE, GUILD, INBOXES, USERS, BadRecordError, Position, Record

IDS = st.integers(min_value=0, max_value=2**63 - 1)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters=","), max_size=20)
POSITIONS = st.builds(
    Position, st.sampled_from(["chat.events", "a/b"]), st.integers(0, 99), st.integers(0, 2**53)
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    payload = draw(st.binary(max_size=100))
    gated = None
    if draw(st.booleans()):
        start, end = sorted(draw(st.tuples(st.integers(0, len(payload)), st.integers(0, len(payload)))))
        gated = (start, end)
    return Record(
        type=draw(st.sampled_from(["MESSAGE_CREATE", FENCE])),
        id=draw(IDS),
        at=draw(IDS),
        audience=draw(st.sampled_from([CHANNEL, GUILD, USERS, INBOXES])),
        guild=draw(IDS),
        channel=draw(IDS),
        author=draw(IDS),
        nonce=draw(WORDS),
        permission=draw(IDS),
        users=tuple(draw(st.lists(IDS, max_size=5))),
        mentions=tuple(draw(st.lists(IDS, max_size=5))),
        gated=gated,
        version=draw(IDS),
        fence=draw(WORDS),
        inboxes=tuple(draw(st.lists(WORDS.filter(bool), max_size=3))),
        traceparent=draw(WORDS),
        source=draw(st.none() | POSITIONS),
        payload=payload,
    )


@given(records())
def test_survives_kafka(record: Record) -> None:
    assert Record.from_kafka(record.headers(), record.payload) == record


@given(records())
def test_survives_an_inbox(record: Record) -> None:
    assert Record.unpack(record.pack()) == record


@given(records(), POSITIONS)
def test_its_own_position_wins(record: Record, own: Position) -> None:
    assert Record.from_kafka(record.headers(), record.payload, own).position == own


@given(POSITIONS)
def test_a_position_survives_text(position: Position) -> None:
    assert Position.parse(str(position)) == position


def test_absent_headers_are_not_written() -> None:
    assert dict(Record(type="TYPING_START", channel=7).headers()) == {
        "v": b"1",
        "type": b"TYPING_START",
        "channel": b"7",
        "audience": b"channel",
    }


def test_unknown_headers_are_ignored() -> None:
    record = Record(type="X", id=1)
    assert Record.from_kafka([*record.headers(), ("colour", b"\xff")], b"") == record


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("v", b"2"), ("type", b"X")],
        [("v", b"1")],
        [("v", b"1"), ("type", b"X"), ("id", b"seven")],
        [("v", b"1"), ("type", b"\xff")],
        [("v", b"1"), ("type", b"X"), ("users", b"1,,2")],
        [("v", b"1"), ("type", b"X"), ("gated", b"1-9")],
        [("v", b"1"), ("type", b"X"), ("gated", b"3-1")],
        [("v", b"1"), ("type", b"X"), ("gated", b"1")],
        [("v", b"1"), ("type", b"X"), ("source", b"chat.events/1")],
    ],
)
def test_what_does_not_follow_the_format_is_refused(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(BadRecordError):
        Record.from_kafka(headers, b"12345678")


@given(
    st.lists(
        st.tuples(st.sampled_from(["v", "type", "id", "gated", "users", "source"]), st.binary(max_size=8))
    )
)
def test_only_one_error_comes_out(headers: list[tuple[str, bytes]]) -> None:
    with contextlib.suppress(BadRecordError):
        Record.from_kafka([("v", b"1"), *headers], b"x")


def test_scopes_follow_the_audience() -> None:
    assert Record(type="X", guild=1).scopes() == ["g:1"]
    assert Record(type="X", guild=1, audience=GUILD, users=(2, 3)).scopes() == ["g:1", "u:2", "u:3"]
    assert Record(type="X", audience=USERS, users=(2,)).scopes() == ["u:2"]
    assert Record(type=FENCE, audience=INBOXES, inboxes=("a.1",)).scopes() == []
