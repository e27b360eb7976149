"""Session ids say what a node must know, and nobody can make up their own."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.session_ids import BadSessionIdError, Claims, SessionIds

IDS = SessionIds("secret")
CLAIMS = st.builds(
    Claims,
    key=st.text(max_size=16),
    user=st.integers(0, 2**63 - 1),
    intents=st.integers(0, 2**53 - 1),
    shard=st.tuples(st.integers(0, 2**53 - 1), st.integers(1, 2**53 - 1)),
    inbox=st.text(max_size=20),
    generation=st.integers(0, 2**31 - 1),
)
ONE = IDS.issue(Claims("k", 1, 513, (0, 1), "node.1"))


@given(CLAIMS)
def test_what_is_issued_can_be_read(claims):
    issued = IDS.issue(claims)
    assert IDS.read(issued) == claims
    assert SessionIds("secret").read(issued) == claims, "by any node"
    assert issued.replace("-", "").replace("_", "").isalnum()


@given(CLAIMS, st.data())
def test_a_changed_id_is_refused(claims, data):
    raw = bytearray(base64.urlsafe_b64decode(IDS.issue(claims) + "=="))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadSessionIdError):
        IDS.read(base64.urlsafe_b64encode(raw).decode())


@given(st.text())
def test_only_one_error_comes_out(text):
    with pytest.raises(BadSessionIdError):
        IDS.read(text)


@pytest.mark.parametrize("text", ["", "a", "\ud800", "é" * 20, ONE[:-1], ONE * 20, ONE[:24]])
def test_what_is_none_is_refused(text):
    with pytest.raises(BadSessionIdError):
        IDS.read(text)


def test_another_secret_is_another_world():
    with pytest.raises(BadSessionIdError):
        SessionIds("other").read(ONE)


def test_f5_ids_of_before_there_were_generations_can_be_read():
    old = "pmaf5_iUVjwG46HR2dCb0pWhawHNAgGSAAGmbm9kZS4x"
    assert IDS.read(old) == IDS.read(ONE) == Claims("k", 1, 513, (0, 1), "node.1", generation=0)


def test_f5_an_id_of_any_secret_of_the_list_can_be_read():
    rolled = SessionIds("another,secret")
    assert rolled.read(ONE) == IDS.read(ONE)
    assert rolled.issue(rolled.read(ONE)) == SessionIds("another").issue(IDS.read(ONE))


@pytest.mark.parametrize("change", ["{}=", "{} ", "!{}", "{}\n", "{}\0"])
def test_f5_an_id_has_one_form(change):
    with pytest.raises(BadSessionIdError):
        IDS.read(change.format(ONE))
