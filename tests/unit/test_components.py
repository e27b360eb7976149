"""Components: what gets in can be read by a library, what cannot is named."""

import copy
from typing import Any

import discord
import pytest
from discord.components import _component_factory
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingress.drafts import read_draft
from gateway.ingress.errors import FormError
from tests.fuzz.broken import places
from tests.fuzz.doors import BODIES

V2 = 1 << 15
ROWS, LAYOUT = (
    body["components"] for body in BODIES["POST", "/channels/{channel}/messages"]
)  # an ordinary message's, and those of one that says everything by components


def accepted(components: Any, flags: int = 0) -> list[Any]:
    return list(
        read_draft({"content": "" if flags else "x", "components": components, "flags": flags}).components
    )


def errors(components: Any, flags: int = 0) -> Any:
    with pytest.raises(FormError) as caught:
        accepted(components, flags)
    return caught.value.errors


def every(components: Any) -> list[Any]:
    found = []
    for one in components:
        found += [one, *every(one.get("components", ())), *([one["accessory"]] if "accessory" in one else [])]
    return found


@pytest.mark.parametrize(("components", "flags"), [(ROWS, 0), (LAYOUT, V2)])
def test_b2_good_ones_are_kept_and_read_by_discord_py(components, flags):
    found = accepted(components, flags)
    assert [one["type"] for one in every(found)] == [one["type"] for one in every(components)]
    ids = [one["id"] for one in every(found)]
    assert len(ids) == len(set(ids))
    for one in found:
        assert isinstance(_component_factory(one), discord.Component)


@pytest.mark.parametrize(
    ("component", "field"),
    [
        ({"type": 2, "style": 1, "label": "x" * 81, "custom_id": "x"}, "label"),
        ({"type": 2, "style": 1, "label": "x"}, "custom_id"),
        ({"type": 2, "style": 1, "custom_id": "x"}, "label"),
        ({"type": 2, "style": 5, "label": "x", "url": "javascript:x"}, "url"),
        ({"type": 2, "style": 5, "label": "x", "url": "https://x.org", "custom_id": "x"}, "custom_id"),
        ({"type": 2, "style": 6, "sku_id": "1"}, "style"),
        ({"type": 2, "style": 7, "label": "x", "custom_id": "x"}, "style"),
        ({"type": 2, "style": 1, "custom_id": "x", "emoji": {"id": "9" * 20}}, "emoji"),
        ({"type": 3, "custom_id": "x", "options": []}, "options"),
        ({"type": 3, "custom_id": "x", "options": [{"label": "x", "value": "y"}] * 2}, "options"),
        ({"type": 3, "custom_id": "x", "options": [{"label": "x"}]}, "options"),
        ({"type": 5, "custom_id": "x", "min_values": 2, "max_values": 1}, "min_values"),
        ({"type": 6, "custom_id": "x", "default_values": [{"id": "1", "type": "user"}]}, "default_values"),
        ({"type": 8, "custom_id": "x", "channel_types": ["x"]}, "channel_types"),
        ({"type": 4, "custom_id": "x", "style": 1, "label": "x"}, "type"),
        ({"type": 10, "content": "x"}, "type"),
        ({"type": 15}, "type"),
        ({"type": "button"}, "type"),
        ({"type": None}, "type"),
        ({}, "type"),
    ],
)
def test_b2_bad_ones_are_named_by_their_path(component, field):
    found = errors([{"type": 1, "components": [component]}])
    assert field in found["components"]["0"]["components"]["0"]


@pytest.mark.parametrize("kind", [2, 3, 4, 5, 11, 13, 15, 16, 18, 19, 20, 99, -1])
@pytest.mark.parametrize("flags", [0, V2])
def test_b2_types_that_do_not_stand_alone(kind, flags):
    assert "type" in errors([{"type": kind}], flags)["components"]["0"]


@pytest.mark.parametrize("kind", [9, 10, 12, 14, 17])
def test_b2_a_layout_needs_its_flag(kind):
    assert "type" in errors([{"type": kind}])["components"]["0"]


def test_b2_what_holds_for_all_of_them():
    button = {"type": 2, "style": 1, "label": "x", "custom_id": "same"}
    assert "components" in errors([{"type": 1, "components": [button]}] * 2)
    assert "components" in errors(
        [{"type": 1, "components": [button | {"custom_id": str(n)} for n in range(6)]}]
    )
    assert "components" in errors(
        [{"type": 1, "components": [button | {"custom_id": str(n)}]} for n in range(6)]
    )
    assert "components" in errors([{"type": 10, "content": "x" * 3000}] * 2, V2)
    assert "components" in errors([{"type": 10, "content": "x"}] * 41, V2)
    assert "content" in errors_of({"content": "x", "flags": V2, "components": [{"type": 10, "content": "x"}]})


def errors_of(body: Any) -> Any:
    with pytest.raises(FormError) as caught:
        read_draft(body)
    return caught.value.errors


JUNK = st.sampled_from(
    [None, True, 0, -1, 1 << 70, 1.5, "", "x", "x" * 5000, [], [[]], {}, {"type": 2}, [{}], [None]]
)


@given(st.data())
def test_b2_whatever_is_accepted_can_be_read(data):
    """The independent judge is discord.py's own reader."""
    flags = data.draw(st.sampled_from([0, V2]))
    value = copy.deepcopy(LAYOUT if flags else ROWS)
    at = data.draw(st.sampled_from([place for place in places(value) if place]))
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = data.draw(JUNK)
    try:
        found = accepted(value, flags)
    except FormError:
        return
    for one in found:
        assert _component_factory(one) is not None


def test_b2_ids_that_a_client_gives_are_kept_and_the_others_differ_from_them():
    button = {"type": 2, "style": 1, "label": "x"}
    row = {"type": 1, "components": [button | {"custom_id": "a", "id": 1}, button | {"custom_id": "b"}]}
    (found,) = accepted([row])
    assert found["components"][0]["id"] == 1
    assert len({one["id"] for one in every([found])}) == 3
    assert "components" in errors([row, row])


def test_b2_a_row_has_one_select_or_buttons():
    select = {"type": 5, "custom_id": "s"}
    said = errors(
        [{"type": 1, "components": [select, {"type": 2, "style": 1, "label": "x", "custom_id": "b"}]}]
    )
    assert "COMPONENT_LAYOUT_WIDTH_EXCEEDED" in str(said)
    assert accepted([{"type": 1, "components": [select]}])


def test_b2_no_select_has_more_defaults_than_may_be_chosen():
    options = [{"label": name, "value": name, "default": True} for name in "ab"]
    chosen = {"type": 3, "custom_id": "s", "options": options}
    assert "SELECT_COMPONENT_TOO_MANY_DEFAULTS" in str(errors([{"type": 1, "components": [chosen]}]))
    assert accepted([{"type": 1, "components": [chosen | {"max_values": 2}]}])
    people = {"type": 5, "custom_id": "s", "default_values": [{"id": str(n), "type": "user"} for n in (1, 2)]}
    assert "default_values" in str(errors([{"type": 1, "components": [people]}]))
    (row,) = accepted([{"type": 1, "components": [people | {"max_values": 2}]}])
    assert row["components"][0]["default_values"] == people["default_values"]


def test_b2_a_section_needs_what_stands_beside_it():
    section = {"type": 9, "components": [{"type": 10, "content": "x"}]}
    assert "accessory" in errors([section], V2)["components"]["0"]
    assert accepted([section | {"accessory": {"type": 11, "media": {"url": "https://x.org/a.png"}}}], V2)


def test_b2_what_is_inside_of_others_counts_too():
    """Else a few containers would hold thousands of components."""
    container = {"type": 17, "components": [{"type": 10, "content": "x"}] * 10}
    assert len(every(accepted([container] * 3, V2))) == 33
    assert "BASE_TYPE_MAX_LENGTH" in str(errors([container] * 4, V2)["components"]["_errors"])
