"""Live location through two nodes: entities, every way in, watchers, the end of a watch, rights of every route."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from fanfare.bus.producer import Producer
from fanfare.bus.topics import LOCATION_EVENTS
from fanfare.record import Record
from gateway.location.routes import ROUTES
from tests.integration.moving import WITHIN_S, at, now_ms
from tests.integration.store_fixtures import eventually
from tests.world import redis_of, settings_of, store_of


async def test_an_order_is_followed_from_its_assignment_to_its_end_on_both_nodes(
    nodes, apps, people, sockets
):
    driver, customer, stranger = people
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    order = await apps[0].entity(kind="order", watchers=[str(customer.id)])
    assert await apps[0].ask("POST", "/locations", at(car, 1.0), of=driver) == (
        200,
        {"accepted": 1, "dropped": 0},
    )
    one, two = [await sockets(node, customer) for node in nodes]
    nobody = await sockets(nodes[0], stranger)
    for socket in (one, two):
        said = await socket.watch(order, car)
        assert (said["entities"], said["refused"][str(car)]["code"]) == ([str(order)], 50001)
    assert (await nobody.watch(order, car))["entities"] == []
    assert (await apps[1].ask("PATCH", f"/entities/{order}", {"follows": str(car)}))[1]["state"] == "assigned"
    for socket in (one, two):
        assert (await socket.state("assigned"))["follows"] == str(car)
        await socket.place(1.0)
    await apps[1].ask("POST", "/locations", at(car, 2.0), of=driver)
    await two.ws.send_json({"op": 130, "d": {"nonce": "x", **at(car, 9.0)}})
    refusal = (await two.until(lambda said: said["op"] == 130))["d"]
    assert (refusal["nonce"], refusal["error"]["code"]) == ("x", 50013)
    for socket in (one, two):
        await socket.place(2.0)
    assert (await apps[1].ask("PATCH", f"/entities/{order}", {"state": "picked up"}, of=driver))[0] == 200
    assert (await apps[0].ask("PATCH", f"/entities/{order}", {"state": "delivered"}))[1]["ended"]
    await apps[0].ask("POST", "/locations", at(car, 3.0), of=driver)
    for socket in (one, two):
        await socket.state("delivered")
        # What comes after the end would come before the answer.
        assert (await socket.watch(order))["refused"][str(order)]["code"] == 10901
        assert socket.places == [1.0, 2.0]
    assert nobody.places == []
    again = await apps[0].ask("PATCH", f"/entities/{order}", {"state": "delivered"})
    assert (again[0], list(again[1]["errors"])) == (400, ["state"])
    assert (await apps[0].ask("DELETE", f"/entities/{order}"))[0] == 404


async def test_every_way_in_leads_into_the_track_once(nodes, apps, people, sockets, stack):
    driver, watcher, _ = people
    car = await apps[0].entity(kind="driver", name="Dora", publishers=[driver.id], watchers=[watcher.id])
    socket, phone = await sockets(nodes[1], watcher), await sockets(nodes[0], driver)
    await socket.watch(car)
    base = now_ms() // 1000 * 1000 - 600_000
    fix = {"entity_id": car, "lat": 1.0, "lon": 2.0, "at": base}
    assert (await apps[0].ask("POST", "/locations", fix, of=driver))[0] == 200
    await phone.ws.send_json({"op": 130, "d": {"nonce": 5, **fix, "lat": 2.0, "at": base + 1000}})
    said = (await phone.until(lambda said: said["op"] == 130))["d"]
    assert said == {"nonce": 5, "accepted": 1, "dropped": 0}
    basic = aiohttp.encode_basic_auth("phone", driver.token)
    tracks = {"_type": "location", "lat": 3.0, "lon": 2.0, "tst": base // 1000 + 2, "vel": 36}
    assert await apps[1].ask("POST", f"/owntracks/{car}", tracks, of=None, Authorization=basic) == (200, [])
    key = (await apps[0].ask("POST", f"/entities/{car}/devices", {"user_id": str(driver.id)}))[1]["key"]
    query = f"/osmand?id={key}&lat=4&lon=2&timestamp={base // 1000 + 3}&speed=10&bearing=90"
    assert (await apps[1].ask("GET", query, of=None))[0] == 200
    form = f"id={key}&lat=4.5&lon=2&timestamp={base + 3500}"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await apps[0].ask("POST", "/osmand", raw=form, of=None, **kind))[0] == 200
    newer = {
        "device_id": key,
        "location": {"timestamp": base + 4000, "coords": {"latitude": 5.0, "longitude": 2.0, "speed": -1}},
    }
    assert (await apps[0].ask("POST", "/osmand", newer, of=None))[0] == 200
    straight = [{"entity_id": str(car), "at": base + 5000, "lat": 6.0, "lon": 2.0, "author_id": driver.id}]
    producer = Producer(settings_of(stack))
    await producer.start()
    await producer.send(
        LOCATION_EVENTS,
        Record(type="POSITIONS", payload=json.dumps([*straight, {"entity_id": 1, "at": 1}]).encode()),
        key=car,
    )
    await producer.stop()
    late = [{**fix, "lat": 0.5, "at": base - 1000}, {**fix, "lat": 7.0, "at": base + 6000}, fix, fix]
    lines = "\n".join(json.dumps(one) for one in late) + '\n{"lat": NaN}\n'
    status, report = await apps[0].ask(
        "POST", "/locations", raw=lines, of=driver, **{"Content-Type": "application/x-ndjson"}
    )
    assert (status, report["accepted"], report["dropped"], report["errors"][0]["line"]) == (200, 3, 2, 5)
    await socket.place(7.0)
    assert socket.places == sorted(set(socket.places)), "an older position after a newer one"

    async def track() -> bool:
        found = (await apps[1].ask("GET", f"/entities/{car}/track?from={base - 5000}", of=watcher))[1]
        if found["geometry"]["type"] != "LineString":
            return False
        lats = [place[1] for place in found["geometry"]["coordinates"]]
        return lats == [0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 6.0, 7.0]

    await eventually(track)
    shown = (await apps[1].ask("GET", f"/entities/{car}", of=watcher))[1]
    assert (shown["location"]["lat"], "publishers" in shown) == (7.0, False)
    assert (
        "<name>Dora</name>"
        in (await apps[0].ask("GET", f"/entities/{car}/track?format=gpx&simplify=10", of=watcher))[1]
    )
    await apps[0].ask("DELETE", f"/entities/{car}/devices")
    assert (await apps[1].ask("GET", query, of=None))[0] == 401


async def test_a_page_watches_by_a_link_until_the_end(apps, people, http):
    driver = people[0]
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    link = (await apps[0].ask("POST", f"/entities/{car}/links", {}))[1]["stream"]
    assert (await apps[0].ask("GET", f"/entities/{car}/stream?link=x.y.z", of=None))[0] == 401
    async with http.get(apps[1].base + link) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"

        async def event() -> tuple[str, dict[str, Any]]:
            async with asyncio.timeout(WITHIN_S):
                said = (await stream.content.readuntil(b"\n\n")).decode().split("\n")
            return said[0].removeprefix("event: "), json.loads(said[1].removeprefix("data: "))

        assert (await event())[0] == "ENTITY_UPDATE"
        await apps[0].ask("POST", "/locations", at(car, 5.0), of=driver)
        name, said = await event()
        assert (name, said["lat"]) == ("LOCATION_UPDATE", 5.0)
        await apps[0].ask("DELETE", f"/entities/{car}")
        assert (await event())[1]["ended"] is True
        async with asyncio.timeout(WITHIN_S):
            assert await stream.content.read() == b""
    assert (await apps[1].ask("GET", link.removeprefix("/fanfare/v1"), of=None))[0] == 404


async def test_an_area_and_what_redis_lost(nodes, apps, people, sockets, stack):
    driver, watcher, _ = people
    car = await apps[0].entity(kind="driver", publishers=[driver.id], watchers=[watcher.id])
    hidden = await apps[0].entity(kind="driver", publishers=[driver.id])
    await apps[0].ask("POST", "/locations", at(car, 52.5), of=driver)
    socket = await sockets(nodes[1], watcher)
    said = await socket.watch(area={"bbox": [13.0, 52.0, 14.0, 53.0]})
    assert "error" not in said
    await socket.place(52.5)
    await apps[1].ask("POST", "/locations", at(hidden, 52.6), of=driver)
    await apps[1].ask("POST", "/locations", at(car, 52.7), of=driver)
    await socket.place(52.7)
    assert 52.6 not in socket.places
    assert (await socket.watch(car))["entities"] == [str(car)]
    async with redis_of(stack) as redis:
        names = [name async for name in redis.scan_iter("location:*")]
        await redis.delete(*names)
    # The nodes say again what they want to be told of, and the archive has what Redis has not.
    other = await sockets(nodes[0], watcher)
    async with store_of(stack) as store:

        async def archived() -> bool:
            newest = await store.newest_positions([car])
            return bool(newest) and newest[car].lat == 52.7

        await eventually(archived)
    await other.watch(car)
    await other.place(52.7)
    await apps[0].ask("POST", "/locations", at(car, 52.8), of=driver)
    await socket.place(52.8)


async def test_every_route_refuses_who_may_not(apps, people):
    driver, watcher, stranger = people
    car = await apps[0].entity(kind="driver", publishers=[driver.id], watchers=[watcher.id])
    # By route: what nobody, a stranger, a watcher and a publisher are answered; the app may everything.
    table = {
        ("POST", "/entities"): (401, 401, 401, 401),
        ("GET", "/entities/{id}"): (401, 403, 200, 200),
        ("PATCH", "/entities/{id}"): (401, 403, 403, 200),
        ("DELETE", "/entities/{id}"): (401, 401, 401, 401),
        ("POST", "/entities/{id}/devices"): (401, 401, 401, 401),
        ("DELETE", "/entities/{id}/devices"): (401, 401, 401, 401),
        ("POST", "/entities/{id}/links"): (401, 401, 401, 401),
        ("GET", "/entities/{id}/stream"): (401, 403, None, None),
        ("GET", "/entities/{id}/track"): (401, 403, 200, 200),
        ("POST", "/geofences"): (401, 401, 401, 401),
        ("GET", "/geofences"): (401, 401, 401, 401),
        ("GET", "/geofences/{id}"): (401, 401, 401, 401),
        ("DELETE", "/geofences/{id}"): (401, 401, 401, 401),
        ("POST", "/locations"): (401, 403, 403, 200),
        ("POST", "/owntracks/{id}"): (401, 401, 401, 401),
        ("GET", "/osmand"): (401, 401, 401, 401),
        ("POST", "/osmand"): (401, 401, 401, 401),
    }
    assert {(route.method, route.path) for route in ROUTES} == table.keys()
    bodies = {"/locations": at(car, 1.0), "/entities/{id}": {"state": "busy"}}
    for (method, path), wanted in table.items():
        for who, status in zip((None, stranger, watcher, driver), wanted, strict=True):
            if status is not None:
                body = None if method == "GET" else bodies.get(path, {})
                found = await apps[1].ask(method, path.replace("{id}", str(car)), body, of=who)
                assert found[0] == status, (method, path, who, found)
    wrong = await apps[0].ask("GET", f"/entities/{car}", of=None, Authorization="Admin wrong")
    assert wrong[0] == 401
    for path in ("/entities/99999999999999999999", f"/entities/{1 << 62}"):
        assert (await apps[0].ask("GET", path))[0] in {400, 404}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"lat": "52,5"}, "lat"), ({"lat": 90.0001}, "lat"), ({"lon": -181}, "lon"), ({"at": 1_800_000_000}, "at"),
        ({"lat": 0, "lon": 0}, "lat"), ({"speed_mps": -1}, "speed_mps"), ({"entity_id": "5"}, "entity_id"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_nothing_of_it_is_kept(apps, people, fields, field):
    car = await apps[0].entity(kind="driver", publishers=[people[0].id])
    said = at(car, 5.0) | fields
    status, answer = await apps[0].ask("POST", "/locations", said, of=people[0])
    assert (status in {400, 404}, list(answer["errors"])) == (True, [field])
    status, answer = await apps[0].ask("POST", "/locations", [said], of=people[0])
    assert (status, answer["accepted"], list(answer["errors"][0]["errors"])) == (200, 0, [field])
    assert (await apps[0].ask("GET", f"/entities/{car}"))[1]["location"] is None


async def test_bodies_that_are_too_large_or_too_many(apps, people):
    driver = people[0]
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    large = json.dumps(at(car, 1.0) | {"x": "y" * 100_000})
    assert (await apps[0].ask("POST", f"/owntracks/{car}", raw=large, of=driver))[0] in {401, 413}
    base = now_ms()
    lines = [json.dumps(at(car, 1 + n / 1000, at=base + n) | {"at": base - 20_000 + n}) for n in range(3000)]
    lines[1234] = json.dumps(at(car, 91))
    status, report = await apps[0].ask(
        "POST", "/locations", raw="\n".join(lines), of=driver, **{"Content-Type": "application/x-ndjson"}
    )
    assert (status, report["accepted"], report["dropped"]) == (200, 2999, 1)
    assert report["errors"][0]["line"] == 1235
    many = "\n" * 100_002
    too_many = await apps[0].ask(
        "POST", "/locations", raw=many, of=driver, **{"Content-Type": "application/x-ndjson"}
    )
    assert too_many[0] == 413
