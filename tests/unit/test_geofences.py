"""Geofences: shapes on the globe, and what positions make of them."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fanfare.location.entity import Entity, entity_in, packed
from fanfare.location.geo import distance_m
from fanfare.location.geofences import Geofence, Geofences, geofence_in, judged
from fanfare.location.geofences import packed as geofence_packed
from fanfare.location.positions import Fix
from fanfare.location.shapes import Circle, Polygon, flaw, opened

SQUARE = Polygon(opened([(13.0, 52.0), (13.1, 52.0), (13.1, 52.1), (13.0, 52.1), (13.0, 52.0)]))
HOME = Geofence(id=7, shape=Circle(52.5, 13.4, 100.0), name="home", kinds=("driver",))
# A degree of latitude, in metres.
DEG_M = 111_195.0

degrees = st.floats(-85, 85, allow_nan=False)
longitudes = st.floats(-180, 180, allow_nan=False)


def fix(metres: float, at: int = 1000, **more) -> Fix:
    """So far north of the middle of HOME."""
    return Fix(entity_id=1, at=at, lat=52.5 + metres / DEG_M, lon=13.4, **more)


def driven(geofence: Geofence, ways: list[float], seconds: int = 1, **more) -> list[tuple[str, int]]:
    """The passages of a driver who is at these distances, a second or more apart."""
    entity, made = Entity(id=1, kind="driver"), []
    for place, metres in enumerate(ways):
        after = judged(entity, fix(metres, at=1000 + place * seconds * 1000, **more), Geofences([geofence]))
        made += [(one.kind, one.at) for one in after.passages_since(entity)]
        assert (
            judged(after, fix(metres, at=1000 + place * seconds * 1000, **more), Geofences([geofence]))
            is after
        )
        entity = after
    return made


def test_who_comes_and_goes_is_told_of_once():
    assert driven(HOME, [500, 90, 10, 50, 500, 400]) == [("enter", 2000), ("exit", 5000)]


def test_who_jumps_about_at_the_edge_comes_once():
    assert driven(HOME, [110, 99, 110, 95, 119, 98, 121]) == [("enter", 2000), ("exit", 7000)]


def test_who_stays_is_told_of_once():
    geofence = Geofence(id=7, shape=HOME.shape, kinds=("driver",), dwell_s=60)
    kinds = [kind for kind, _ in driven(geofence, [10] * 8 + [500] + [10] * 5, seconds=20)]
    assert kinds == ["enter", "dwell", "exit", "enter", "dwell"]


def test_a_position_that_is_off_by_more_than_the_geofence_tells_nothing():
    assert driven(HOME, [500, 10, 500], accuracy_m=3000.0) == []
    # Who is inside has not gone because a mast says that it may be somewhere else.
    entity = judged(Entity(id=1, kind="driver"), fix(10), Geofences([HOME]))
    assert judged(entity, fix(2000, at=2000, accuracy_m=5000.0), Geofences([HOME])) is entity


def test_positions_that_are_late_or_jumped_make_no_passage():
    geofences = Geofences([HOME])
    entity = judged(Entity(id=1, kind="driver"), fix(10, at=5000), geofences)
    assert judged(entity, fix(900, at=4000), geofences) is entity
    assert judged(entity, fix(900, at=6000, jumped=True), geofences) is entity
    assert judged(entity, fix(900, at=6000), geofences).passed == 2


def test_only_those_that_the_geofence_is_for():
    geofences = Geofences([Geofence(id=7, shape=HOME.shape, entities=(1,))])
    assert judged(Entity(id=1, kind="van"), fix(0), geofences).passed == 1
    assert judged(Entity(id=2, kind="driver"), fix(0), geofences).passed == 0
    assert judged(Entity(id=1, kind="van", ended=True), fix(0), geofences).passed == 0


def test_a_geofence_that_is_gone_is_forgotten_and_one_not_known_yet_is_not():
    older = Geofence(id=3, shape=HOME.shape, kinds=("driver",))
    inside = judged(Entity(id=1, kind="driver"), fix(0), Geofences([HOME]))
    behind = judged(inside, fix(0, at=2000), Geofences([older]))  # a worker that does not know HOME yet
    assert {one.geofence for one in behind.inside} == {3, 7}
    newer = Geofence(id=9, shape=HOME.shape, kinds=("driver",))
    after = judged(inside, fix(0, at=2000), Geofences([newer]))
    assert {one.geofence for one in after.inside} == {9}


def test_an_order_that_was_picked_up_comes_near_its_destination():
    order = Entity(id=1, kind="order", state="picked_up", destination=(52.5, 13.4), follows=5)
    assert judged(order, fix(250), Geofences(), near_m=300).state == "near"
    assert judged(order, fix(350), Geofences(), near_m=300) is order
    assert judged(order, fix(10), Geofences()) is order
    assigned = Entity(id=1, kind="order", state="assigned", destination=(52.5, 13.4), follows=5)
    assert judged(assigned, fix(10), Geofences(), near_m=300) is assigned


def test_passages_are_numbered_and_none_of_one_position_is_left_out():
    many = [Geofence(id=ident, shape=HOME.shape, kinds=("driver",)) for ident in range(1, 31)]
    before = Entity(id=1, kind="driver")
    after = judged(before, fix(0), Geofences(many))
    assert [one.number for one in after.passages_since(before)] == list(range(1, 31))
    gone = judged(after, fix(900, at=2000), Geofences(many))
    assert [one.number for one in gone.passages_since(after)] == list(range(31, 61))
    assert entity_in(packed(gone)) == gone


def test_more_than_passages_has_changed():
    before = Entity(id=1, kind="driver")
    after = judged(before, fix(0), Geofences([HOME]))
    assert not after.says_more(before)
    assert Entity(id=1, kind="driver", name="x").says_more(before)


@given(degrees, longitudes, st.floats(1, 100_000), st.floats(0, 360), st.floats(0, 3))
def test_a_geofence_is_found_from_every_place_in_it(lat, lon, radius, bearing, part):
    geofence = Geofence(id=1, shape=Circle(lat, lon, radius), kinds=("driver",))
    away = radius * part
    north = lat + math.cos(math.radians(bearing)) * away / DEG_M
    east = lon + math.sin(math.radians(bearing)) * away / DEG_M / math.cos(math.radians(lat))
    assume(abs(north) < 89)
    east = (east + 180) % 360 - 180
    held = distance_m(lat, lon, north, east) <= radius
    assert geofence.entered(Fix(entity_id=1, at=1, lat=north, lon=east)) == held
    assert not held or geofence in list(Geofences([geofence]).around(north, east))


@given(st.floats(-80, 80), st.floats(-190, 190), st.floats(0.001, 5), st.floats(-2, 2), st.floats(-2, 2))
def test_a_box_as_polygon(south, west, width, up, right):
    ring = [(west, south), (west + width, south), (west + width, south + width), (west, south + width)]
    ring = [((lon + 180) % 360 - 180, lat) for lon, lat in ring]
    points = opened([*ring, ring[0]])
    assert flaw(points) == ""
    geofence = Geofence(id=1, shape=Polygon(points), kinds=("driver",))
    lat = south + width / 2 + up * width / 2
    lon = (west + width / 2 + right * width / 2 + 180) % 360 - 180
    assume(abs(abs(up) - 1) > 1e-6 and abs(abs(right) - 1) > 1e-6 and abs(lat) < 89)
    inside = abs(up) < 1 and abs(right) < 1
    assert (geofence.shape.outside_m(lat, lon) == 0) == inside
    assert not inside or geofence in list(Geofences([geofence]).around(lat, lon))


def test_how_far_outside_of_a_polygon():
    assert SQUARE.outside_m(52.05, 13.05) == 0
    assert SQUARE.outside_m(52.2, 13.05) == pytest.approx(0.1 * DEG_M, rel=0.01)
    assert SQUARE.outside_m(52.2, 13.2) == pytest.approx(distance_m(52.1, 13.1, 52.2, 13.2), rel=0.01)
    over = Polygon(opened([(179.9, 0.0), (-179.9, 0.0), (-179.9, 0.1), (179.9, 0.1)]))
    assert over.outside_m(0.05, -179.95) == over.outside_m(0.05, 179.95) == over.outside_m(0.05, 180.0) == 0
    assert over.outside_m(0.05, 179.8) == pytest.approx(0.1 * DEG_M, rel=0.01)


@pytest.mark.parametrize(
    ("ring", "said"),
    [
        ([], "at least three"), ([(1, 1), (2, 2)], "at least three"), ([(1, 1), (2, 2), (1, 1)], "at least three"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], "edges 1 and 3 cross"),
        ([(0, 0), (2, 0), (2, 2), (1, 0), (0, 2)], "cross"),
        ([(0, 0), (1, 0), (2, 0)], "cross"),
        ([(0, 0), (2, 0), (1, 0), (1, 1)], "cross"),
        ([(0, 0), (1, 0), (1, 0), (1, 1)], "twice"),
        ([(-90, 0), (0, 0), (90, 0), (90, 5), (-90, 5)], "wide"),
    ],
)  # fmt: skip
def test_what_is_no_polygon(ring, said):
    assert said in flaw(opened([(float(lon), float(lat)) for lon, lat in ring]))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=7))
def test_what_is_no_polygon_agrees_with_trying_every_place(ring):
    """Of edges that cross, one has a place of the other on it: found by looking at many places of each."""
    points = opened([(float(lon), float(lat)) for lon, lat in ring])
    assume(len(points) >= 3)
    edges = list(pairwise([*points, points[0]]))
    places = [
        {
            (round(x + (to_x - x) * part / 2520, 9), round(y + (to_y - y) * part / 2520, 9))
            for part in range(2521)
        }
        for (x, y), (to_x, to_y) in edges
    ]
    # Two edges that share more than the corner that follows the one and begins the other.
    crossing = any(
        (places[one] & places[other])
        - ({edges[one][1]} if other == one + 1 else set())
        - ({edges[one][0]} if (one, other) == (0, len(edges) - 1) else set())
        for one in range(len(edges))
        for other in range(one + 1, len(edges))
    )
    if crossing or len(set(points)) < len(points):
        assert flaw(points)


def test_a_geofence_is_stored_as_it_is():
    for geofence in (HOME, Geofence(id=8, shape=SQUARE, entities=(1, 2), dwell_s=5, hysteresis_m=0.0)):
        assert geofence_in(geofence_packed(geofence)) == geofence
