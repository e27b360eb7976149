"""Session ids say what a node must know, and nobody can make up their own."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.session_ids import BadSessionIdError, Claims, SessionIds

IDS = SessionIds("secret")
CLAIMS = st.builds(
    Claims,
    key=st.text(max_size=16),
    user=st.integers(0, 2**63 - 1),
    intents=st.integers(0, 2**53 - 1),
    shard=st.tuples(st.integers(0, 2**53 - 1), st.integers(1, 2**53 - 1)),
    inbox=st.text(max_size=20),
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
