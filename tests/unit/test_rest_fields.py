"""What REST takes of channels, roles and overwrites: read whole, or refused by the name of the field."""

from typing import Any

import pytest

from fanfare.model import Overwrite
from gateway.ingress.errors import FormError
from gateway.ingress.forms import Form
from gateway.rest.fields import channel_fields, overwrite, refuse_others, role_fields


def refused(form: Form) -> set[str]:
    """The fields that are wrong."""
    with pytest.raises(FormError) as caught:
        form.check()
    return set(caught.value.errors)


def test_the_fields_of_a_channel():
    form = Form(
        {
            "name": "room",
            "position": 3,
            "nsfw": True,
            "rate_limit_per_user": 5,
            "topic": "",
            "parent_id": None,
            "permission_overwrites": [
                {"id": "5", "type": "member", "allow": "1", "deny": 0},
                {"id": "5", "type": 1, "allow": "3"},
                {"id": 6, "type": "role"},
            ],
        }
    )
    found = channel_fields(form)
    form.check()
    assert found == {
        "name": "room",
        "position": 3,
        "nsfw": True,
        "rate_limit_per_user": 5,
        "topic": None,
        "parent_id": 0,
        "overwrites": (Overwrite(5, 1, 3, 0), Overwrite(6, 0, 0, 0)),
    }


def test_what_a_channel_does_not_say_stays_as_it_is():
    assert channel_fields(Form({"name": None})) == {}


def test_the_fields_of_a_role():
    form = Form(
        {"name": "red", "permissions": "8", "colors": {"primary_color": 255}, "color": 1, "hoist": True}
    )
    found = role_fields(form)
    form.check()
    assert found == {"name": "red", "permissions": 8, "color": 255, "hoist": True}
    assert role_fields(Form({"color": 7, "mentionable": False, "position": 2})) == {
        "color": 7,
        "mentionable": False,
        "position": 2,
    }


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"id": "0", "type": 0}, {"id"}),
        ({"type": 0}, {"id"}),
        ({"id": "5", "type": 2}, {"type"}),
        ({"id": "5", "type": "guest"}, {"type"}),
        ({"id": "5", "type": 0, "allow": "-1"}, {"allow"}),
        ({"id": "5", "type": 0, "deny": str(1 << 63)}, {"deny"}),
    ],
)
def test_an_overwrite_that_is_for_nobody_or_has_no_kind(body: dict[str, Any], wrong: set[str]):
    form = Form(body)
    overwrite(form)
    assert refused(form) == wrong


def test_a_field_that_is_not_supported_is_refused_unless_it_says_nothing_new():
    """A library sends the whole channel back, though it changes the name only."""
    form = Form({"name": "x", "bitrate": 64_000, "user_limit": 0, "rtc_region": None, "flags": 4, "type": 0})
    refuse_others(form, {"name"}, {"flags": 4, "bitrate": 96_000})
    assert refused(form) == {"bitrate"}
    form = Form({"colors": {"primary_color": 1, "secondary_color": 2}, "icon": "x"})
    role_fields(form)
    assert refused(form) == {"colors", "icon"}


def test_what_discord_js_sends_besides_the_field_that_it_makes_of_it_is_let_pass():
    until = {"communicationDisabledUntil": 5, "communication_disabled_until": None}
    form = Form(until | {"otherField": 1, "withoutThePlain": 2})
    refuse_others(form, {"communication_disabled_until"})
    assert refused(form) == {"otherField", "withoutThePlain"}
