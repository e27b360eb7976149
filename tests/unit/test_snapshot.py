"""READY and GUILD_CREATE."""

import json

import pytest
from msgspec.structs import replace

from fanfare import payloads
from fanfare.constants import LARGE_GUILD
from gateway.guilds import snapshot
from gateway.guilds.audience import View
from gateway.guilds.snapshot import NOBODY_THERE, guild_create, ready
from tests.unit.gateway_world import ALICE, BOB, GUILD_ID, JOINED_AT, PUBLIC, STAFF, guild, user


def test_ready_has_what_libraries_index():
    d = json.loads(ready(user(ALICE), [GUILD_ID], "sid", "ws://host/", (1, 2)))
    assert d["v"] == 10
    assert d["user"] == payloads.own_user(user(ALICE))
    assert d["guilds"] == [{"id": str(GUILD_ID), "unavailable": True}]
    assert d["application"] == {"id": str(ALICE), "flags": payloads.APPLICATION_FLAGS}
    assert (d["session_id"], d["resume_gateway_url"], d["shard"]) == ("sid", "ws://host/", [1, 2])
    assert d["private_channels"] == []
    assert "shard" not in json.loads(ready(user(ALICE), [], "sid", "ws://host/", None))


@pytest.mark.parametrize("ident", [ALICE, BOB, STAFF])
def test_a_small_guild_is_shown_whole(ident):
    state = guild()
    view = View(state)
    seen = [state.channels[PUBLIC]] if ident != STAFF else state.channels.values()
    whole = payloads.guild_create(state, seen, state.members.values(), joined_at=JOINED_AT, large=False)
    for _ in range(2):
        assert json.loads(guild_create(view, ident, NOBODY_THERE)) == json.loads(json.dumps(whole))


def test_each_member_is_told_when_they_joined():
    state = guild()
    state.members[BOB] = replace(state.members[BOB], joined_at=JOINED_AT.replace(year=2020))
    view = View(state)
    joined = [
        json.loads(guild_create(view, ident, NOBODY_THERE))["joined_at"][:4] for ident in (ALICE, BOB, ALICE)
    ]
    assert joined == ["2026", "2020", "2026"]


@pytest.mark.parametrize("count", [LARGE_GUILD + 1, LARGE_GUILD])
def test_a_guild_with_members_that_are_not_kept_is_large(count):
    """A guild that shrinks to the limit is still not known whole."""
    view = View(replace(guild(), member_count=count))
    for ident in (ALICE, BOB):
        d = json.loads(guild_create(view, ident, NOBODY_THERE))
        assert d["large"] is True
        assert d["member_count"] == count
        assert [each["user"]["id"] for each in d["members"]] == [str(ident)]


def test_a_client_may_call_a_smaller_guild_large():
    view = View(guild())
    small = json.loads(guild_create(view, ALICE, NOBODY_THERE))
    large = json.loads(guild_create(view, ALICE, NOBODY_THERE, large_at=3))
    assert (small["large"], len(small["members"])) == (False, 4)
    assert (large["large"], [each["user"]["id"] for each in large["members"]]) == (True, [str(ALICE)])
    assert json.loads(guild_create(view, ALICE, NOBODY_THERE)) == small


def test_members_looked_up_later_change_nothing():
    state = guild()
    carol = state.members.pop(BOB)
    view = View(state)
    before = json.loads(guild_create(view, ALICE, NOBODY_THERE))
    state.members[BOB] = carol
    assert json.loads(guild_create(view, ALICE, NOBODY_THERE)) == before
    assert before["large"] is True


def test_only_so_many_lists_of_channels_are_kept(monkeypatch):
    """A guild may have as many views of its channels as it has members."""
    monkeypatch.setattr(snapshot, "_KEPT", 1)
    view = View(guild())
    shown = [
        json.loads(guild_create(view, ident, NOBODY_THERE))["channels"] for ident in (ALICE, STAFF, ALICE)
    ]
    assert len(view.channel_lists) == 1
    assert shown[0] == shown[2] != shown[1]
