"""What clients say of statuses and voice channels, and how the sessions of a user count together."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guilds.audience import View
from gateway.statuses import status, voice
from gateway.statuses.status import OFFLINE, ONLINE, Status, merged, read, unpack, update
from gateway.statuses.teller import Pace
from tests.unit.gateway_world import ALICE, GUILD_ID, guild

NOW = 1_700_000_000_000

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["status", "activities", "game", "afk", "since"])
ACTIVITY = st.dictionaries(
    st.sampled_from(["name", "type", "url", "state", "details", "emoji", "created_at"]),
    ANYTHING | st.text(),
    max_size=7,
)


@given(st.dictionaries(NAMES, ANYTHING | st.lists(ACTIVITY, max_size=8), max_size=4) | ANYTHING)
def test_whatever_is_said_of_a_status_others_can_read_it(said: Any):
    found = read(json.dumps(said).encode(), 2, NOW)
    assert unpack(found.pack()) == found
    activities = json.loads(found.activities)
    assert len(activities) <= 5
    for one in activities:
        assert 0 < len(one["name"]) <= 128
        assert one["type"] in range(6)
        assert isinstance(one["created_at"], int)
        assert set(one) <= {"name", "type", "created_at", "url", "state", "details", "emoji"}


@pytest.mark.parametrize("d", [b"", b"{", b"[" * 4000, b"null", b"\xff"])
def test_what_is_no_status_is_online(d):
    assert read(d, 2, NOW) == ONLINE


@pytest.mark.parametrize(
    ("said", "rank"),
    [
        ({"status": "dnd"}, 3),
        ({"status": "online"}, 2),
        ({"status": "idle"}, 1),
        ({"status": "invisible"}, 0),
        ({"status": "offline"}, 0),
        ({"status": "away"}, 2),
        ({}, 2),
    ],
)
def test_the_words_of_statuses(said, rank):
    assert read(json.dumps(said).encode(), 2, NOW).rank == rank


def test_a_link_that_is_no_web_page_is_left_out():
    said = {"activities": [{"name": "x", "type": 1, "url": "javascript:alert(1)"}]}
    assert "url" not in json.loads(read(json.dumps(said).encode(), 2, NOW).activities)[0]


@pytest.mark.parametrize(
    ("properties", "client"),
    [
        (None, 2),
        ([], 2),
        ({"browser": 5}, 2),
        ({"browser": "Discord Android"}, 1),
        ({"$browser": "Discord iOS"}, 1),
        ({"browser": "Discord Client"}, 0),
        ({"browser": "disco"}, 2),
    ],
)
def test_kinds_of_clients(properties, client):
    assert status.client_of(properties) == client


def test_sessions_count_together_in_any_order():
    sessions = [Status(0, 0), Status(1, 1, b"[1]"), Status(3, 2, b"[3]"), Status(2, 0, b"[2]")]
    assert {merged(order) for order in itertools.permutations(sessions)} == {b"3213[3]"}
    assert merged([]) == b""
    assert merged([Status(0, 2)]) == b"0000[]"


def test_a_user_who_is_not_there_is_told_as_offline():
    told = json.loads(update(7, 8, b""))
    assert told == {"user": {"id": "8"}, "guild_id": "7"} | json.loads(OFFLINE)


@given(
    ANYTHING
    | st.dictionaries(st.sampled_from(["guild_id", "channel_id", "self_mute", "self_deaf"]), ANYTHING)
)
def test_whatever_is_said_of_a_voice_channel(said: Any):
    wish = voice.read(json.dumps(said).encode())
    if wish is not None:
        assert 0 < wish.guild < 1 << 63
        assert 0 <= wish.channel < 1 << 63


def test_nobody_learns_a_sessions_key_from_its_voice_state():
    view = View(guild())
    wish = voice.VoiceWish(GUILD_ID, 5, mute=True, deaf=False)
    state = json.loads(voice.state_of(view, wish, ALICE, "0011223344556677"))
    assert "0011223344556677" not in json.dumps(state)
    assert state["member"]["user"]["id"] == str(ALICE)
    assert json.loads(voice.left(view, 99))["channel_id"] is None
    assert "member" not in json.loads(voice.left(view, 99))


@pytest.mark.parametrize(("members", "most"), [(10, 550), (1_000, 240), (100_000, 12)])
def test_a_large_guild_does_not_storm(members, most):
    """In ten seconds in which everybody comes."""
    pace = Pace()
    told = sum(pace.may(GUILD_ID, members, moment / 100) for moment in range(1000))
    assert told <= most
    assert told >= most * 0.8
