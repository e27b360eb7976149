"""Who may use a command: beside a twin that reads Discord's rules word by word."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.model import Channel, Guild, Role, Thread
from gateway.ingress.errors import FormError
from gateway.ingress.forms import Form
from gateway.interactions.permitted import permissions_in, says_of_channel, says_of_member

GUILD = Guild(
    id=100,
    name="g",
    owner_id=1,
    roles={ident: Role(id=ident, name="r", permissions=0) for ident in (100, 201, 202)},
    channels={ident: Channel(id=ident, guild_id=100) for ident in (301, 302)},
)
COMMAND, APP, USER = 7, 8, 5
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def one(kind, ident, allowed):
    return {"id": str(ident), "type": kind, "permission": allowed}


said_of = st.lists(
    st.builds(
        one,
        st.sampled_from((1, 2, 3)),
        st.sampled_from((100, 201, 202, USER, 6, 99, 301, 302)),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda each: (each["type"], each["id"]),
)


def twin(of_command, of_app, roles):
    def asked(said):
        found = {(each["type"], int(each["id"])): each["permission"] for each in said}
        if (2, USER) in found:
            return found[2, USER]
        mine = {role: found[1, role] for role in roles if (1, role) in found}
        if True in mine.values():
            return True
        if mine:
            return False
        return found.get((1, 100))

    if asked(of_command) is not None:
        return asked(of_command)
    return False if asked(of_app) is False else None


@given(said_of, said_of, st.sets(st.sampled_from((201, 202))))
def test_who_agrees_with_the_twin(of_command, of_app, roles):
    said = {COMMAND: of_command, APP: of_app}
    assert says_of_member(said, COMMAND, APP, GUILD, USER, roles) is twin(of_command, of_app, roles)


@given(said_of, said_of)
def test_where_the_nearest_word_counts(of_command, of_app):
    wanted = True
    for said in (of_app, of_command):
        for ident in (99, 301):  # all channels, this one
            for each in said:
                if (each["type"], each["id"]) == (3, str(ident)):
                    wanted = each["permission"]
    channel = GUILD.channels[301]
    found = says_of_channel({COMMAND: of_command, APP: of_app}, COMMAND, APP, GUILD, channel)
    assert found == wanted


def test_a_thread_is_where_its_channel_is():
    thread = Channel(
        id=999,
        guild_id=100,
        type=11,
        parent_id=301,
        thread=Thread(owner_id=1, made_at=NOW, changed_at=NOW),
    )
    assert not says_of_channel({COMMAND: [one(3, 301, False)]}, COMMAND, APP, GUILD, thread)
    assert says_of_channel({COMMAND: [one(3, 302, False)]}, COMMAND, APP, GUILD, thread)


def test_what_a_body_says():
    said = [
        one(1, 100, False),
        one(2, 12345, True),
        one(3, 301, True),
        one(3, 99, False),
        one(2, 12345, False),
    ]
    found = permissions_in(Form({"permissions": said}), GUILD)
    assert found == [one(1, 100, False), one(2, 12345, False), one(3, 301, True), one(3, 99, False)]
    assert permissions_in(Form({"permissions": []}), GUILD) == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ["permissions"]), ({"permissions": 5}, ["permissions"]),
        ({"permissions": [one(1, 5, True)]}, ["permissions", "0", "id"]),
        ({"permissions": [one(3, 5, True)]}, ["permissions", "0", "id"]),
        ({"permissions": [one(4, 5, True)]}, ["permissions", "0", "type"]),
        ({"permissions": [{"id": "5", "type": 2}]}, ["permissions", "0", "permission"]),
        ({"permissions": [{"id": "5", "type": 2, "permission": "yes"}]}, ["permissions", "0", "permission"]),
        ({"permissions": [{"type": 2, "permission": True}]}, ["permissions", "0", "id"]),
        ({"permissions": [one(2, ident, True) for ident in range(101)]}, ["permissions"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body, path):
    with pytest.raises(FormError) as caught:
        permissions_in(Form(body), GUILD)
    found = caught.value.errors
    for part in path:
        assert list(found) == [part]
        found = found[part]
    assert list(found) == ["_errors"]
