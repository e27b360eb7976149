"""Op 8: what is asked for, and what is answered."""

import datetime as dt
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.model import Member, User
from gateway.protocol.codes import CloseCode
from gateway.protocol.dialogue import Close, Dialogue
from gateway.protocol.member_requests import RequestMembers, chunks, rate_limited, read

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def asked(**d: Any) -> RequestMembers:
    found = read(json.dumps(d).encode())
    assert found is not None
    return found


def member(ident: int) -> Member:
    return Member(user=User(id=ident, username=f"user{ident}"), joined_at=NOON)


@pytest.mark.parametrize("guild", [7, "7", ["7"], [7]])
@pytest.mark.parametrize(
    ("users", "ids"), [(None, []), ("8", [8]), (8, [8]), ([8, "9"], [8, 9]), ([], []), ("", [])]
)
def test_as_libraries_send_them(guild, users, ids):
    found = asked(guild_id=guild, user_ids=users, presences=256, limit=0, nonce="n")
    assert (found.guild_id, found.user_ids, found.limit, found.nonce, found.presences) == (
        7,
        ids,
        0,
        "n",
        True,
    )
    assert (found.users is None) == (not ids)


@pytest.mark.parametrize("user", ["99999999999999999999", "a", "-1", "٣", "1" * 400, 1 << 63, -5, "0", "8.0"])
def test_b4_what_cannot_be_an_id_is_not_found(user):
    found = asked(guild_id="7", user_ids=[user, "8"])
    assert found.user_ids == [8]
    [answer] = chunks(found, [member(8)], [])
    assert [one["user"]["id"] for one in answer["members"]] == ["8"]
    assert len(answer["not_found"]) == 1
    assert len(answer["not_found"][0]) <= 21


@pytest.mark.parametrize("key", ["limit", "query", "user_ids", "presences", "nonce"])
@pytest.mark.parametrize("value", [None, {}, [], 1.5, True, "x", [[]], [None], -1, 10**18])
def test_b4_odd_fields_never_cost_the_answer(key, value):
    found = asked(**{"guild_id": "7", key: value})
    assert found.guild_id == 7
    assert 0 <= found.limit <= 1_000_000
    assert len(chunks(found, [], [])) == 1


def test_b4_null_is_absent():
    nulls = dict.fromkeys(("query", "user_ids", "limit", "presences", "nonce"))
    assert asked(guild_id="7", **nulls) == asked(guild_id="7") == RequestMembers("7")


def test_a_nonce_that_is_too_long_is_not_told():
    assert asked(guild_id=1, nonce="é" * 16).nonce == "é" * 16
    assert asked(guild_id=1, nonce="é" * 17).nonce is None
    assert "nonce" not in chunks(asked(guild_id=1, nonce="é" * 17), [], [])[0]


def test_every_user_asked_for_is_answered():
    users = [str(user) for user in range(1, 151)]
    found = asked(guild_id=1, user_ids=users)
    [answer] = chunks(found, [member(user) for user in range(1, 101)], [])
    assert answer["not_found"] == users[100:]


def test_many_members_come_in_parts():
    parts = chunks(
        asked(guild_id="7", nonce="n", presences=True),
        [member(user) for user in range(1, 2502)],
        [(7, b'"7"'), (2400, b'"2400"')],
    )
    assert [len(part["members"]) for part in parts] == [1000, 1000, 501]
    assert [(part["chunk_index"], part["chunk_count"]) for part in parts] == [(0, 3), (1, 3), (2, 3)]
    assert all(part["nonce"] == "n" for part in parts)
    shown = [json.loads(msgspec.json.encode(part["presences"])) for part in parts]
    assert shown == [["7"], [], ["2400"]]


def test_who_has_to_wait_is_told_of_which_request():
    assert rate_limited(asked(guild_id="7", nonce="n"), 5.0) == {
        "opcode": 8,
        "retry_after": 5.0,
        "meta": {"guild_id": "7", "nonce": "n"},
    }


@pytest.mark.parametrize(
    "d", [None, [], 5, "7", {}, {"guild_id": None}, {"guild_id": []}, {"guild_id": [1, 2]}]
)
def test_without_a_guild_there_is_no_answer_to_give(d):
    assert read(json.dumps(d).encode()) is None
    dialogue = Dialogue(0.0)
    dialogue.receive(b'{"op":2,"d":{"token":"t","intents":0}}', 0.0)
    dialogue.started()
    [effect] = dialogue.receive(json.dumps({"op": 8, "d": d}).encode(), 0.0)
    assert isinstance(effect, Close)
    assert effect.code is CloseCode.DECODE_ERROR


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["guild_id", "query", "user_ids", "limit", "presences", "nonce"])


@given(st.dictionaries(FIELDS, JSON))
def test_whatever_comes_is_answered_or_names_no_guild(d):
    found = read(json.dumps(d).encode())
    if found is not None:
        assert all(0 < ident < 1 << 63 for ident in found.user_ids)
        json.dumps(chunks(found, [], []))
        json.dumps(rate_limited(found, 1.0))
