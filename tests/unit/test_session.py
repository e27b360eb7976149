"""The dialogue with one client."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import (
    CLIENT_FRAME_BYTES,
    CLIENT_FRAMES_PER_MINUTE,
    HEARTBEAT_INTERVAL_MS,
    OWN_FRAME_BYTES,
    OWN_UNANSWERED,
)
from gateway.protocol.codes import CloseCode, Op
from gateway.protocol.dialogue import (
    Close,
    Dialogue,
    Identify,
    Reply,
    Resume,
    SendMessage,
    SetStatus,
    SetVoice,
    State,
)

INTERVAL_S = HEARTBEAT_INTERVAL_MS / 1000


def frame(op, d=None) -> bytes:
    return json.dumps({"op": op, "d": d}).encode()


IDENTIFY = frame(Op.IDENTIFY, {"token": "t", "intents": 513})
RESUME = frame(Op.RESUME, {"token": "t", "session_id": "s", "seq": 9})


@pytest.fixture
def fresh() -> Dialogue:
    return Dialogue(0.0)


@pytest.fixture
def opened(fresh) -> Dialogue:
    fresh.receive(IDENTIFY, 0.0)
    fresh.started()
    return fresh


def closes(effects, code) -> bool:
    return [type(effect) for effect in effects] == [Close] and effects[0].code is code


def test_hello_names_the_interval():
    assert Dialogue.hello() == Reply(Op.HELLO, {"heartbeat_interval": HEARTBEAT_INTERVAL_MS})


def test_identify(fresh):
    assert fresh.receive(IDENTIFY, 0.0) == [Identify("t", 513, None)]
    assert fresh.state is State.STARTING
    fresh.started()
    assert fresh.state is State.OPEN


def test_identify_with_all_that_libraries_send(fresh):
    d = {
        "token": "Bot t",
        "properties": {"os": "linux"},
        "compress": "true",
        "large_threshold": 250,
        "shard": [1, 2],
        "presence": {"status": "offline", "activities": None},
        "capabilities": 1,
        "intents": 1 << 40,
        "v": 10,
    }
    presence = b'{"status": "offline", "activities": null}'
    wanted = Identify("Bot t", 1 << 40, (1, 2), presence, {"os": "linux"}, 250)
    assert fresh.receive(frame(2, d), 0.0) == [wanted]


def test_resume(fresh):
    assert fresh.receive(RESUME, 0.0) == [Resume("t", "s", 9)]
    assert fresh.state is State.STARTING


@pytest.mark.parametrize(
    "lacking",
    [{"session_id": None}, {"seq": None}, {"seq": 0}, {"seq": -1}, {"seq": 2**53}, {"session_id": ""}],
)
def test_a_resume_of_nothing_is_invalid_and_may_identify(fresh, lacking):
    d = {"token": "t", "session_id": "s", "seq": 9} | lacking
    assert fresh.receive(frame(6, d), 0.0) == [Reply(Op.INVALID_SESSION, d=False)]
    assert fresh.receive(IDENTIFY, 0.0) == [Identify("t", 513, None)]


def test_a_rejected_start_may_be_tried_again(fresh):
    fresh.receive(RESUME, 0.0)
    fresh.rejected()
    assert fresh.receive(IDENTIFY, 0.0) == [Identify("t", 513, None)]


@pytest.mark.parametrize("second", [IDENTIFY, RESUME])
@pytest.mark.parametrize("finish", [True, False])
def test_only_one_session(fresh, second, finish):
    fresh.receive(IDENTIFY, 0.0)
    if finish:
        fresh.started()
    assert closes(fresh.receive(second, 0.0), CloseCode.ALREADY_AUTHENTICATED)


@pytest.mark.parametrize("d", [None, 0, 5, 2**53])
def test_heartbeats_are_answered_in_every_state(fresh, d):
    for step in (lambda: None, lambda: fresh.receive(IDENTIFY, 0.0), fresh.started):
        step()
        assert fresh.receive(frame(1, d), 0.0) == [Reply(Op.HEARTBEAT_ACK)]


@pytest.mark.parametrize("op", [31, 43])
def test_what_is_ignored_needs_a_session(op):
    dialogue = Dialogue(0.0)
    dialogue.receive(IDENTIFY, 0.0)
    dialogue.started()
    assert dialogue.receive(frame(op, {}), 0.0) == []
    assert closes(Dialogue(0.0).receive(frame(op, {}), 0.0), CloseCode.NOT_AUTHENTICATED)


@pytest.mark.parametrize(("op", "effect"), [(3, SetStatus), (4, SetVoice)])
def test_what_a_client_says_of_itself(op, effect):
    dialogue = Dialogue(0.0)
    dialogue.receive(IDENTIFY, 0.0)
    dialogue.started()
    assert dialogue.receive(frame(op, {}), 0.0) == [effect(b"{}")]


@pytest.mark.parametrize("op", [3, 4, 8, 128])
def test_requests_need_a_session(fresh, op):
    assert closes(fresh.receive(frame(op, {"guild_id": "1"}), 0.0), CloseCode.NOT_AUTHENTICATED)


@pytest.mark.parametrize("op", [0, 5, 7, 9, 10, 11, 44, 127, 129, 132, 10**30, -1])
def test_unknown_opcodes(opened, op):
    assert closes(opened.receive(frame(op), 0.0), CloseCode.UNKNOWN_OPCODE)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"d":1}',
        b'{"op":"1"}',
        b'{"op":1}x',
        frame(2, {}),
        frame(2),
        frame(6, []),
    ],
)
def test_what_cannot_be_read(fresh, message):
    assert closes(fresh.receive(message, 0.0), CloseCode.DECODE_ERROR)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("intents", -1, CloseCode.INVALID_INTENTS),
        ("intents", "all", CloseCode.INVALID_INTENTS),
        ("intents", 2**53, CloseCode.INVALID_INTENTS),
        ("shard", [1, 1], CloseCode.INVALID_SHARD),
        ("shard", [-1, 1], CloseCode.INVALID_SHARD),
        ("shard", [0, 0], CloseCode.INVALID_SHARD),
        ("shard", [0, 2**53], CloseCode.INVALID_SHARD),
        ("shard", 1, CloseCode.INVALID_SHARD),
        ("token", 1, CloseCode.DECODE_ERROR),
    ],
)
def test_a_wrong_identify(fresh, field, value, code):
    d = {"token": "t", "intents": 0} | {field: value}
    assert closes(fresh.receive(frame(2, d), 0.0), code)


def test_nesting_beyond_measure_is_a_decode_error(opened):
    assert closes(opened.receive(b'{"op":128,"d":' + b"[" * 60_000, 0.0), CloseCode.DECODE_ERROR)


@pytest.mark.parametrize(
    ("op", "limit", "state"), [(1, CLIENT_FRAME_BYTES, "fresh"), (128, OWN_FRAME_BYTES, "opened")]
)
def test_frames_are_bounded(request, op, limit, state):
    dialogue = request.getfixturevalue(state)
    empty = len(frame(op, ""))
    assert not any(isinstance(e, Close) for e in dialogue.receive(frame(op, "x" * (limit - empty)), 0.0))
    assert closes(dialogue.receive(frame(op, "x" * (limit - empty + 1)), 0.0), CloseCode.DECODE_ERROR)


def test_frames_per_minute(fresh):
    beat = frame(1)
    for at in (59.9, 60.0):
        for _ in range(CLIENT_FRAMES_PER_MINUTE):
            assert fresh.receive(beat, at) == [Reply(Op.HEARTBEAT_ACK)]
    assert closes(fresh.receive(beat, 119.9), CloseCode.RATE_LIMITED)


def test_own_frames_are_not_counted_per_minute(opened):
    for _ in range(2 * CLIENT_FRAMES_PER_MINUTE):
        assert opened.receive(frame(128, {"nonce": "n"}), 0.0) == [SendMessage(b'{"nonce": "n"}')]
        opened.answered()


def test_unanswered_sends_are_bounded(opened):
    for _ in range(OWN_UNANSWERED):
        assert opened.receive(frame(128, {}), 0.0) == [SendMessage(b"{}")]
    assert closes(opened.receive(frame(128, {}), 0.0), CloseCode.RATE_LIMITED)


def test_silence_ends_it(opened):
    opened.receive(frame(1), 5.0)
    assert opened.check(5.0 + 2 * INTERVAL_S) == []
    assert opened.next_check() == 5.0 + 2 * INTERVAL_S
    assert closes(opened.check(5.001 + 2 * INTERVAL_S), CloseCode.SESSION_TIMED_OUT)
    assert opened.check(10**6) == []


def test_nobody_has_to_identify_at_once(fresh):
    assert fresh.check(59.9) == []
    assert closes(fresh.check(60.1), CloseCode.SESSION_TIMED_OUT)


def test_nothing_follows_the_end(opened):
    opened.closed()
    opened.started()
    opened.rejected()
    assert opened.state is State.CLOSED
    assert opened.receive(frame(1), 0.0) == opened.check(10**6) == []


MESSAGES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frame,
        st.integers(-1, 140),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["token", "intents", "shard", "session_id", "seq", "guild_id", "user_ids"]
                    ),
                    inner,
                )
            ),
            max_leaves=8,
        ),
    ),
    st.sampled_from([IDENTIFY, RESUME]),
)


@given(st.lists(st.tuples(MESSAGES, st.sampled_from(["", "started", "rejected"])), max_size=12))
def test_whatever_comes_there_is_one_start_at_a_time_and_nothing_after_a_close(steps):
    dialogue = Dialogue(0.0)
    starting = ended = False
    for message, outcome in steps:
        effects = dialogue.receive(message, 0.0)
        assert not (ended and effects)
        for effect in effects:
            if isinstance(effect, Identify | Resume):
                assert not starting
                starting = True
            ended |= isinstance(effect, Close)
        assert (dialogue.state is State.CLOSED) == ended
        if starting and outcome:
            getattr(dialogue, outcome)()
            starting = outcome == "started"
