"""Whom a message mentions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.mentions import ALLOW_ALL, Allowed, Mentioned, find, resolve

ALICE, BOB, ROLE = 10**17, 10**17 + 1, 10**17 + 2
NOBODY = Allowed(frozenset(), frozenset(), everyone=False, replied_user=False)
TEXT = f"<@{ALICE}> <@!{BOB}> <@{ALICE}> <@&{ROLE}> @everyone"


def mentioned(
    content: str, allowed: Allowed = ALLOW_ALL, *, loud: bool = True, replied_to: int = 0
) -> Mentioned:
    return resolve(
        find(content), allowed, mentionable_roles={ROLE}, may_mention_everyone=loud, replied_to=replied_to
    )


def test_what_is_written_counts_once_and_in_order() -> None:
    assert mentioned(TEXT) == Mentioned((ALICE, BOB), (ROLE,), everyone=True, here=False)


@pytest.mark.parametrize(
    "content", ["", "me@here.example", "<@12>", "<@abc>", "<#100000000000000000>", "<@&>", "@every"]
)
def test_what_is_no_mention(content: str) -> None:
    found = find(content.replace("me@here.example", "@hereabouts"))
    assert found == ((), (), False, False)


def test_here_is_not_everyone() -> None:
    assert mentioned("@here") == Mentioned((), (), everyone=True, here=True)
    assert mentioned("@here @everyone") == Mentioned((), (), everyone=True, here=False)


def test_who_may_not_mention_everyone() -> None:
    assert mentioned("@everyone @here", loud=False) == Mentioned((), (), everyone=False, here=False)


def test_roles_that_nobody_may_mention() -> None:
    other = ROLE + 1
    assert mentioned(f"<@&{other}>").roles == ()


def test_allowed_mentions_limit_and_never_add() -> None:
    only_bob = Allowed(frozenset({BOB, 5}), frozenset(), everyone=False, replied_user=False)
    assert mentioned(TEXT, only_bob) == Mentioned((BOB,), (), everyone=False, here=False)
    assert mentioned(TEXT, NOBODY) == Mentioned((), (), everyone=False, here=False)


def test_replies_mention_whom_they_answer_if_allowed() -> None:
    assert mentioned("yes", replied_to=BOB).users == (BOB,)
    assert mentioned(f"<@{BOB}>", replied_to=BOB).users == (BOB,)
    assert mentioned("yes", NOBODY, replied_to=BOB).users == ()


@given(st.text(alphabet="<@!&>1234567890 everyonhr", max_size=80))
def test_any_text_can_be_read(content: str) -> None:
    found = find(content)
    assert len(set(found.users)) == len(found.users)
    assert all(str(user) in content or f"0{user}" in content for user in found.users)
