"""What goes out to watchers: cells of the map, newest wins, and who may see a position at which point of the stream."""

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfare.location.cells import MOST_CELLS, Area, cells_at, cells_of
from fanfare.location.entity import Entity, packed
from fanfare.location.positions import Fix
from fanfare.location.tracks import geojson, gpx, simplified
from fanfare.presence.locations import News
from gateway.location.known import Known
from gateway.location.watch_list import SocketWatcher
from gateway.location.watching import Watching
from gateway.protocol.frames import Transport

if TYPE_CHECKING:
    from array import array

lats, lons = st.floats(-89, 89), st.floats(-180, 180)


@settings(max_examples=60, deadline=None)
@given(lons, lats, st.floats(0, 359), st.floats(0, 60), st.floats(0, 1), st.floats(0, 1))
def test_a_place_in_an_area_is_in_one_of_its_cells(west, south, width, height, across, up):
    east = (west + width + 180) % 360 - 180
    area = Area(west, south, east, min(south + height, 90))
    lat = area.south + (area.north - area.south) * up
    lon = (west + width * across + 180) % 360 - 180
    if area.holds(lat, lon):
        assert cells_of(area) & set(cells_at(lat, lon))


def test_an_area_has_few_cells():
    for area in (
        Area(13.3, 52.4, 13.5, 52.6),
        Area(-180, -90, 180, 90),
        Area(5, 45, 15, 55),
        Area(1, 1, 1, 1),
    ):
        assert 0 < len(cells_of(area)) <= MOST_CELLS


def test_an_area_may_go_over_the_180th_meridian():
    area = Area(170, -20, -170, 20)
    assert area.holds(0, 175)
    assert area.holds(0, -180)
    assert not area.holds(0, 0)
    assert Area(-180, -1, 180, 1).holds(0, 180)


# Watching, with a Redis, a database and sockets that are in memory


class Store:
    def __init__(self, *entities: Entity) -> None:
        self.rows = {entity.id: entity for entity in entities}

    async def entities(self, ids):
        return {ident: self.rows[ident] for ident in ids if ident in self.rows}

    async def entity_versions(self, ids):
        return {ident: self.rows[ident].version for ident in ids if ident in self.rows}

    async def newest_positions(self, ids):
        return {}


class Redis:
    def __init__(self) -> None:
        self.last: dict[int, Fix] = {}
        self.wishes: set[int] = set()

    async def watch(self, node, wanted):
        self.wishes |= wanted.entities | wanted.cells

    async def unwatch(self, node, gone):
        self.wishes -= gone.entities | gone.cells

    async def newest(self, entities):
        return {one: self.last[one] for one in entities if one in self.last}

    async def in_area(self, *box):
        return list(self.last)

    async def is_known(self, node):
        return True


class NoRoles:
    def roles_in_memory(self, guild_id, user_id):
        return ()

    async def member(self, guild_id, user_id):
        return None


class Link:
    transport_kind = Transport.JSON

    def __init__(self, fd: int = -1) -> None:
        self.fd = fd
        self.blocked = False
        self.got: list[dict] = []

    def send(self, data: bytes) -> None:
        self.got.append(msgspec.json.decode(data[data.index(b"{") :]))

    def answer(self, data: bytes) -> None:
        self.send(data)

    def rest(self, data: bytes, written: int) -> None:
        raise AssertionError

    @property
    def places(self) -> list[tuple[int, float]]:
        return [
            (int(one["d"]["entity_id"]), one["d"]["lat"]) for one in self.got if one["t"] == "LOCATION_UPDATE"
        ]

    @property
    def states(self) -> list[str]:
        return [one["d"]["state"] for one in self.got if one["t"] == "ENTITY_UPDATE"]


class Node:
    """A node with its parts."""

    def __init__(self, *entities: Entity) -> None:
        self.store, self.redis = Store(*entities), Redis()
        self.known = Known(self.store)
        self.links: dict[int, Link] = {}
        self.works: list[asyncio.Task] = []
        self.watching = Watching(
            node="n",
            known=self.known,
            locations=self.redis,
            store=self.store,
            roles=NoRoles(),
            write=self.write,
            spawn=lambda work: self.works.append(asyncio.ensure_future(work)),
        )
        self.known.kept = self.watching.kept

    def write(self, fds: "array[int]", data: bytes) -> list[tuple[int, int]]:
        for fd in fds:
            self.links[fd].send(data)
        return []

    async def online(self, user: int, *ids: int, area: Area | None = None, fd: int = -1):
        link = Link(fd)
        self.links[fd] = link
        watcher = SocketWatcher(link, user)
        refused = await self.watching.watch(watcher, list(ids), area)
        self.watching.told(watcher)
        return link, watcher, refused

    async def at(self, entity: int, at: int, lat: float) -> None:
        fix = Fix(entity_id=entity, at=at, lat=lat, lon=1.0)
        self.redis.last[entity] = fix
        await self.watching.take([fix])

    async def change(self, entity: Entity, *streams: int) -> None:
        self.store.rows[entity.id] = entity
        for stream in streams:
            await self.watching.take(News(stream, packed(entity)))
        while self.works:
            await self.works.pop()


DRIVER = Entity(id=1, kind="driver", publishers=(10,), watchers=(11,))
OTHER = Entity(id=2, kind="driver", publishers=(10,))
ORDER = Entity(id=5, kind="order", state="placed", watchers=(20,))


def after(entity: Entity, **fields) -> Entity:
    return msgspec.structs.replace(entity, version=entity.version + 1, **fields)


@pytest.mark.parametrize("fd", [-1, 3])
async def test_newest_at_once_then_each_and_never_an_older_one(fd):
    node = Node(DRIVER)
    await node.at(1, 5, 5.0)
    link, _, refused = await node.online(11, 1, 99, fd=fd)
    assert link.places == [(1, 5.0)]
    assert refused[99]["code"] == 10900
    await node.at(1, 7, 7.0)
    await node.at(1, 6, 6.0)
    await node.at(1, 7, 7.5)
    assert link.places == [(1, 5.0), (1, 7.0)]
    assert node.redis.wishes == {1}


async def test_a_watcher_that_takes_nothing_gets_the_newest_of_each_entity_later():
    both = Entity(id=2, kind="driver", watchers=(11,))
    node = Node(DRIVER, both)
    link, watcher, _ = await node.online(11, 1, 2, fd=3)
    link.blocked = True
    node.watching.blocked(watcher)
    for at in range(50):
        await node.at(1, at, float(at))
        await node.at(2, at, 50.0 + at % 2)
    assert link.places == []
    assert watcher.pending == {1, 2}
    link.blocked = False
    node.watching.drained(watcher)
    assert sorted(link.places) == [(1, 49.0), (2, 51.0)]


async def test_nobody_sees_what_is_not_theirs_and_coarse_is_coarse():
    node = Node(after(DRIVER, coarse=(12,)))
    stranger, _, refused = await node.online(13, 1)
    assert refused[1]["code"] == 50001
    coarse, _, _ = await node.online(12, 1, fd=4)
    await node.at(1, 5, 52.123456)
    assert (stranger.places, coarse.places) == ([], [(1, 52.12)])
    assert coarse.got[-1]["d"]["coarse"] is True


async def test_an_order_follows_from_the_copy_in_the_drivers_stream_until_the_first_copy_of_the_end():
    node = Node(DRIVER, ORDER)
    await node.at(1, 1, 1.0)
    link, _, _ = await node.online(20, 5, fd=3)
    assigned = after(ORDER, follows=1, state="assigned")
    await node.change(assigned, 5)
    await node.at(1, 2, 2.0)
    assert link.places == []
    await node.change(assigned, 1)
    assert link.places == [(1, 2.0)]
    await node.at(1, 3, 3.0)
    assert link.states == ["assigned"]
    ended = after(assigned, follows=0, state="delivered", ended=True)
    await node.change(ended, 5)
    await node.at(1, 4, 4.0)
    await node.change(ended, 1)
    await node.change(assigned, 1)
    await node.at(1, 5, 5.0)
    assert link.places == [(1, 2.0), (1, 3.0)]
    assert link.states == ["assigned", "delivered"]
    assert node.redis.wishes == set()


async def test_a_hand_over_leaves_the_one_driver_and_begins_with_the_other():
    node = Node(DRIVER, OTHER, after(ORDER, follows=1, state="assigned"))
    link, _, _ = await node.online(20, 5)
    await node.at(1, 1, 1.0)
    handed = after(after(ORDER), follows=2, state="assigned")
    await node.change(handed, 5)
    await node.at(1, 2, 2.0)
    await node.at(2, 2, 22.0)
    await node.change(handed, 2)
    await node.at(2, 3, 23.0)
    await node.change(handed, 1)
    assert link.places == [(1, 1.0), (2, 22.0), (2, 23.0)]


async def test_a_right_that_is_taken_ends_the_watch_and_says_so():
    node = Node(DRIVER)
    link, watcher, _ = await node.online(11, 1, fd=3)
    await node.at(1, 1, 1.0)
    await node.change(after(DRIVER, watchers=()), 1)
    await node.at(1, 2, 2.0)
    assert link.places == [(1, 1.0)]
    assert link.got[-1]["op"] == 131
    assert link.got[-1]["d"]["refused"]["1"]["code"] == 50001
    assert not watcher.wanted


async def test_an_area_shows_those_in_it_that_one_may_watch():
    node = Node(DRIVER, OTHER)
    await node.at(1, 1, 1.0)
    link, _, _ = await node.online(11, area=Area(0, 0, 2, 2))
    assert link.places == [(1, 1.0)]
    await node.at(2, 2, 1.5)
    await node.at(1, 2, 1.5)
    await node.at(1, 3, 40.0)
    await node.at(1, 4, 1.25)
    assert link.places == [(1, 1.0), (1, 1.5), (1, 1.25)]


async def test_what_was_missed_is_made_up_for():
    node = Node(DRIVER, ORDER)
    link, _, _ = await node.online(11, 1)
    other, _, _ = await node.online(20, 5)
    node.redis.last[1] = Fix(entity_id=1, at=9, lat=9.0, lon=1.0)
    node.store.rows[5] = after(ORDER, state="delivered", ended=True)
    node.redis.wishes.clear()
    await node.watching.take(None)
    renewing = asyncio.ensure_future(node.watching.renew())
    async with asyncio.timeout(5):
        while not (link.places and other.states):
            await asyncio.sleep(0.01)
    renewing.cancel()
    assert link.places == [(1, 9.0)]
    assert other.states == ["delivered"]
    assert 1 in node.redis.wishes


async def test_a_change_that_comes_while_an_entity_is_read_is_not_lost():
    class Slow(Store):
        async def entities(self, ids):
            found = await super().entities(ids)
            if self.rows[1].version == 1:
                self.rows[1] = after(DRIVER)
                known.apply(1, self.rows[1])
            return found

    known = Known(Slow(DRIVER))
    assert (await known.of([1]))[1].version == 2


# Tracks


def line(*places: tuple[float, float]) -> list[Fix]:
    return [Fix(entity_id=1, at=at * 1000, lat=lat, lon=lon) for at, (lat, lon) in enumerate(places, 1)]


def test_a_track_is_thinned_out_to_its_corners():
    way = line((0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1))
    assert [(fix.lat, fix.lon) for fix in simplified(way, 10)] == [(0, 0), (0, 1), (1, 1)]
    assert simplified(way, 0) == way


def test_a_track_as_geojson_and_gpx():
    assert geojson(1, [])["geometry"] == {"type": "LineString", "coordinates": []}
    assert geojson(1, line((1, 2)))["geometry"] == {"type": "Point", "coordinates": [2, 1]}
    crossing = geojson(1, line((0, 179), (0, 179.9), (0, -179.9), (0, -179)))
    assert crossing["geometry"]["type"] == "MultiLineString"
    assert crossing["properties"]["coordTimes"] == [1000, 2000, 3000, 4000]
    assert "<name>a &lt;b&gt;</name>" in gpx("a <b>", line((1, 2)))
    gpxpy = pytest.importorskip("gpxpy")
    points = gpxpy.parse(gpx("x", line((1, 2), (3, 4)))).tracks[0].segments[0].points
    assert [(point.latitude, point.longitude) for point in points] == [(1, 2), (3, 4)]


async def test_a_backup_that_was_put_back_counts():
    newer = after(after(ORDER), follows=1, state="assigned")
    node = Node(DRIVER, newer)
    link, watcher, _ = await node.online(20, 5)
    await node.at(1, 1, 1.0)
    node.store.rows[5] = ORDER
    node.watching._stale = True
    await node.watching._missed()
    await node.at(1, 2, 2.0)
    assert link.places == [(1, 1.0)]
    assert set(watcher.sources) == {5}


async def test_a_slow_client_is_told_of_changes_by_what_cuts_it():
    node = Node(DRIVER)
    link, watcher, _ = await node.online(11, 1, fd=3)
    link.blocked = True
    node.watching.blocked(watcher)
    answered: list[bytes] = []
    link.answer = answered.append
    await node.change(after(DRIVER, name="new"), 1)
    assert len(answered) == 1


async def test_what_is_looked_for_again_is_not_shown_again():
    node = Node(DRIVER)
    link, _, _ = await node.online(11, 1, area=Area(0, 0, 2, 2))
    other, _, _ = await node.online(11, area=Area(0, 0, 2, 2))
    await node.at(1, 1, 1.0)
    for _ in range(3):
        await node.watching._missed()
    assert link.places == other.places == [(1, 1.0)]
    third, _, _ = await node.online(11, area=Area(0, 0, 2, 2))
    assert (third.places, link.places) == ([(1, 1.0)], [(1, 1.0)])


async def test_what_comes_while_redis_is_asked_is_shown_once():
    node = Node(DRIVER, ORDER)
    other, _, _ = await node.online(11, 1)
    await node.at(1, 1, 1.0)
    link, _, _ = await node.online(20, 5)
    wish, newest = node.redis.watch, node.redis.newest

    async def wish_slowly(name, wanted):
        await wish(name, wanted)
        await node.at(1, 2, 2.0)

    async def newest_slowly(entities):
        found = await newest(entities)
        await node.at(1, 3, 3.0)
        return found

    node.redis.watch, node.redis.newest = wish_slowly, newest_slowly
    await node.change(after(ORDER, follows=1, state="assigned"), 5, 1)
    assert link.places == other.places == [(1, 1.0), (1, 2.0), (1, 3.0)]
