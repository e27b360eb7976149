"""What the log does to the message table: however it is cut, repeated and replayed, the table is the same."""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.positions import POSITIONS, new_positions, positions_of
from archiver.rows import AHEAD_MS, BadPayloadError, Changed, Fold, Limits, Logged, Made, creates, fold
from fanfare.constants import NONCE_WINDOW_S, SNOWFLAKE_EPOCH_MS
from fanfare.record import FENCE, INBOXES, Position, Record

Table = dict[tuple[int, int], Made]
WINDOW_MS = int(NONCE_WINDOW_S * 1000)
START_MS = SNOWFLAKE_EPOCH_MS + 1_000_000_000


def snowflake(ms: int, counter: int = 0) -> int:
    return (START_MS + ms - SNOWFLAKE_EPOCH_MS) << 22 | counter


def create(offset: int, ident: int, *, channel=1, author=5, nonce="", late_ms=0, body=b"") -> Logged:
    made_ms = (ident >> 22) + SNOWFLAKE_EPOCH_MS
    record = Record(
        type="MESSAGE_CREATE",
        id=ident,
        channel=channel,
        author=author,
        nonce=nonce,
        payload=body or b'{"id":"%d","at":%d}' % (ident, offset),
    )
    return Logged(record, offset, made_ms + late_ms)


def change(name: str, offset: int, ident: int, *, channel=1) -> Logged:
    wire = {"ids": [str(ident)]} if name == "MESSAGE_DELETE_BULK" else {"id": str(ident), "at": offset}
    return Logged(
        Record(type=name, id=offset, channel=channel, payload=msgspec.json.encode(wire)), offset, START_MS
    )


def update(offset: int, ident: int, **more) -> Logged:
    return change("MESSAGE_UPDATE", offset, ident, **more)


def delete(offset: int, ident: int, **more) -> Logged:
    return change("MESSAGE_DELETE", offset, ident, **more)


def one_by_one(table: Table, log: list[Logged]) -> None:
    """The rules of the module, in the plainest words: the reference."""
    for entry in log:
        record = entry.record
        if record.type == "MESSAGE_CREATE":
            key = (record.channel, record.id)
            made_ms = record.id >> 22
            late = entry.appended_ms - (made_ms + SNOWFLAKE_EPOCH_MS) > WINDOW_MS
            if key in table or (record.nonce and late):
                continue
            twins = [
                row
                for row in table.values()
                if record.nonce
                and (row.channel_id, row.author_id, row.nonce)
                == (record.channel, record.author, record.nonce.encode())
                and abs((row.id >> 22) - made_ms) <= WINDOW_MS
            ]
            if not twins:
                table[key] = Made(
                    *key, record.author, record.nonce.encode(), entry.offset, False, record.payload
                )
        elif record.type.startswith("MESSAGE_"):
            read = msgspec.json.decode(record.payload)
            for ident in read.get("ids", [read.get("id")]):
                row = table.get((record.channel, int(ident)))
                if row is not None and not row.deleted and row.version < entry.offset:
                    gone = record.type != "MESSAGE_UPDATE"
                    table[row[:2]] = row._replace(
                        version=entry.offset, deleted=gone, body=b"" if gone else record.payload
                    )


def merge(table: Table, result: Fold) -> None:
    """What the archiver's SQL does."""
    for key, made in result.made.items():
        table.setdefault(key, made)
    for key, row in result.changed.items():
        there = table.get(key)
        if there is not None and not there.deleted and there.version < row.version:
            table[key] = there._replace(version=row.version, deleted=row.deleted, body=row.body)


def by_batches(table: Table, log: list[Logged], sizes: list[int]) -> None:
    begin = 0
    for size in [*sizes, len(log)]:
        batch = log[begin : begin + size]
        begin += size
        new = creates(batch)
        keys = {row[:2] for row in new}
        nonces = {(row.channel_id, row.author_id, row.nonce) for row in new if row.nonce}
        known = [
            row
            for row in table.values()
            if row[:2] in keys or (row.channel_id, row.author_id, row.nonce) in nonces
        ]
        merge(table, fold(batch, known))


class Draft(NamedTuple):
    kind: str
    channel: int
    message: int
    author: int
    nonce: str
    late_ms: int


# Few messages, made at times around the nonce window, so that everything meets everything.
MADE_MS = [0, WINDOW_MS, WINDOW_MS + 1, 2 * WINDOW_MS + 1]
DRAFTS = st.builds(
    Draft,
    st.sampled_from(
        [
            "MESSAGE_CREATE",
            "MESSAGE_CREATE",
            "MESSAGE_UPDATE",
            "MESSAGE_UPDATE",
            "MESSAGE_DELETE",
            "MESSAGE_DELETE_BULK",
            "TYPING_START",
        ]
    ),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(0, len(MADE_MS) - 1),
    st.sampled_from([5, 5, 5, 6]),
    st.sampled_from(["", "n", "n", "m"]),
    st.sampled_from([0, 0, 0, 0, 0, WINDOW_MS, WINDOW_MS + 1]),
)


def logged(drafts: list[Draft]) -> list[Logged]:
    log = []
    for offset, draft in enumerate(drafts):
        ident = snowflake(MADE_MS[draft.message], draft.message)
        if draft.kind == "MESSAGE_CREATE":
            log.append(
                create(
                    offset,
                    ident,
                    channel=draft.channel,
                    author=draft.author,
                    nonce=draft.nonce,
                    late_ms=draft.late_ms,
                )
            )
        else:
            log.append(change(draft.kind, offset, ident, channel=draft.channel))
    return log


LOGS = st.lists(DRAFTS, max_size=25).map(logged)
SIZES = st.lists(st.integers(1, 8), max_size=12)


@settings(max_examples=400)
@given(LOGS, SIZES)
def test_batches_do_what_single_records_do(log, sizes):
    expected: Table = {}
    one_by_one(expected, log)
    table: Table = {}
    by_batches(table, log, sizes)
    assert table == expected


@given(LOGS, st.lists(st.tuples(st.integers(0, 25), SIZES), max_size=4), st.integers(0, 25), SIZES)
def test_reading_again_changes_nothing(log, returns, stop, sizes):
    expected: Table = {}
    one_by_one(expected, log)
    table: Table = {}
    by_batches(table, log[:stop], sizes)
    for back_to, again in returns:  # never ahead of what was read, as after a crash
        by_batches(table, log[min(back_to, stop) :], again)
        stop = len(log)
    by_batches(table, log[min(stop, len(log)) :], sizes)
    assert table == expected
    by_batches(table, log, sizes)
    assert table == expected


@given(LOGS, SIZES, st.integers(0, 25), st.integers(0, 25))
def test_a_worker_that_lost_the_partition_does_no_harm(log, sizes, begin, end):
    """It looked the table up before the other one wrote, and writes its batch afterwards."""
    expected: Table = {}
    one_by_one(expected, log)
    table: Table = {}
    by_batches(table, log[:begin], sizes)
    stale = fold(log[begin:end], list(table.values()))
    by_batches(table, log[begin:], sizes)
    merge(table, stale)
    assert table == expected


def test_a_change_meets_its_create_in_one_batch():
    ident = snowflake(0)
    result = fold([create(1, ident), update(2, ident), update(4, ident), delete(7, ident)], [])
    assert result.made == {(1, ident): Made(1, ident, 5, b"", 7, True, b"")}
    assert result.changed == {(1, ident): Changed(1, ident, 7, True, b"")}


def test_the_row_of_an_edit_has_its_very_bytes():
    ident = snowflake(0)
    log = [create(1, ident), update(2, ident)]
    assert fold(log, []).made[1, ident].body == log[1].record.payload


def test_an_edit_after_the_deletion_is_dropped():
    ident = snowflake(0)
    for sizes in ([1, 1, 1], [1, 2], [2, 1], [3]):
        table: Table = {}
        by_batches(table, [create(1, ident), delete(2, ident), update(3, ident)], sizes)
        assert table == {(1, ident): Made(1, ident, 5, b"", 2, True, b"")}


def test_of_two_creates_the_first_counts():
    ident = snowflake(0)
    for sizes in ([1, 1], [2]):
        table: Table = {}
        by_batches(table, [create(1, ident), create(2, ident)], sizes)
        assert table[1, ident].version == 1


@pytest.mark.parametrize(("apart_ms", "kept"), [(1, 1), (WINDOW_MS, 1), (WINDOW_MS + 1, 2)])
def test_a_nonce_counts_for_its_window(apart_ms, kept):
    first, second = snowflake(0), snowflake(apart_ms)
    log = [create(1, first, nonce="n"), create(2, second, nonce="n")]
    assert len(fold(log, []).made) == kept
    assert len(fold(log[1:], fold(log[:1], []).made.values()).made) == kept - 1


def test_an_empty_nonce_is_none():
    assert len(fold([create(1, snowflake(0)), create(2, snowflake(1))], []).made) == 2


@pytest.mark.parametrize(
    ("nonce", "late_ms", "kept"), [("n", WINDOW_MS, 1), ("n", WINDOW_MS + 1, 0), ("", WINDOW_MS + 1, 1)]
)
def test_what_kafka_appended_too_late_is_dropped_if_it_may_be_a_repetition(nonce, late_ms, kept):
    assert len(fold([create(1, snowflake(0), nonce=nonce, late_ms=late_ms)], []).made) == kept


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'{"id":"x"}', b"\xff"])
def test_an_unreadable_change_is_named(payload):
    record = Record(type="MESSAGE_DELETE", channel=1, payload=payload)
    with pytest.raises(BadPayloadError) as caught:
        fold([Logged(record, 1, START_MS)], [])
    assert caught.value.record is record


def test_what_retention_has_passed_is_not_added_again():
    old, new = snowflake(0), snowflake(1000)
    log = [create(1, old), create(2, new), delete(3, old)]
    result = fold(log, [], Limits(floor=new))
    assert list(result.made) == [(1, new)]


def test_what_a_forgotten_user_wrote_is_not_added_again_and_what_is_new_is():
    before, after = snowflake(0), snowflake(1)
    log = [create(1, before), create(2, before, channel=2, author=6), create(3, after)]
    result = fold(log, [], Limits(forgotten={5: START_MS}))
    assert list(result.made) == [(2, before), (1, after)]


def test_an_id_of_a_time_to_come_makes_no_sense():
    entry = create(1, snowflake(AHEAD_MS), late_ms=-AHEAD_MS)
    assert fold([entry], []).made
    late = create(1, snowflake(AHEAD_MS + 1), late_ms=-AHEAD_MS - 1)
    with pytest.raises(BadPayloadError) as caught:
        fold([late], [])
    assert caught.value.record is late.record


def positions(offset: int, found: list[tuple[int, int, int]], appended_ms: int) -> Logged:
    """A record with a position for each (entity, time, number)."""
    wire = [
        {"entity_id": str(entity), "at": at, "seq": seq, "lat": 52.5, "lon": 13.4, "speed_mps": 7}
        for entity, at, seq in found
    ]
    record = Record(type=POSITIONS, id=offset, author=9, payload=msgspec.json.encode(wire))
    return Logged(record, offset, appended_ms)


def test_a_record_holds_positions_of_many_entities_and_a_fence_none():
    entry = positions(1, [(3, 1000, 1), (4, 1001, 0)], 5000)
    assert list(positions_of(entry)) == [
        (3, 1000, 1, 9, 52.5, 13.4, None, None, 7),
        (4, 1001, 0, 9, 52.5, 13.4, None, None, 7),
    ]
    fence = Record(type=FENCE, audience=INBOXES, fence="f", inboxes=("a.0",))
    assert not list(positions_of(Logged(fence, 2, 5)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lat", "NaN"), ("lat", 90.0001), ("lat", -91), ("lon", 180.0001), ("lat", "x"), ("lat", None),
        ("at", -1), ("at", 5000 + AHEAD_MS + 1), ("at", None), ("entity_id", 1 << 63), ("seq", -1),
    ],
)  # fmt: skip
def test_a_position_that_cannot_be_is_named_and_left_out(name, value):
    good = {"entity_id": "3", "at": 1000, "lat": 1, "lon": 2}
    mixed = Record(
        type=POSITIONS,
        source=Position("location.events", 0, 1),
        payload=msgspec.json.encode([good, good | {name: value}]),
    )
    assert [row.entity_id for row in positions_of(Logged(mixed, 1, 5000))] == [3]
    for wire in ([good | {name: value}], {}, 3):
        record = Record(type=POSITIONS, payload=msgspec.json.encode(wire))
        with pytest.raises(BadPayloadError) as caught:
            list(positions_of(Logged(record, 1, 5000)))
        assert caught.value.record is record


def test_of_a_position_that_comes_twice_the_first_counts():
    first, again = (next(positions_of(positions(1, [(3, 1000, seq)], 5000))) for seq in (1, 1))
    other = first._replace(seq=2)
    assert new_positions([first, again._replace(lat=1.0), other], Limits()) == [first, other]
    assert not new_positions([first], Limits(floor=1001))
    assert not new_positions([first], Limits(forgotten={9: 1000}))
    assert new_positions([first], Limits(forgotten={9: 999})) == [first]
