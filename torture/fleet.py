"""Drivers, orders and people who watch them, during a fault; and what has to be so afterwards (live location).

What is checked, from outside: each accepted position is in the database once; after settling each watcher shows the
last accepted position of each driver that it may watch; on a socket never an older one after a newer one; of an order
that has ended, nothing that was said after its end.
"""

import asyncio
import json
import time
from contextlib import suppress
from random import Random
from typing import Any, Final

import aiohttp
import asyncpg

from fanfare.presence.snowflake_leases import unleased
from fanfare.store import Store
from fanfare.tasks import end
from fanfare.tokens import Tokens
from torture.system import BadSystemError, System, eventually

__all__ = ["Fleet"]

_DRIVERS: Final = 8
_ORDERS: Final = 4
_WATCHERS: Final = 6
_EVERY_S: Final = 0.2
_AGAIN_S: Final = 0.3
_SETTLED_S: Final = 90.0
_REQUEST_S: Final = 10.0
_BEAT_S: Final = 20.0


class _Watcher:
    """A client that watches, and connects again whenever it has to."""

    def __init__(self, fleet: "Fleet", token: str, ids: list[int]) -> None:
        self._fleet = fleet
        self._token = token
        self.ids = ids
        self.newest: dict[int, int] = {}
        """Of each driver, the time of the newest position on the present socket."""
        self.sockets = 0

    async def run(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError, ConnectionError, TypeError):
                await self._socket()
            await asyncio.sleep(self._fleet.rng.uniform(0.1, 0.5))

    async def _socket(self) -> None:
        url = self._fleet.place()[0]
        async with self._fleet.http.ws_connect(f"{url}?v=10&encoding=json", max_msg_size=0) as socket:
            await socket.send_json({"op": 2, "d": {"token": self._token, "intents": 0, "properties": {}}})
            async with asyncio.timeout(_REQUEST_S):
                while (await socket.receive_json())["t"] != "READY":
                    pass
            self.newest = {}
            self.sockets += 1
            await socket.send_json({"op": 131, "d": {"entities": [str(one) for one in self.ids]}})
            beating = asyncio.create_task(self._beat(socket))
            try:
                while True:
                    said = await socket.receive_json()
                    if said["op"] == 7 or (said["op"] == 131 and "error" in said["d"]):
                        return
                    if said["t"] == "LOCATION_UPDATE":
                        self._take(int(said["d"]["entity_id"]), int(said["d"]["at"]))
            finally:
                await end((beating,))

    @staticmethod
    async def _beat(socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            await socket.send_json({"op": 1, "d": None})

    def _take(self, driver: int, at: int) -> None:
        self._fleet.shown += 1
        if at < self.newest.get(driver, 0):
            self._fleet.wrong.append(f"driver {driver}: {at} was shown after {self.newest[driver]}")
        if driver not in self.ids and at > self._fleet.ends.get(driver, 1 << 62):
            self._fleet.wrong.append(f"driver {driver}: {at} was shown after the end of its order")
        self.newest[driver] = max(at, self.newest.get(driver, 0))


class Fleet:
    """An asynchronous context manager: it drives for as long as it is open."""

    def __init__(self, system: System, rng: Random) -> None:
        """Args: system: it is up; rng: of the fault."""
        self.rng = rng
        self.wrong: list[str] = []
        self.ends: dict[int, int] = {}
        """By driver, when the end of the one order that followed it was answered, in ms since 1970."""
        self.shown = 0
        self._system = system
        self._accepted: dict[int, set[int]] = {}
        self._watchers: list[_Watcher] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._driving: list[asyncio.Task[None]] = []
        self._enough = asyncio.Event()
        self._token = ""
        self._orders: list[int] = []

    async def __aenter__(self) -> "Fleet":
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
        self.http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        (user, self._token), (customer, token) = await self._users(2)
        drivers = [
            await self._made(kind="driver", publishers=[user], watchers=[customer] if at % 2 else [])
            for at in range(_DRIVERS)
        ]
        self._accepted = {driver: set() for driver in drivers}
        # Those that the customer may not watch by themselves, each through an order.
        followed = drivers[::2][:_ORDERS]
        for driver in followed:
            order = await self._made(kind="order", watchers=[customer])
            await self._ask("PATCH", f"/entities/{order}", {"follows": str(driver)})
            self._orders.append(order)
        watched = [*self._orders, *drivers[1::2]]
        self._watchers = [_Watcher(self, token, watched) for _ in range(_WATCHERS)]
        self._tasks = [asyncio.create_task(watcher.run(), name="watcher") for watcher in self._watchers]
        self._driving = [asyncio.create_task(self._drive(driver), name="driver") for driver in drivers]
        self._followed = dict(zip(self._orders, followed, strict=True))
        self._drivers = drivers
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([*self._driving, *self._tasks])
        await self.http.close()

    def place(self) -> tuple[str, str]:
        """The addresses of one of the nodes, or, while none is known, those that all share."""
        nodes = list(self._system.nodes.values())
        node = self.rng.choice(nodes) if nodes else None
        gateway = node.gateway if node is not None else self._system.run["gateway"]
        api: str = node.api if node is not None else self._system.run["api"]
        return gateway, api.removesuffix("/api/v10") + "/fanfare/v1"

    async def end_one(self) -> None:
        """An order ends: from then on nobody sees its driver through it."""
        order = self._orders.pop()
        driver = self._followed.pop(order)
        await self._ask("PATCH", f"/entities/{order}", {"state": "delivered"})
        self.ends[driver] = int(time.time() * 1000)

    async def settle(self) -> str:
        """Stop driving, and wait until everything is as it has to be; what it was, in words.

        Raises:
            BadSystemError: something is not.

        """
        self._enough.set()
        await asyncio.gather(*self._driving)
        visible = [*self._followed.values(), *self._drivers[1::2]]
        last = {driver: max(self._accepted[driver]) for driver in visible}

        async def all_shown() -> bool:
            return all(
                watcher.newest.get(driver, 0) == at
                for watcher in self._watchers
                for driver, at in last.items()
            )

        await eventually(all_shown, _SETTLED_S, "not every watcher shows the last position of each driver")
        await eventually(
            self._all_archived, _SETTLED_S, "not every accepted position is in the database once"
        )
        if self.wrong:
            raise BadSystemError("; ".join(self.wrong[:5]))
        accepted = sum(map(len, self._accepted.values()))
        return f"{accepted} positions, {self.shown} shown on {sum(one.sockets for one in self._watchers)} sockets"

    async def _all_archived(self) -> bool:
        connection = await asyncpg.connect(self._system.run["postgres"])
        try:
            rows = await connection.fetch(
                "SELECT entity_id, at_ms FROM positions WHERE entity_id = ANY($1::bigint[])", self._drivers
            )
        finally:
            await connection.close()
        wanted = {(driver, at) for driver, times in self._accepted.items() for at in times}
        return len(rows) == len(wanted) and {(row["entity_id"], row["at_ms"]) for row in rows} == wanted

    async def _drive(self, driver: int) -> None:
        lat = 52.5
        while not self._enough.is_set():
            lat += 0.0001
            at = int(time.time() * 1000)
            fix = {"entity_id": str(driver), "lat": round(lat, 4), "lon": 13.4, "at": at}
            # The same again until it is accepted: it is stored once.
            await self._insist("POST", "/locations", fix, {"Authorization": self._token})
            self._accepted[driver].add(at)
            await asyncio.sleep(_EVERY_S)

    async def _made(self, **fields: Any) -> int:
        fields = {
            name: [str(one) for one in value] if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return int((await self._ask("POST", "/entities", fields))["id"])

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        key = self._system.run["admin_key"]
        return await self._insist(method, path, body, {"Authorization": f"Admin {key}"})

    async def _insist(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        """A request, again and again while stores or nodes are away."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                url = self.place()[1] + path
                async with self.http.request(method, url, json=body, headers=headers) as answer:
                    said = json.loads(await answer.text() or "null")
                    if answer.status < 300:
                        return said
                    ended = answer.status == 400 and "state" in (said.get("errors") or {})
                    if ended:  # our own end, whose answer was lost
                        return said
                    if answer.status not in {502, 503, 504}:
                        raise BadSystemError(f"{method} {path}: {answer.status} {said}")
            await asyncio.sleep(_AGAIN_S)

    async def _users(self, count: int) -> list[tuple[int, str]]:
        settings = self._system.settings
        tokens, snowflakes = Tokens(settings.secret.get_secret_value()), unleased()
        store = await Store.connect(settings)
        try:
            found = []
            for _ in range(count):
                ident = snowflakes.next(time.time() * 1000)
                await store.create_user(ident, f"fleet-{ident}", False)
                found.append((ident, tokens.issue(ident)))
            return found
        finally:
            await store.close()
