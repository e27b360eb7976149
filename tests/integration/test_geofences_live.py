"""Geofences on real nodes: who is told, what the app reads, and that a passage is one whatever is killed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from fanfare.bus.client import connection
from fanfare.bus.names import Names
from fanfare.bus.topics import APP_EVENTS
from tests.integration.moving import App, at, now_ms
from tests.integration.store_fixtures import eventually
from tests.world import kill, settings_of, whole_again

HOME = {"circle": {"lat": 52.5, "lon": 13.4, "radius_m": 100}}
# What no vehicle does in a moment counts as a jump: within half a kilometre.
FAR, NEAR, IN = 52.504, 52.502, 52.5


class AppTopic:
    """What stands in app.events since the test began."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader
        self.seen: list[dict[str, Any]] = []

    async def of(self, *entities: int, count: int) -> list[dict[str, Any]]:
        """The first events of some entities."""

        def ours() -> list[dict[str, Any]]:
            return [one for one in self.seen if int(one["entity_id"]) in entities]

        async with asyncio.timeout(20):
            while len(ours()) < count:
                self.seen.append(json.loads((await self._reader.getone()).value))
        return ours()

    async def rest(self) -> None:
        """Take all that stands there now."""
        for partition, end in (await self._reader.end_offsets(self._reader.assignment())).items():
            while await self._reader.position(partition) < end:
                self.seen.append(json.loads((await self._reader.getone(partition)).value))


@asynccontextmanager
async def app_topic(stack) -> AsyncIterator[AppTopic]:
    settings = settings_of(stack)
    reader = AIOKafkaConsumer(
        Names(settings).kafka(APP_EVENTS), **connection(settings), group_id=None, auto_offset_reset="latest"
    )
    await reader.start()
    try:
        await reader.seek_to_end()
        for partition in reader.assignment():
            await reader.position(partition)
        yield AppTopic(reader)
    finally:
        await reader.stop()


@pytest.fixture
async def told(stack) -> AsyncIterator[AppTopic]:
    async with app_topic(stack) as topic:
        yield topic


async def geofence(app: App, **fields) -> int:
    status, made = await app.ask("POST", "/geofences", HOME | fields)
    assert status == 201, made
    return int(made["id"])


async def drive(app: App, driver: Any, car: int, *lats: float, **more) -> None:
    for lat in lats:
        said = await app.ask("POST", "/locations", at(car, lat, **more), of=driver)
        assert said == (200, {"accepted": 1, "dropped": 0})


async def come(app: App, driver: Any, car: int, topic: AppTopic) -> None:
    """Drive in and out until the geofence, which was made a moment ago, tells of it; then far away."""

    async def entered() -> bool:
        await drive(app, driver, car, FAR, IN)
        await topic.rest()
        return any(one["type"] == "enter" and int(one["entity_id"]) == car for one in topic.seen)

    await eventually(entered)
    await drive(app, driver, car, FAR)


async def test_who_comes_and_goes_is_told_of_on_both_nodes_and_in_the_topic(
    nodes, apps, people, sockets, told
):
    driver, watcher, about = people
    car = await apps[0].entity(
        kind="driver", publishers=[driver.id], watchers=[watcher.id], coarse=[about.id]
    )
    home = await geofence(apps[0], name="home", entities=[car])
    one, two = [await sockets(node, watcher) for node in nodes]
    coarse = await sockets(nodes[0], about)
    for socket in (one, two, coarse):
        await socket.watch(car)
    await come(apps[0], driver, car, told)
    # At the edge, and then in again and out.
    await drive(apps[1], driver, car, IN, IN, FAR)
    for socket in (one, two):
        events = []
        while not events or events[-1]["type"] != "exit" or len(events) < 4:
            events.append((await socket.until(lambda said: said["t"] == "GEOFENCE_UPDATE"))["d"])
        assert [each["number"] for each in events] == list(range(1, len(events) + 1))
        assert [each["type"] for each in events] == ["enter", "exit"] * (len(events) // 2)
        assert {(each["geofence_id"], each["geofence"], each["entity_id"]) for each in events} == {
            (str(home), "home", str(car))
        }
        count = len(events)
    found = await told.of(car, count=count)
    assert [each["type"] for each in found] == ["enter", "exit"] * (count // 2)
    assert len({each["id"] for each in found}) == count
    assert (await apps[0].ask("GET", f"/entities/{car}"))[1]["inside"] == []
    # Who sees about where it is, is not told at which geofence.
    await drive(apps[0], driver, car, FAR, seq=99)
    await coarse.until(lambda said: said["t"] == "LOCATION_UPDATE" and said["d"].get("seq") == 99)
    assert {said["t"] for said in coarse.seen if said["op"] == 0} == {"READY", "LOCATION_UPDATE"}


async def test_a_polygon_and_staying(apps, people, told):
    driver = people[0]
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    ring = [[13.398, 52.498], [13.402, 52.498], [13.402, 52.502], [13.398, 52.502], [13.398, 52.498]]
    status, made = await apps[0].ask(
        "POST", "/geofences", {"polygon": ring, "entities": [car], "dwell_s": 60}
    )
    assert (status, made["polygon"], made["hysteresis_m"]) == (201, ring, 20)
    await come(apps[0], driver, car, told)
    base = now_ms()
    await drive(apps[0], driver, car, IN, at=base)
    await drive(apps[0], driver, car, IN, at=base + 30_000)
    await drive(apps[0], driver, car, IN, at=base + 61_000)
    await drive(apps[0], driver, car, IN, at=base + 90_000)
    await drive(apps[0], driver, car, FAR, at=base + 120_000)

    async def gone() -> bool:
        await told.rest()
        kinds = [one["type"] for one in told.seen if int(one["entity_id"]) == car]
        return kinds[-3:] == ["enter", "dwell", "exit"]

    await eventually(gone)


async def test_an_order_is_near_by_itself_and_its_states_are_in_the_topic(nodes, apps, people, sockets, told):
    driver, customer, _ = people
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    order = await apps[0].entity(kind="order", watchers=[customer.id], destination={"lat": 52.5, "lon": 13.4})
    socket = await sockets(nodes[1], customer)
    await socket.watch(order)
    await apps[0].ask("PATCH", f"/entities/{order}", {"follows": str(car)})
    await drive(apps[0], driver, car, IN)  # not picked up yet
    await drive(apps[0], driver, car, FAR)
    await apps[0].ask("PATCH", f"/entities/{order}", {"state": "picked_up"})
    await socket.state("picked_up")
    await drive(apps[0], driver, car, FAR, NEAR)
    assert (await socket.state("near"))["follows"] == str(car)
    await apps[0].ask("PATCH", f"/entities/{order}", {"state": "delivered"}, of=driver)
    await socket.state("delivered")
    found = await told.of(order, count=6)
    assert [each.get("state", each["type"]) for each in found] == [
        "placed",
        "assigned",
        "picked_up",
        "near",
        "delivered",
        "ended",
    ]


async def test_a_passage_is_one_whatever_is_killed(stack, apps, people, told):
    """Positions go on while the archiver, and the node that relays, are killed."""
    driver = people[0]
    car = await apps[0].entity(kind="driver", publishers=[driver.id])
    await geofence(apps[0], entities=[car])
    await come(apps[0], driver, car, told)
    before = len(await told.of(car, count=2))
    for name in ("archiver.1", "gateway.2"):
        await drive(apps[0], driver, car, IN, FAR, IN)
        await kill(stack, name)
        await drive(apps[0], driver, car, FAR, IN, FAR)
        await whole_again(stack)
    found = await told.of(car, count=before + 12)
    await told.rest()
    ours = [one for one in told.seen if int(one["entity_id"]) == car]
    assert [one["type"] for one in ours] == ["enter", "exit"] * (len(found) // 2)
    assert len({one["id"] for one in ours}) == len(ours) == before + 12


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"circle": None}, "circle"), ({"polygon": [[0, 0], [1, 1], [1, 0]]}, "circle"),
        ({"circle": {"lat": 91, "lon": 0, "radius_m": 5}}, "circle"), ({"circle": 5}, "circle"),
        ({"circle": {"lat": 1, "lon": 0, "radius_m": 0}}, "circle"),
        ({"circle": {"lat": "1,5", "lon": 0, "radius_m": 5}}, "circle"),
        ({"circle": None, "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}, "polygon"),
        ({"circle": None, "polygon": [[0, 0], [1, 1]]}, "polygon"),
        ({"circle": None, "polygon": [[0, 0], [1, 95], [1, 0]]}, "polygon"),
        ({"circle": None, "polygon": [[0, 0], [1, "x"], [1, 0]]}, "polygon"),
        ({"circle": None, "polygon": [[0, 0]] * 500}, "polygon"), ({"circle": None, "polygon": "x"}, "polygon"),
        ({"kinds": [], "entities": []}, "entities"), ({"kinds": ["Not One"]}, "kinds"), ({"kinds": 5}, "kinds"),
        ({"entities": ["x"]}, "entities"), ({"hysteresis_m": -1}, "hysteresis_m"), ({"dwell_s": -1}, "dwell_s"),
        ({"name": "x" * 101}, "name"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(apps, fields, field):
    said = {
        name: value for name, value in (HOME | {"kinds": ["driver"]} | fields).items() if value is not None
    }
    status, answer = await apps[0].ask("POST", "/geofences", said)
    assert (status, list(answer["errors"])) == (400, [field])


async def test_geofences_are_listed_shown_and_deleted(apps):
    ident = await geofence(apps[0], kinds=["boat"], name="quay")
    shown = (await apps[1].ask("GET", f"/geofences/{ident}"))[1]
    assert shown in (await apps[1].ask("GET", "/geofences"))[1]
    assert (shown["circle"], shown["kinds"], shown["name"]) == (HOME["circle"], ["boat"], "quay")
    assert (await apps[1].ask("DELETE", f"/geofences/{ident}"))[0] == 204
    for method in ("GET", "DELETE"):
        status, answer = await apps[0].ask(method, f"/geofences/{ident}")
        assert (status, answer["code"]) == (404, 10910)
