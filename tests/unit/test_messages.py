"""What clients may send, and the bytes that come of it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.mentions import ALLOW_ALL, Allowed, Mentioned
from fanfare.model import DM, Channel, Member, User
from fanfare.record import Record
from gateway.ingress.drafts import Draft, draft_of, read_draft, read_edit
from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import Form, body_of, forms_of
from gateway.ingress.message_payloads import Built, build, deletion, edited, moment_of, typing
from gateway.protocol.frames import splice

ALICE = User(id=10**17, username="alice")
BOB = User(id=10**17 + 1, username="bob")
MEMBER = Member(user=ALICE, joined_at=datetime(2026, 1, 1, tzinfo=UTC))
CHANNEL = Channel(id=5 * 10**17, guild_id=10**18, name="general")
DIRECT = Channel(id=6 * 10**17, type=DM, recipients=(ALICE, BOB))
NOBODY = Mentioned((), (), everyone=False, here=False)
IDENT = 1574157357513289728


def made(draft: Draft, channel: Channel = CHANNEL, **more: Any) -> Built:
    member = MEMBER if channel.guild_id else None
    return build(IDENT, channel, ALICE, member, draft, **({"mentioned": NOBODY} | more))


def without_content(built: Built) -> dict[str, Any]:
    record = Record(type="MESSAGE_CREATE", gated=built.gated, payload=built.body)
    found: dict[str, Any] = msgspec.json.decode(splice(record))
    return found


def errors_of(body: Any) -> Any:
    with pytest.raises(FormError) as raised:
        read_draft(body)
    assert (raised.value.status, raised.value.code) == (400, 50035)
    return raised.value.errors


def test_what_discord_py_sends() -> None:
    """Nulls and unknown keys do not matter."""
    draft = read_draft(
        {
            "content": "hi",
            "tts": None,
            "type": None,
            "nonce": 1574157357513289,
            "enforce_nonce": True,
            "embeds": None,
            "allowedMentions": {"parse": "?"},
            "flags": None,
            "components": None,
            "attachments": [],
            "sticker_ids": None,
        }
    )
    assert draft == Draft(content="hi", nonce=1574157357513289, enforce_nonce=True)


def test_a_form_of_which_a_field_was_read_before_is_checked_as_a_whole():
    """Op 128 has a channel, too: an author who mends one error is not to meet the next one then."""
    form = Form({"channel_id": "nowhere", "content": "x" * 2001})
    assert form.snowflake("channel_id", required=True) is None
    with pytest.raises(FormError) as wrong:
        draft_of(form)
    assert wrong.value.errors.keys() == {"channel_id", "content"}


@pytest.mark.parametrize("body", [{}, {"content": ""}, {"content": " \n"}, {"content": None, "embeds": []}])
def test_empty_messages(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as raised:
        read_draft(body)
    assert raised.value.code == 50006


def test_every_wrong_field_is_named_where_it_is() -> None:
    errors = errors_of(
        {
            "content": "x" * 2001,
            "tts": "yes",
            "nonce": "n" * 26,
            "embeds": [{}, {"title": "t" * 257, "fields": [{"name": "n"}]}],
            "allowed_mentions": {"parse": ["users", "cats"], "users": ["1"]},
            "message_reference": {},
            "attachments": [{"id": 0}],
        }
    )
    assert errors["content"]["_errors"][0]["code"] == "BASE_TYPE_MAX_LENGTH"
    assert errors["embeds"]["1"]["title"]["_errors"]
    assert errors["embeds"]["1"]["fields"]["0"]["value"]["_errors"][0]["code"] == "BASE_TYPE_REQUIRED"
    assert errors["allowed_mentions"]["parse"]["1"]["_errors"]
    assert errors["allowed_mentions"]["parse"]["_errors"]
    assert errors["message_reference"]["message_id"]["_errors"]
    assert errors.keys() == {
        "content", "tts", "nonce", "embeds", "allowed_mentions", "message_reference", "attachments"
    }  # fmt: skip


@pytest.mark.parametrize("content", ["x" * 2000, "é" * 2000, "😀" * 2000])
def test_lengths_are_in_characters(content: str) -> None:
    assert read_draft({"content": content}).content == content


def test_the_embeds_of_a_message_share_a_limit() -> None:
    assert errors_of({"embeds": [{"description": "d" * 3001}] * 2}).keys() == {"embeds"}
    assert len(read_draft({"embeds": [{"description": "d" * 3000}] * 2}).embeds) == 2
    assert errors_of({"embeds": [{"title": "t"}] * 11}).keys() == {"embeds"}


def test_embeds_keep_what_is_known() -> None:
    embed = {
        "title": "t",
        "color": 255,
        "timestamp": "2026-01-01T00:00:00Z",
        "footer": {"text": "f", "proxy": 1},
        "image": {"url": "https://example.org/a.png"},
        "fields": [{"name": "n", "value": "v", "inline": True}],
        "video": {},
        "url": None,
    }
    assert read_draft({"embeds": [embed]}).embeds == (
        {
            "type": "rich",
            "title": "t",
            "color": 255,
            "timestamp": "2026-01-01T00:00:00.000000+00:00",
            "footer": {"text": "f"},
            "image": {"url": "https://example.org/a.png"},
            "fields": [{"name": "n", "value": "v", "inline": True}],
        },
    )


def test_nonces_are_strings_or_numbers() -> None:
    assert read_draft({"content": "x", "nonce": 5}).nonce == 5
    assert read_draft({"content": "x", "nonce": "5"}).nonce == "5"
    assert read_draft({"content": "x", "nonce": ""}).nonce is None
    assert read_draft({"content": "x", "nonce": 10**24}).nonce == str(10**24)
    for wrong in (True, 1.5, [], {}, 10**25):
        assert errors_of({"content": "x", "nonce": wrong}).keys() == {"nonce"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, ALLOW_ALL),
        ({}, Allowed(frozenset(), frozenset(), everyone=False, replied_user=False)),
        ({"parse": ["users"]}, Allowed(None, frozenset(), everyone=False, replied_user=False)),
        ({"parse": ["everyone"], "users": [1, "2"], "replied_user": True},
         Allowed(frozenset({1, 2}), frozenset(), everyone=True, replied_user=True)),
        ({"parse": ["users"], "users": []}, Allowed(None, frozenset(), everyone=False, replied_user=False)),
    ],
)  # fmt: skip
def test_allowed_mentions(given: Any, meant: Allowed) -> None:
    assert read_draft({"content": "x", "allowed_mentions": given}).allowed == meant


def test_a_guild_message_has_all_that_libraries_need() -> None:
    mentioned = Mentioned((BOB.id, 5), (7,), everyone=True, here=False)
    built = made(Draft(content="hi", nonce="n"), mentioned=mentioned, mentioned_users=[BOB])
    message = msgspec.json.decode(built.body)
    keys = (
        "id channel_id guild_id content type author member edited_timestamp tts pinned attachments embeds components "
        "mention_everyone mention_roles mentions timestamp flags nonce"
    )
    assert message.keys() == set(keys.split())
    assert "user" not in message["member"]
    assert (message["nonce"], message["mention_roles"], message["mention_everyone"]) == ("n", ["7"], True)
    assert [user["id"] for user in message["mentions"]] == [str(BOB.id)]
    assert built.mentions == (BOB.id,)
    assert message["timestamp"] == moment_of(IDENT)


def test_a_direct_message_says_what_it_is() -> None:
    message = msgspec.json.decode(made(Draft(content="hi"), DIRECT).body)
    assert message["channel_type"] == 1
    assert not {"guild_id", "member"} & message.keys()


def test_without_content_nothing_of_it_is_left() -> None:
    embed = read_draft({"embeds": [{"title": "secret"}]}).embeds
    replied = msgspec.json.decode(made(Draft(content="secret too")).body)
    built = made(
        Draft(content='se"cret \\ é\u2028', embeds=embed, components=({"type": 1, "label": "secret"},)),
        replied=replied,
    )
    assert msgspec.json.decode(built.body)["referenced_message"]["content"] == "secret too"
    bare = without_content(built)
    assert "secret" not in str(bare)
    assert (bare["content"], bare["embeds"], bare["attachments"], bare["components"]) == ("", [], [], [])
    assert bare["message_reference"]["message_id"] == str(IDENT)
    assert bare["id"] == str(IDENT)


@given(st.text(max_size=200), st.one_of(st.none(), st.text(max_size=25)))
def test_any_text_comes_through(content: str, nonce: str | None) -> None:
    built = made(Draft(content=content, nonce=nonce))
    start, end = built.gated
    assert msgspec.json.decode(built.body)["content"] == content
    assert msgspec.json.decode(b"{" + built.body[start:end] + b"}").keys() == {
        "content", "embeds", "attachments", "components"
    }  # fmt: skip
    whole = msgspec.json.decode(built.body)
    assert without_content(built) == whole | {"content": "", "embeds": []}


def test_an_edit_is_a_whole_message() -> None:
    before = msgspec.json.decode(
        made(
            Draft(content="hi", nonce="n"),
            mentioned_users=[BOB],
            mentioned=Mentioned((BOB.id,), (), False, False),
        ).body
    )
    now = datetime(2026, 11, 22, tzinfo=UTC)
    built = edited(before, read_edit({"content": "ho"}), now=now, mentioned=NOBODY)
    after = msgspec.json.decode(built.body)
    assert after.keys() == before.keys() - {"nonce"}
    assert (after["content"], after["edited_timestamp"]) == ("ho", "2026-11-22T00:00:00.000000+00:00")
    assert (after["mentions"], built.mentions) == ([], ())
    assert "ho" not in str(without_content(built)["content"])


def test_hiding_embeds_is_no_edit() -> None:
    before = msgspec.json.decode(
        made(
            Draft(content="hi"), mentioned_users=[BOB], mentioned=Mentioned((BOB.id,), (), False, False)
        ).body
    )
    built = edited(before, read_edit({"flags": 4 | 1 << 20}), now=datetime.now(UTC))
    after = msgspec.json.decode(built.body)
    assert (after["flags"], after["edited_timestamp"], built.mentions) == (4, None, (BOB.id,))


def test_an_edit_may_not_leave_nothing() -> None:
    before = msgspec.json.decode(made(Draft(content="hi")).body)
    with pytest.raises(ApiError) as raised:
        edited(before, read_edit({"content": None}), now=datetime.now(UTC), mentioned=NOBODY)
    assert raised.value.code == 50006


def test_the_small_payloads() -> None:
    assert msgspec.json.decode(deletion(7, CHANNEL)) == {
        "id": "7", "channel_id": str(CHANNEL.id), "guild_id": str(CHANNEL.guild_id)
    }  # fmt: skip
    assert msgspec.json.decode(deletion(7, DIRECT)) == {"id": "7", "channel_id": str(DIRECT.id)}
    assert msgspec.json.decode(deletion([7, 8], CHANNEL))["ids"] == ["7", "8"]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    found = msgspec.json.decode(typing(ALICE, CHANNEL, MEMBER, now))
    assert found.keys() == {"channel_id", "user_id", "timestamp", "guild_id", "member"}
    assert found["timestamp"] == int(now.timestamp())
    assert "user" in found["member"]
    assert msgspec.json.decode(typing(ALICE, DIRECT, None, now)).keys() == {
        "channel_id",
        "user_id",
        "timestamp",
    }


@pytest.mark.parametrize("raw", [b"", b"{", b"{'a':1}", b'"\\ud800"', b"[" * 100_000, b"\xff"])
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        body_of(raw)
    assert raised.value.code == 50109


@pytest.mark.parametrize("body", [None, [], 5, "x", True])
def test_what_is_no_object(body: Any) -> None:
    assert "_errors" in errors_of(body)
    with pytest.raises(FormError):
        forms_of({}, 1)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = ["content", "nonce", "embeds", "embed", "allowed_mentions", "message_reference", "flags", "tts",
          "components", "attachments", "parse", "users", "title", "fields", "footer", "timestamp", "color"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), st.one_of(
    json_values, st.lists(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4), max_size=3),
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))))  # fmt: skip
def test_whatever_is_sent_is_a_message_or_an_error(body: dict[str, Any]) -> None:
    for read in (read_draft, read_edit):
        try:
            found = read(body)
        except ApiError as error:
            msgspec.json.encode(error.rest())
        else:
            if isinstance(found, Draft):
                made(found)


def test_snowflakes_come_as_numbers_and_strings() -> None:
    form = Form({"a": 5, "b": "6", "c": -1, "d": "x", "e": True, "f": 1 << 63, "g": [1, "2", 1], "h": 5.0})
    assert (form.snowflake("a"), form.snowflake("b"), form.snowflakes("g", most=3), form.snowflake("h")) == (
        5,
        6,
        [1, 2],
        5,
    )
    assert [form.snowflake(key) for key in "cdef"] == [None] * 4
    assert form.errors.keys() == set("cdef")
