"""Reactions: however the log is cut into batches, and wherever the archiver is, everybody counts the same."""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.reactions import Reactions, Row, reactions_of
from archiver.rows import BadPayloadError, Logged
from fanfare.record import Record
from fanfare.store.reactions import Apart, Counted
from gateway.ingress.reaction_state import EVERYBODY, Kind, Newest, field_of, kinds

CHANNEL = 1
EMOJIS = ("👍", "🎉")
USERS = (11, 12, 13)
MESSAGES = (101, 102)


class Event(NamedTuple):
    """One of the four, with what it is about."""

    name: str
    message: int
    user: int
    emoji: str


events = st.lists(
    st.builds(
        Event,
        st.sampled_from(["ADD"] * 4 + ["REMOVE"] * 2 + ["REMOVE_EMOJI", "REMOVE_ALL"]),
        st.sampled_from(MESSAGES),
        st.sampled_from(USERS),
        st.sampled_from(EMOJIS),
    ),
    max_size=25,
)


def logged(event: Event, offset: int) -> Logged:
    said = {"channel_id": "1", "message_id": str(event.message)}
    if event.name != "REMOVE_ALL":
        said["emoji"] = {"id": None, "name": event.emoji}
    if event.name in {"ADD", "REMOVE"}:
        said["user_id"] = str(event.user)
    record = Record(type=f"MESSAGE_REACTION_{event.name}", channel=CHANNEL, payload=msgspec.json.encode(said))
    return Logged(record, offset, 0)


def truth(log: list[Event]) -> dict[tuple[int, str], set[int]]:
    """Who reacted with what, in the plainest words."""
    found: dict[tuple[int, str], set[int]] = {}
    for event in log:
        key = (event.message, event.emoji)
        if event.name == "ADD":
            found.setdefault(key, set()).add(event.user)
        elif event.name == "REMOVE":
            found.get(key, set()).discard(event.user)
        else:
            for emoji in EMOJIS if event.name == "REMOVE_ALL" else [event.emoji]:
                found.pop((event.message, emoji), None)
    return {key: users for key, users in found.items() if users}


Table = dict[tuple[int, int, str, int], Row]


def archive(table: Table, batch: Reactions) -> None:
    """What the archiver's SQL does."""
    for clear in batch.cleared:
        for key, row in table.items():
            if key[:2] == clear[:2] and clear.emoji in {"", row.emoji} and row.version < clear.version:
                table[key] = row._replace(version=clear.version, present=False)
    for key, row in batch.rows.items():
        if key not in table or table[key].version < row.version:
            table[key] = row


def counted(table: Table, apart: list[Apart], me: int) -> list[Counted]:
    """What the store's SQL does."""
    rows: dict[tuple[int, str], list[Row]] = {}
    for row in table.values():
        if not any(
            one.message_id == row.message_id
            and one.emoji in {"", row.emoji}
            and (one.user_id == row.user_id or (one.user_id == 0 and row.version <= one.version))
            for one in apart
        ):
            rows.setdefault((row.message_id, row.emoji), []).append(row)
    return [
        Counted(
            message,
            emoji,
            sum(row.present for row in found),
            any(row.present and row.user_id == me for row in found),
            min((row.version for row in found if row.present), default=0),
            max((row.version for row in found if row.user_id == me), default=-1),
        )
        for (message, emoji), found in rows.items()
    ]


def overlay(log: list[Event], since: int) -> dict[bytes, bytes]:
    """What Redis knows: each event above an offset, as the last of its name."""
    found = {}
    for offset, event in enumerate(log):
        if offset > since:
            single = event.name in {"ADD", "REMOVE"}
            user = event.user if single else EVERYBODY
            emoji = "" if event.name == "REMOVE_ALL" else event.emoji
            name = field_of(event.message, user, emoji).encode()
            found[name] = f"{offset}:{int(event.name == 'ADD')}".encode()
    return found


@given(events, st.integers(1, 9), st.integers(0, 4))
def test_the_table_is_the_same_however_the_log_is_cut_and_repeated(log, size, again):
    table: Table = {}
    for begin in range(0, len(log), size):
        start = max(0, begin - again)
        part = [logged(event, start + at) for at, event in enumerate(log[start : begin + size])]
        archive(table, reactions_of(part))
    assert {row[:4] for row in table.values() if row.present} == {
        (CHANNEL, message, emoji, user) for (message, emoji), users in truth(log).items() for user in users
    }


@given(events, st.integers(-1, 24), st.integers(-1, 24))
def test_what_is_read_is_the_truth_wherever_the_archiver_and_the_trimmer_are(log, archived, trimmed):
    """Redis was read before the database, so the database may know more; what Redis has let go stands there."""
    trimmed = min(trimmed, archived)
    table: Table = {}
    archive(table, reactions_of([logged(event, at) for at, event in enumerate(log[: archived + 1])]))
    for me in USERS:
        newest = Newest.read(overlay(log, trimmed), MESSAGES)
        stored = counted(table, newest.apart(), me)
        found = kinds(newest, stored, me)
        assert {
            (message, kind.emoji): (kind.number, kind.me) for message, ones in found.items() for kind in ones
        } == {key: (len(users), me in users) for key, users in truth(log).items()}


def test_the_oldest_emoji_comes_first_and_is_shown_in_full():
    newest = Newest.read({b"101:11:\xf0\x9f\x91\x8d": b"7:1", b"102:11:x": b"8:1"}, [101])
    found = kinds(newest, [Counted(101, "🎉", 2, False, 5, -1), Counted(101, "👍", 1, False, 9, -1)], 11)
    assert found == {101: [Kind("🎉", 2, me=False), Kind("👍", 2, me=True)]}
    assert found[101][1].json() == {
        "emoji": {"id": None, "name": "👍"},
        "count": 2,
        "count_details": {"burst": 0, "normal": 2},
        "me": True,
        "me_burst": False,
        "burst_colors": [],
    }


def test_a_record_that_names_no_message_is_said_to_be_bad():
    record = Record(type="MESSAGE_REACTION_ADD", payload=b"{}")
    with pytest.raises(BadPayloadError):
        reactions_of([Logged(record, 1, 0)])
