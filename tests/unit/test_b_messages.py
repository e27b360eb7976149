"""What messages may hold, where that was too much or showed nothing."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fanfare.mentions import Mentioned
from fanfare.model import Channel, User
from gateway.ingress.drafts import COMPONENTS_V2, MAX_BYTES, read_draft, read_edit
from gateway.ingress.errors import FormError
from gateway.ingress.message_payloads import build, edited

NOBODY = Mentioned((), (), everyone=False, here=False)
ALICE = User(id=10**17, username="alice")
CHANNEL = Channel(id=5 * 10**17, guild_id=10**18, name="general")


def stored(body: dict[str, Any]) -> dict[str, Any]:
    """A message as it is stored."""
    built = build(1574157357513289728, CHANNEL, ALICE, None, read_draft(body), mentioned=NOBODY)
    return dict(msgspec.json.decode(built.body))


def refused(body: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(FormError) as caught:
        read_draft(body)
    return dict(caught.value.errors or {})


def row(*inner: Any) -> list[Any]:
    return [{"type": 1, "components": list(inner)}]


def menu(**fields: Any) -> list[Any]:
    options = [{"label": name, "value": name} for name in "ab"]
    return row({"type": 3, "custom_id": "s", "options": options} | fields)


LONG = "\U0001f701"
URL = "https://example.org/" + "x" * 1900
PARTS = [
    {"content": LONG * 2000},
    {"embeds": [{"title": "x", "url": URL, "image": {"url": URL}, "thumbnail": {"url": URL}}] * 5},
    {"components": [{"type": 1, "components": [
        {"type": 2, "style": 1, "label": LONG * 80, "custom_id": f"{line}{place}" + LONG * 96} for place in range(5)
    ]} for line in range(5)]},
]  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_b3_edits_one_after_the_other_do_not_make_a_message_too_long(order: tuple[int, ...]) -> None:
    message = stored({"content": "x"})
    refusals = 0
    for place in order:
        try:
            built = edited(message, read_edit(PARTS[place]), now=datetime.now(UTC), mentioned=NOBODY)
        except FormError:
            refusals += 1
        else:
            message = msgspec.json.decode(built.body)
    assert refusals
    assert (
        len(msgspec.json.encode([message[key] for key in ("content", "embeds", "components")])) <= MAX_BYTES
    )


def test_b3_what_is_too_long_may_still_hide_its_embeds() -> None:
    message = stored({"content": "x"}) | {"content": "x" * 2 * MAX_BYTES}
    assert edited(message, read_edit({"flags": 4}), now=datetime.now(UTC)).body


@pytest.mark.parametrize(
    "embed",
    [
        {"footer": {"text": ""}},
        {"footer": {"text": " \n"}},
        {"author": {"name": ""}},
        {"author": {"name": "\u3000"}},
        {"title": "  "},
        {"description": "\n\n"},
        {"fields": [{"name": " ", "value": "x"}]},
        {"fields": [{"name": "x", "value": "\u2028"}]},
        {"url": "https://example.org/"},
        {"title": "x", "footer": {"text": " "}},
        {"color": 5, "title": "\0"},
    ],
)
def test_b3_embeds_that_show_nothing(embed: dict[str, Any]) -> None:
    assert refused({"embeds": [embed]})["embeds"]["0"]
    with pytest.raises(FormError):
        read_edit({"embeds": [embed]})


def test_b3_what_shows_something_is_kept() -> None:
    """Libraries send U+200B where a field is to have no name."""
    embed = {"title": " ", "fields": [{"name": "\u200b", "value": " x "}]}
    fields = [{"name": "\u200b", "value": " x ", "inline": False}]
    assert read_draft({"embeds": [embed]}).embeds == ({"type": "rich", "fields": fields},)


@pytest.mark.parametrize("listed", [[], [{"title": "x"}]])
def test_b9_there_is_one_list_of_embeds(listed: list[Any]) -> None:
    assert list(refused({"content": "x", "embeds": listed, "embed": {"title": "y"}})) == ["embed"]
    assert read_draft({"embeds": None, "embed": {"title": "y"}}).embeds
    assert read_draft({"embeds": [{"title": "y"}], "embed": None}).embeds


@pytest.mark.parametrize("fields", [{"max_values": 3}, {"min_values": 3, "max_values": 25}])
def test_b2_menus_that_ask_for_more_than_they_have(fields: dict[str, Any]) -> None:
    inner = refused({"content": "x", "components": menu(**fields)})["components"]["0"]["components"]["0"]
    assert list(inner) == ["max_values"]
    assert read_draft({"content": "x", "components": menu(max_values=2)}).components


@pytest.mark.parametrize(
    "components",
    [
        row({"type": 2, "style": 1, "label": "  ", "custom_id": "x"}),
        row({"type": 3, "custom_id": "s", "options": [{"label": " ", "value": "x"}]}),
    ],
)
def test_b2_labels_that_show_nothing(components: list[Any]) -> None:
    assert refused({"content": "x", "components": components})["components"]


def test_b2_a_text_that_shows_nothing() -> None:
    assert refused({"flags": COMPONENTS_V2, "components": [{"type": 10, "content": " \n"}]})["components"]


def texts(*said: str) -> dict[str, Any]:
    return {"components": [{"type": 10, "content": one} for one in said]}


def test_b1_the_mentions_of_an_edit_are_those_of_the_message_afterwards() -> None:
    """A message of components says everything by them, whether or not an edit repeats its flag."""
    message = stored({"flags": COMPONENTS_V2} | texts("<@100000000000000001>"))

    def users(body: dict[str, Any], of: dict[str, Any] = message) -> Any:
        written = read_edit(body).written(of)
        return None if written is None else list(written.users)

    assert users(texts("<@100000000000000002>", "<@100000000000000003>")) == [
        100000000000000002,
        100000000000000003,
    ]
    assert users(texts("<@100000000000000002>") | {"flags": COMPONENTS_V2}) == [100000000000000002]
    assert users(texts("nobody")) == []
    assert users({"content": ""}) == [100000000000000001], "the components still say it"
    assert users({"flags": 4}) is None
    plain = stored({"content": "<@100000000000000004>"})
    assert users({"components": menu()}, plain) is None
    assert users({"content": "<@100000000000000005>"}, plain) == [100000000000000005]
    assert users({"content": None, "flags": COMPONENTS_V2} | texts("<@100000000000000006>"), plain) == [
        100000000000000006
    ]


def test_b2_a_time_that_cannot_be_read() -> None:
    said = refused({"embeds": [{"description": "x", "timestamp": "yesterday"}]})
    assert said["embeds"]["0"]["timestamp"]["_errors"][0]["code"] == "DATE_TIME_TYPE_PARSE"
