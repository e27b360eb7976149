"""What comes in as a position: every field, every way in; and who may say it."""

import math
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.location.entity import BadStateError, Entity, normal_state, step
from fanfare.location.geo import distance_m, jumps, rounded
from fanfare.location.positions import Fix, newest_of, packed, positions_in
from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import Form
from gateway.location.entities import changed, created, state_changed
from gateway.location.fixes import body_with_numbers, moment_ms, quick_fix, read_fix
from gateway.location.links import Links
from gateway.location.phones import osmand_device, osmand_fields, owntracks_fields

NOW_S = 1_800_000_000.0
NOW_MS = int(NOW_S * 1000)
GOOD = {"entity_id": "7", "lat": 52.5, "lon": 13.4, "at": NOW_MS}


def fix_of(**fields):
    form = Form({name: value for name, value in (GOOD | fields).items() if value is not None})
    fix = read_fix(form, NOW_S, author=3)
    form.check()
    return fix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lat", math.nan), ("lat", math.inf), ("lat", -math.inf), ("lat", 90.0001), ("lat", "52,5"), ("lat", "NaN"),
        ("lat", True), ("lat", [1]), ("lat", None), ("lat", "1_0"), ("lat", "\u0661"), ("lat", 10**400),
        ("lon", 180.0001), ("lon", -181), ("lon", {}), ("lon", None), ("lon", "0x10"),
        ("at", None), ("at", int(NOW_S)), ("at", NOW_MS + 3_600_000), ("at", 0), ("at", -5), ("at", "yesterday"),
        ("at", math.nan), ("at", NOW_MS - 40 * 86_400_000), ("at", "1970-01-02T00:00:00Z"), ("at", True),
        ("seq", -1), ("seq", 1.5), ("seq", "x"), ("seq", 1 << 60),
        ("accuracy_m", -1), ("accuracy_m", math.nan), ("heading_deg", 360.5), ("heading_deg", -1),
        ("speed_mps", -0.1), ("speed_mps", 1e9), ("speed_mps", "fast"),
        ("entity_id", None), ("entity_id", "x"), ("entity_id", -1), ("entity_id", 1 << 63), ("entity_id", 0),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named_alone(name, value):
    with pytest.raises(FormError) as caught:
        fix_of(**{name: value})
    assert list(caught.value.errors) == [name]


def test_a_device_that_does_not_know_where_it_is_is_told_so():
    with pytest.raises(FormError, match="Invalid"):
        fix_of(lat=0, lon=0)
    assert fix_of(lat=0, lon=1).lat == 0


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"lat": 90, "lon": 180}, (90, 180)),
        ({"lat": -90, "lon": -180}, (-90, -180)),
        ({"lat": "52.5", "lon": "-1e1"}, (52.5, -10)),
    ],
)
def test_edges_of_the_map_are_places(fields, found):
    fix = fix_of(**fields)
    assert (fix.lat, fix.lon) == found


def test_a_time_may_be_written_in_three_ways():
    text = "2027-01-15T08:00:00+00:00"
    assert {
        moment_ms(NOW_MS),
        moment_ms(str(NOW_MS)),
        moment_ms(text),
        moment_ms("2027-01-15T09:00:00+01:00"),
    } == {NOW_MS}
    assert fix_of(at=text, heading_deg=360, seq="5", speed_mps=3) == Fix(
        entity_id=7, at=NOW_MS, lat=52.5, lon=13.4, seq=5, author_id=3, heading_deg=0.0, speed_mps=3.0
    )


def test_nan_in_json_is_read_so_that_its_field_is_named():
    assert math.isnan(body_with_numbers(b'{"lat": NaN}')["lat"])


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(msgspec.json.encode)
)
def test_whatever_comes_is_read_or_refused(raw):
    with suppress(ApiError):
        form = Form(body_with_numbers(raw))
        read_fix(form, NOW_S, author=1)
        form.check()


WORDS = st.sampled_from(["7", "0", "", "x", "9" * 19, 7, None, -1]) | st.integers(0, 1 << 64).map(str)
NUMBERS = st.floats() | st.integers(-400, 400) | st.none() | st.just("5")


@given(
    st.fixed_dictionaries(
        {
            "entity_id": WORDS,
            "lat": NUMBERS,
            "lon": NUMBERS,
            "at": st.integers(-5, 400_000).map(lambda n: NOW_MS - n),
        },
        optional={
            "seq": st.integers(-1, 1 << 60),
            "heading_deg": NUMBERS,
            "speed_mps": NUMBERS,
            "accuracy_m": NUMBERS,
        },
    )
)
def test_the_quick_way_says_what_the_other_says_or_nothing(fields):
    line = msgspec.json.encode(fields)
    quick = quick_fix(line, NOW_S, author=3)
    if quick is not None:
        form = Form(body_with_numbers(line))
        assert quick == read_fix(form, NOW_S, author=3)
        assert not form.errors


def test_a_plain_line_is_read_the_quick_way():
    assert quick_fix(msgspec.json.encode(GOOD), NOW_S, author=3) == fix_of()


def test_owntracks_says_seconds_and_kilometres_an_hour():
    said = {"_type": "location", "lat": 1.0, "lon": 2.0, "tst": 1_800_000_000, "vel": 36, "acc": 5, "cog": -1}
    assert owntracks_fields(said) == {
        "lat": 1.0, "lon": 2.0, "at": NOW_MS, "accuracy_m": 5, "speed_mps": pytest.approx(10),
    }  # fmt: skip
    assert owntracks_fields({"_type": "transition"}) is None
    assert owntracks_fields([1]) is None


@pytest.mark.parametrize("timestamp", ["1800000000", "1800000000000", "2027-01-15T08:00:00Z"])
def test_osmand_in_the_query_says_knots(timestamp):
    query = {"id": "k", "lat": "1.5", "lon": "2", "timestamp": timestamp, "speed": "10", "bearing": "90"}
    fields = osmand_fields(query, None)
    assert moment_ms(fields["at"]) == NOW_MS
    assert fields["speed_mps"] == pytest.approx(5.144, abs=0.001)
    assert (osmand_device(query, None), fields["lat"], fields["heading_deg"]) == ("k", "1.5", "90")


def test_osmand_in_json_of_newer_clients():
    body = {
        "device_id": "k",
        "location": {
            "timestamp": "2027-01-15T08:00:00Z",
            "coords": {"latitude": 1.5, "longitude": 2, "accuracy": 4, "speed": -1, "heading": -1},
        },
    }
    assert osmand_device({}, body) == "k"
    assert osmand_fields({}, body) == {"lat": 1.5, "lon": 2, "at": "2027-01-15T08:00:00Z", "accuracy_m": 4}


def test_one_bad_position_does_not_condemn_the_others():
    good = Fix(entity_id=1, at=5, lat=1.0, lon=2.0)
    fixes, problems = positions_in(
        msgspec.json.encode([good, {"entity_id": 1, "at": 5, "lat": 91, "lon": 0}, 3])
    )
    assert (fixes, len(problems)) == ([good], 2)
    assert positions_in(packed([good])).fixes == [good]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(0, 2)), max_size=30))
def test_the_newest_of_each_entity_is_that_of_the_latest_time_and_number(rows):
    fixes = [Fix(entity_id=entity, at=at, seq=seq, lat=1.0, lon=1.0) for entity, at, seq in rows]
    found = newest_of(fixes)
    assert found.keys() == {entity for entity, _, _ in rows}
    for entity, fix in found.items():
        assert fix.newness == max((at, seq) for one, at, seq in rows if one == entity)


def test_distances():
    assert distance_m(52.52, 13.405, 48.8566, 2.3522) == pytest.approx(878_000, rel=0.006)
    assert distance_m(0, 179.9, 0, -179.9) == pytest.approx(22_239, rel=0.01)
    assert distance_m(90, 0, 90, 120) == pytest.approx(0, abs=0.001)
    assert jumps(50_000, 10)
    assert not jumps(50, 0)
    assert rounded(52.51999) == 52.52


# Entities


def order(**fields):
    return msgspec.structs.replace(created(Form({"kind": "order"}), 9), **fields)


def test_an_order_goes_forward_and_ends_once():
    for now, to in [("placed", "delivered"), ("assigned", "picked_up"), ("near", "cancelled")]:
        step(now, to)
    for now, to in [
        ("picked_up", "assigned"),
        ("delivered", "delivered"),
        ("cancelled", "placed"),
        ("near", "x"),
    ]:
        with pytest.raises(BadStateError):
            step(now, to)
    assert normal_state(" Picked up") == "picked_up"


def test_following_assigns_and_the_end_ends_it():
    driver = Entity(id=4, kind="driver", publishers=(1,))
    after = changed(Form({"follows": "4"}), order(), driver)
    assert (after.follows, after.state) == (4, "assigned")
    done = changed(Form({"state": "delivered"}), after, None)
    assert (done.ended, done.follows, done.state) == (True, 0, "delivered")
    with pytest.raises(FormError) as caught:
        changed(Form({"state": "delivered"}), done, None)
    assert "state" in caught.value.errors


@pytest.mark.parametrize(
    ("body", "follows", "field"),
    [
        ({"follows": "4"}, None, "follows"),
        ({"follows": "9"}, Entity(id=9, kind="order"), "follows"),
        ({"follows": "4"}, Entity(id=4, kind="driver", ended=True), "follows"),
        ({"follows": "4"}, Entity(id=4, kind="order", follows=5), "follows"),
        ({"state": "lost"}, None, "state"),
        ({"watchers": ["x"]}, None, "watchers"),
        ({"roles": ["1"]}, None, "guild_id"),
        ({"destination": {"lat": 91, "lon": 0}}, None, "destination"),
        ({"name": "x" * 101}, None, "name"),
    ],
)
def test_a_change_that_cannot_be_names_its_field(body, follows, field):
    with pytest.raises(FormError) as caught:
        changed(Form(body), order(), follows)
    assert field in caught.value.errors


def test_who_publishes_may_change_the_state_alone():
    assert state_changed(Form({"state": "near"}), order(state="assigned")).state == "near"
    with pytest.raises(FormError) as caught:
        state_changed(Form({"state": "near", "watchers": []}), order())
    assert list(caught.value.errors) == ["watchers"]


@pytest.mark.parametrize("kind", ["", "Driver", "a b", "x" * 33, None, 3.5])
def test_a_kind_is_a_word(kind):
    with pytest.raises(FormError) as caught:
        created(Form({"kind": kind}), 1)
    assert list(caught.value.errors) == ["kind"]


def test_who_may_see_what():
    entity = Entity(id=1, kind="driver", publishers=(1,), watchers=(2,), coarse=(3,), guild_id=5, roles=(6,))
    assert [entity.may_watch(user) for user in (1, 2, 3, 4)] == [True, True, True, False]
    assert [entity.sees_exactly(user) for user in (1, 2, 3, 4)] == [True, True, False, False]
    assert entity.may_watch(4, (6,))
    ended = msgspec.structs.replace(entity, ended=True)
    assert not any(ended.may_watch(user, (6,)) or ended.may_publish(user) for user in range(5))


def test_a_link_is_for_one_entity_and_a_time():
    links, other = Links("s" * 32), Links("t" * 32)
    token = links.issue(7, 1000)
    assert links.verify(token, 999) == 7
    assert links.verify(token, 1000) == 0
    assert other.verify(token, 0) == 0
    for wrong in ("", "7.1000", token.replace("7.", "8.", 1), token + "x", "\u0667." + token[2:], "x" * 500):
        assert links.verify(wrong, 0) == 0
    assert links.until_s(token) == 1000
