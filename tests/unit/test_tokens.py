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
    assert TOKENS.verify(prefix + TOKENS.issue(user, issued)) == (user, 0)


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


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40 - 1), st.integers(0, 2**31 - 1))
def test_f5_a_token_carries_its_generation(user, issued, generation):
    assert TOKENS.verify(TOKENS.issue(user, issued, generation=generation)) == (user, generation)


def test_f5_tokens_of_before_there_were_generations_count():
    old = "MTU3NDE1MTIzMzM5MDc1NTg0NA.AAAAABE.J5Gfm7H3c60M8eTEIrVPw_QPGIEQ_p_vXRcd6b8IvdQ"
    assert Tokens("a secret").issue(USER, 17) == old
    assert TOKENS.verify(old) == (USER, 0)


def test_f5_of_a_list_the_first_signs_and_all_verify():
    old, new = Tokens("the old one"), Tokens("the new one")
    rolled = [Tokens("the old one, the new one"), Tokens("the new one,the old one")]
    assert rolled[0].issue(USER, 17) == old.issue(USER, 17)
    assert rolled[1].issue(USER, 17) == new.issue(USER, 17)
    for tokens in rolled:
        assert tokens.verify(old.issue(USER)) == tokens.verify(new.issue(USER)) == (USER, 0)
    with pytest.raises(BadTokenError):
        new.verify(old.issue(USER))
    with pytest.raises(BadTokenError):
        rolled[0].verify(Tokens("the old one, the new one, a third").issue(USER)[:-1])


@pytest.mark.parametrize(
    "change", ["{}=", "{}==", " {}", "{}\n", "Bot Bearer {}", "Bot Bot {}", "{}.", ".{}", "{}\0"]
)
def test_f5_a_token_has_one_form(change):
    with pytest.raises(BadTokenError):
        TOKENS.verify(change.format(TOKENS.issue(USER, 17)))


def test_f5_the_other_alphabet_of_base64_is_none():
    tokens = [TOKENS.issue(USER, at) for at in range(100)]
    for token in tokens:
        other = token.replace("-", "+").replace("_", "/")
        if other != token:
            with pytest.raises(BadTokenError):
                TOKENS.verify(other)


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "\ud800", "\0", "..", "é.é.é", "Bot ", "Bearer", "\u0661.a.b"]
)
def test_f5_what_is_none_is_refused(text):
    with pytest.raises(BadTokenError):
        TOKENS.verify(text)
