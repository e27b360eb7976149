"""The ways of the demo's drivers, what its customers are shown, and its map."""

import json
import time
from random import Random

import pytest

from demo.drivers import DriversChoice, DriversStory, _Customer, result
from demo.map_page import map_page
from demo.streets import BLOCK_M, BLOCKS, Route, grid_route, routes_in, street
from fanfare.location.geo import distance_m


def test_a_driver_goes_at_one_speed_and_stays_in_town():
    (south, west), (north, east) = street(0, 0), street(BLOCKS, BLOCKS)
    for seed in range(20):
        route = grid_route(Random(seed))
        before, _ = route.at(0.0)
        for second in range(1, 200):
            place, heading = route.at(float(second))
            assert south - 1e-9 <= place[0] <= north + 1e-9
            assert west - 1e-9 <= place[1] <= east + 1e-9
            assert 0 <= heading < 360
            assert distance_m(*before, *place) <= route.speed_mps * 1.02
            before = place


def test_a_block_is_as_long_as_it_is_said():
    assert distance_m(*street(3, 3), *street(4, 3)) == pytest.approx(BLOCK_M, rel=0.01)
    assert distance_m(*street(3, 3), *street(3, 4)) == pytest.approx(BLOCK_M, rel=0.01)


def test_a_track_is_driven_there_and_back():
    route = Route(iter([(0.0, 0.0), (0.0, 0.001), (0.0, 0.0), (0.0, 0.001)]), 111.195)
    places = [round(route.at(float(second))[0][1], 4) for second in range(4)]
    assert places == [0.0, 0.001, 0.0, 0.001]
    track = [(0.0, 0.0), (0.0, 0.0), (0.0, 0.01)]
    found = routes_in([track, [(5.0, 5.0)]], Random(1))
    assert all(0 <= found.at(float(second))[0][1] <= 0.01 for second in range(500))


def customer() -> tuple[_Customer, DriversStory]:
    story = DriversStory(DriversChoice(1, 1, 5.0))
    return _Customer(None, story), story


def said(name: str, **d) -> dict:
    return {"t": name, "d": d}


def test_what_must_not_be_shown_is_counted():
    who, story = customer()
    now = int(time.time() * 1000)
    who._take(said("LOCATION_UPDATE", entity_id="1", at=now))
    assert story.after_end == 1
    who._take(said("ENTITY_UPDATE", entity_id="5", ended=False, follows="1"))
    who._take(said("LOCATION_UPDATE", entity_id="1", at=now + 1))
    who._take(said("LOCATION_UPDATE", entity_id="1", at=now))
    assert (story.after_end, story.older, story.received) == (1, 1, 3)
    who._take(said("ENTITY_UPDATE", entity_id="5", ended=True, follows=None))
    who._take(said("LOCATION_UPDATE", entity_id="1", at=now + 2))
    assert (story.after_end, story.broken) == (2, 3)


def test_the_map_fetches_nothing_and_names_every_figure():
    _, story = customer()
    story.places = {1: [(52.5, 13.4), (52.51, 13.4)]}
    page = map_page(story)
    assert "http" not in page
    assert json.dumps([[[52.5, 13.4], [52.51, 13.4]]]) in page
    assert all(name.replace("_", " ") in page for name in result(story))
