"""Tokens."""

import re
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.tokens import BadTokenError, Tokens

TOKENS = Tokens("a secret")
USER = 1574151233390755844


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40 - 1), st.sampled_from(["", "Bot ", "Bearer "]))
def test_a_token_names_its_user(user, issued, prefix):
    assert TOKENS.verify(prefix + TOKENS.issue(user, issued)) == user


def test_the_form_is_the_one_that_libraries_read():
    first, second, third = TOKENS.issue(USER).split(".")
    assert urlsafe_b64decode(first + "=" * (-len(first) % 4)) == str(USER).encode()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in (first, second, third))
    assert len(third) == 43  # 256 bits


def test_the_same_time_gives_the_same_token():
    assert TOKENS.issue(USER, 17) == TOKENS.issue(USER, 17)
    assert TOKENS.issue(USER, 17) != TOKENS.issue(USER, 18)


def test_another_secret_signs_otherwise():
    with pytest.raises(BadTokenError):
        Tokens("another secret").verify(TOKENS.issue(USER))


@given(st.data())
def test_no_changed_token_is_taken(data):
    token = TOKENS.issue(USER, 17)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(exclude_characters=token[at]))
    with pytest.raises(BadTokenError):
        TOKENS.verify(token[:at] + other + token[at + 1 :])


@given(st.one_of(st.text(), st.from_regex(r"(Bot )?[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True)))
def test_whatever_comes_is_no_token(text):
    with pytest.raises(BadTokenError):
        TOKENS.verify(text)


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_no_part_of_a_token_is_taken(cut):
    with pytest.raises(BadTokenError):
        TOKENS.verify(TOKENS.issue(USER)[:cut])


def test_no_secret_is_refused():
    with pytest.raises(ValueError, match="FANFARE_SECRET"):
        Tokens("")
