"""`fanfare demo drivers`: a fleet that says where it is each second, orders that follow it, and people who watch.

Everything goes through the doors that an app has: entities over REST, positions as lines, watchers on sockets. What is
shown is checked: no older position after a newer one, none after the end of an order, and each accepted one in the
database, once.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import asyncpg

from demo.streets import Place, Route, grid_route, routes_in
from fanfare.presence.snowflake_leases import unleased
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tasks import end
from fanfare.tokens import Tokens
from torture.system import BadSystemError, seeded

__all__ = ["DriversChoice", "DriversShow", "DriversStory", "result"]

# Drivers say where they are through so many phones' worth of requests: as a provider's relay does.
_RELAYS: Final = 10
_AT_ONCE: Final = 20
_SETTLED_S: Final = 60.0
_SINGLE_S: Final = 3.0
_BULK: Final = 20_000
_STEPS: Final = ("assigned", "picked_up", "near", "delivered")
_SHOWN: Final = 200
"""Drivers on the map."""


@dataclass(frozen=True)
class DriversChoice:
    """What was asked for."""

    drivers: int = 1000
    orders: int = 200
    seconds: float = 30.0
    watchers: int = 50
    tracks: Sequence[Sequence[Place]] = ()


@dataclass
class DriversStory:
    """What was seen."""

    choice: DriversChoice
    accepted: int = 0
    refused: int = 0
    received: int = 0
    archived: int = 0
    delivered: int = 0
    older: int = 0
    """Positions that a watcher got after a newer one."""
    after_end: int = 0
    """Positions that a watcher got of an order that had ended for it."""
    missing: int = 0
    """Accepted positions that are not in the database, and orders whose last position their watcher does not show."""
    latencies_s: list[float] = field(default_factory=list)
    rate: float = 0.0
    rows_per_s: float = 0.0
    behind_s: float = 0.0
    """How long after the last position all were in the database."""
    single_rows_per_s: float = 0.0
    """What the same database took meanwhile of rows that came by themselves."""
    bulk_rows_per_s: float = 0.0
    """And of rows that came together, as the archiver's do."""
    places: dict[int, list[Place]] = field(default_factory=dict)
    """Of some drivers, each second's, for the map."""

    @property
    def broken(self) -> int:
        """Promises that were not kept."""
        return self.older + self.after_end + self.missing


def result(story: DriversStory) -> dict[str, Any]:
    """The figures."""
    times = sorted(story.latencies_s)
    return {
        "drivers": story.choice.drivers,
        "orders": story.choice.orders,
        "accepted": story.accepted,
        "refused": story.refused,
        "archived": story.archived,
        "received": story.received,
        "orders_delivered": story.delivered,
        "positions_per_s": round(story.rate),
        "latency_ms": {
            name: round(times[int(len(times) * part)] * 1000, 1) if times else None
            for name, part in (("p50", 0.5), ("p99", 0.99))
        },
        "rows_per_s": round(story.rows_per_s),
        "single_insert_rows_per_s": round(story.single_rows_per_s),
        "bulk_rows_per_s": round(story.bulk_rows_per_s),
        "older": story.older,
        "after_end": story.after_end,
        "missing": story.missing,
    }


class _Customer:
    """Somebody who watches some orders."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, story: DriversStory) -> None:
        self.socket = socket
        self.newest: dict[int, int] = {}
        self.ended: set[int] = set()
        self.follows: dict[int, int] = {}
        self._story = story

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))

    def _take(self, said: dict[str, Any]) -> None:
        d = said["d"]
        if said["t"] == "ENTITY_UPDATE":
            order = int(d["entity_id"])
            if d["ended"]:
                self.ended.add(order)
                self.follows.pop(order, None)
            elif d["follows"]:
                self.follows[order] = int(d["follows"])
        elif said["t"] == "LOCATION_UPDATE":
            driver, at = int(d["entity_id"]), int(d["at"])
            self._story.received += 1
            if driver in self.newest:
                # The first one comes when it is asked for, however old it is.
                self._story.latencies_s.append(time.time() - at / 1000)
            self._story.older += at <= self.newest.get(driver, -1)
            self._story.after_end += driver not in self.follows.values()
            self.newest[driver] = at


class DriversShow:
    """One run on a system that is up."""

    def __init__(
        self, run: Mapping[str, Any], settings: Settings, choice: DriversChoice, say: Callable[[str], None]
    ) -> None:
        """Args: run: its run.json; settings: reach its stores; choice: what was asked for; say: tells how it goes."""
        self._run = run
        self._settings = settings
        self._choice = choice
        self.say = say
        self.story = DriversStory(choice)
        self._random = seeded(7, "drivers")
        self._base = run["api"].removesuffix("/api/v10") + "/fanfare/v1"
        self._tasks: list[asyncio.Task[Any]] = []
        self._customers: list[_Customer] = []
        self._last: dict[int, int] = {}
        self._wrong: BaseException | None = None

    async def run(self) -> DriversStory:
        """All of it. Raises BadSystemError: the system does not do what it is to do."""
        # Each relay waits for its own answers, so they need many connections.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            fleet, people = await self._users(1, min(self._choice.watchers, max(self._choice.orders, 1)))
            self.say(f"Making {self._choice.drivers} drivers and {self._choice.orders} orders")
            drivers = await self._entities(
                http, self._choice.drivers, {"kind": "driver", "publishers": [fleet[0][0]]}
            )
            orders = [
                (ident, people[place % len(people)])
                for place, ident in enumerate(
                    await self._entities(
                        http,
                        self._choice.orders,
                        {"kind": "order"},
                        lambda place: {"watchers": [people[place % len(people)][0]]},
                    )
                )
            ]
            try:
                await self._watch(http, people, orders)
                self.say(f"Driving for {self._choice.seconds:.0f} s")
                await self._drive(http, fleet[0][1], drivers, [order for order, _ in orders])
                await self._settle(drivers)
            finally:
                await end(self._tasks)
        return self.story

    async def _users(self, *counts: int) -> list[list[tuple[int, str]]]:
        """People, each with an id and a token."""
        settings = self._settings
        tokens, snowflakes = Tokens(settings.secret.get_secret_value()), unleased()
        store = await Store.connect(settings)
        try:
            found = []
            for count in counts:
                some = []
                for _ in range(count):
                    ident = snowflakes.next(time.time() * 1000)
                    await store.create_user(ident, f"demo-{ident}", False)
                    some.append((ident, tokens.issue(ident)))
                found.append(some)
            return found
        finally:
            await store.close()

    async def _entities(
        self,
        http: aiohttp.ClientSession,
        count: int,
        fields: dict[str, Any],
        more: Callable[[int], dict[str, Any]] = lambda _: {},
    ) -> list[int]:
        together = asyncio.Semaphore(_AT_ONCE)

        async def make(place: int) -> int:
            async with together:
                name = f"{fields['kind']} {place + 1}"
                made = await self._ask(http, "POST", "/entities", fields | more(place) | {"name": name})
                return int(made["id"])

        return list(await asyncio.gather(*(make(place) for place in range(count))))

    async def _ask(self, http: aiohttp.ClientSession, method: str, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Admin {self._run['admin_key']}"}
        async with http.request(method, self._base + path, json=body, headers=headers) as answer:
            if answer.status >= 300:
                raise BadSystemError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json()

    async def _watch(
        self,
        http: aiohttp.ClientSession,
        people: list[tuple[int, str]],
        orders: list[tuple[int, tuple[int, str]]],
    ) -> None:
        theirs: dict[int, list[str]] = defaultdict(list)
        for order, (user, _) in orders:
            theirs[user].append(str(order))
        for user, token in people:
            socket = await http.ws_connect(self._run["gateway"] + "?v=10&encoding=json", max_msg_size=0)
            await socket.send_json({"op": 2, "d": {"token": token, "intents": 0, "properties": {}}})
            while (await socket.receive_json())["t"] != "READY":
                pass
            await socket.send_json({"op": 131, "d": {"entities": theirs[user]}})
            while (said := await socket.receive_json())["op"] != 131:
                pass
            if said["d"]["refused"] or "error" in said["d"]:
                raise BadSystemError(f"a watch was refused: {said['d']}")
            customer = _Customer(socket, self.story)
            self._customers.append(customer)
            self._start(customer.read())
            self._start(self._beat(socket))

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(30)
            await socket.send_json({"op": 1, "d": None})

    def _start(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _drive(
        self, http: aiohttp.ClientSession, token: str, drivers: list[int], orders: list[int]
    ) -> None:
        began = time.monotonic()
        until = began + self._choice.seconds
        relays = [
            self._relay(http, token, drivers[at::_RELAYS], at / _RELAYS, began, until)
            for at in range(min(_RELAYS, len(drivers)))
        ]
        await asyncio.gather(
            *relays, self._serve(http, drivers, orders, began, until), self._single_inserts()
        )
        self.story.rate = self.story.accepted / (time.monotonic() - began)

    async def _relay(
        self,
        http: aiohttp.ClientSession,
        token: str,
        drivers: list[int],
        first_s: float,
        began: float,
        until: float,
    ) -> None:
        """Says each second where some of the drivers are."""
        routes = [(driver, self._route()) for driver in drivers]
        headers = {"Authorization": token, "Content-Type": "application/x-ndjson"}
        due = began + first_s
        while due < until:
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            now_ms = int(time.time() * 1000)
            lines = [self._line(driver, route, due - began, now_ms) for driver, route in routes]
            async with http.post(
                f"{self._base}/locations", data="\n".join(lines).encode(), headers=headers
            ) as answer:
                if answer.status == 200:
                    said = await answer.json()
                    self.story.accepted += said["accepted"]
                    self.story.refused += said["dropped"]
                    self._last |= dict.fromkeys(drivers, now_ms)
                elif answer.status in {503, 504}:
                    self.story.refused += len(lines)
                else:
                    raise BadSystemError(f"POST /locations: {answer.status} {await answer.text()}")
            due += 1.0

    def _route(self) -> Route:
        tracks = self._choice.tracks
        return routes_in(tracks, self._random) if tracks else grid_route(self._random)

    def _line(self, driver: int, route: Route, seconds: float, now_ms: int) -> str:
        (lat, lon), heading = route.at(seconds)
        if driver in self.story.places or len(self.story.places) < _SHOWN:
            self.story.places.setdefault(driver, []).append((round(lat, 5), round(lon, 5)))
        return (
            f'{{"entity_id":"{driver}","lat":{lat:.6f},"lon":{lon:.6f},"at":{now_ms},'
            f'"heading_deg":{heading:.0f},"speed_mps":{route.speed_mps:.1f}}}'
        )

    async def _serve(
        self, http: aiohttp.ClientSession, drivers: list[int], orders: list[int], began: float, until: float
    ) -> None:
        """Take orders through their states, spread over the time; half of them end before it is over."""
        span = until - began

        async def serve(place: int, order: int) -> None:
            start = began + span * 0.5 * place / max(len(orders), 1)
            for step, state in enumerate(_STEPS):
                due = start + span * 0.15 * step
                if state == "delivered" and place % 2:
                    return
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                change = {"state": state}
                if state == "assigned":
                    change = {"follows": str(drivers[place % len(drivers)])}
                await self._ask(http, "PATCH", f"/entities/{order}", change)
            self.story.delivered += 1

        await asyncio.gather(*(serve(place, order) for place, order in enumerate(orders)))

    async def _single_inserts(self) -> None:
        """What a database takes that gets each position by itself; besides, into a table of its own."""
        connection = await asyncpg.connect(self._run["postgres"])
        try:
            await connection.execute("CREATE TABLE demo_single (LIKE positions)")
            insert = await connection.prepare("INSERT INTO demo_single VALUES ($1, $2, 0, 0, 1, 1)")
            began, count = time.monotonic(), 0
            while time.monotonic() < began + _SINGLE_S:
                await insert.fetch(count, count)
                count += 1
            self.story.single_rows_per_s = count / (time.monotonic() - began)
            rows = [(count, count, 0, 0, 1.0, 1.0, None, None, None)] * _BULK
            began = time.monotonic()
            await connection.copy_records_to_table("demo_single", records=rows)
            self.story.bulk_rows_per_s = _BULK / (time.monotonic() - began)
        finally:
            await connection.execute("DROP TABLE IF EXISTS demo_single")
            await connection.close()

    async def _settle(self, drivers: list[int]) -> None:
        """Everything accepted is in the database, and everybody shows the last of what they watch."""
        self.say("The drivers stop. Everything accepted has to be in the database, and on every screen.")
        connection = await asyncpg.connect(self._run["postgres"])
        stopped = time.monotonic()
        try:
            while True:
                self.story.archived = await connection.fetchval(
                    "SELECT count(*) FROM positions WHERE entity_id = ANY($1::bigint[])", drivers
                )
                behind = self._behind()
                if self.story.archived >= self.story.accepted and not behind:
                    break
                if time.monotonic() > stopped + _SETTLED_S:
                    break
                await asyncio.sleep(0.1)
        finally:
            await connection.close()
        self.story.behind_s = time.monotonic() - stopped
        took = self._choice.seconds + self.story.behind_s
        self.story.rows_per_s = self.story.archived / took
        # What was answered with 504 may be there, too.
        self.story.missing = max(0, self.story.accepted - self.story.archived) + self._behind()

    def _behind(self) -> int:
        return sum(
            customer.newest.get(driver, -1) < self._last.get(driver, 0)
            for customer in self._customers
            for driver in set(customer.follows.values())
        )
