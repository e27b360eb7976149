"""What is left of a way: by air, by a router, and how wrong the first one is on ways through a town."""

from random import Random
from statistics import median

import pytest
from aiohttp import web

from demo.streets import Route, street
from fanfare.location.eta import DETOUR, left_by_air, recent_speed_mps
from fanfare.location.geo import distance_m
from fanfare.location.positions import Fix
from gateway.location.router import Router


def fixes(*places: tuple[float, float], every_s: float = 1.0) -> list[Fix]:
    return [
        Fix(entity_id=1, at=int(at * every_s * 1000), lat=lat, lon=lon)
        for at, (lat, lon) in enumerate(places)
    ]


def test_the_speed_is_that_of_the_last_minutes_and_of_somebody_on_foot_at_the_least():
    way = fixes(*[(0.0, 0.0001 * at) for at in range(60)])
    assert recent_speed_mps(way) == pytest.approx(11.1, rel=0.01)
    assert recent_speed_mps(fixes(*[(0.0, 0.0)] * 60)) == pytest.approx(1.4)
    assert recent_speed_mps([]) == recent_speed_mps(way[:1]) > 1.4
    slow_then_fast = fixes(
        *[(0.0, 0.00001 * at) for at in range(600)], *[(0.0, 0.006 + 0.0001 * at) for at in range(120)]
    )
    assert recent_speed_mps(slow_then_fast) > recent_speed_mps(slow_then_fast[:600]) * 4


def test_a_jump_is_no_speed():
    one, other = fixes((0.0, 0.0), (0.0, 0.0001))
    jump = Fix(entity_id=1, at=2000, lat=50.0, lon=0.0, jumped=True)
    assert recent_speed_mps([one, other, jump]) == pytest.approx(11.1, rel=0.01)


def test_by_air_streets_are_longer():
    left = left_by_air(fixes(*[(0.0, 0.0001 * at) for at in range(60)]), 0.0, 0.1)
    assert left.distance_m == pytest.approx(distance_m(0.0, 0.0059, 0.0, 0.1) * DETOUR)
    assert left.seconds == pytest.approx(left.distance_m / 11.1, rel=0.01)


def test_how_wrong_it_is_on_ways_through_a_town():
    """Drives from corner to corner of a grid, asked on the way: the documented error."""
    errors = []
    for seed in range(200):
        random = Random(seed)
        start, corner = (
            (random.uniform(0, 15), random.uniform(0, 15)),
            (random.uniform(15, 30), random.uniform(15, 30)),
        )
        ways = [street(*start), street(start[0], corner[1]), street(*corner), street(*corner)]
        speed = random.uniform(5, 15)
        length = distance_m(*ways[0], *ways[1]) + distance_m(*ways[1], *ways[2])
        route = Route(iter(ways), speed)
        asked_s = int(length / speed * random.uniform(0.2, 0.7))
        driven = fixes(*[route.at(float(second))[0] for second in range(max(asked_s, 2))])
        true_s = length / speed - (len(driven) - 1)
        errors.append(abs(left_by_air(driven, *ways[2]).seconds - true_s) / true_s)
    assert median(errors) < 0.25
    assert sorted(errors)[int(len(errors) * 0.9)] < 0.35


async def served(answer) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_get("/route/v1/driving/{way}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_router_is_asked_where_there_is_one():
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.match_info["way"])
        return web.json_response(
            {"code": "Ok", "routes": [{"distance": 1234.5, "duration": 99.5, "legs": []}]}
        )

    runner, url = await served(answer)
    router = Router(url)
    try:
        assert await router.left(fixes((52.5, 13.4)), 52.6, 13.5) == ((1234.5, 99.5), "osrm")
        assert asked == ["13.400000,52.500000;13.500000,52.600000"]
    finally:
        await router.close()
        await runner.cleanup()


@pytest.mark.parametrize("body", ['{"routes": []}', "x", '{"routes": [{"distance": "x"}]}', None])
async def test_a_router_that_knows_no_way_or_is_away_does_not_matter(body):
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=200 if body else 500, text=body or "")

    runner, url = await served(answer)
    router = Router(url)
    try:
        for _ in range(3):
            left, who = await router.left(fixes((52.5, 13.4)), 52.6, 13.5)
            assert (who, left.distance_m > 0) == ("air", True)
        assert len(asked) == 1, "a router that is away is not asked each time"
    finally:
        await router.close()
        await runner.cleanup()
    away = Router("http://127.0.0.1:9")
    assert (await away.left(fixes((1.0, 1.0)), 2.0, 2.0))[1] == "air"
    await away.close()
