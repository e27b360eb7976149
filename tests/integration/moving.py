"""A live location app for tests: requests of the app and of users, sockets that watch, people."""

import asyncio
import json
import time
from typing import Any

import aiohttp

WITHIN_S = 20


def now_ms() -> int:
    return int(time.time() * 1000)


class App:
    """Requests to a node, in the name of the app, of a user, or of nobody."""

    def __init__(self, http: aiohttp.ClientSession, base: str, key: str) -> None:
        self.http, self.base, self.key = http, base, key

    async def ask(
        self, method: str, path: str, body: Any = None, *, of: Any = "app", raw: Any = None, **headers
    ):
        if of == "app":
            headers["Authorization"] = f"Admin {self.key}"
        elif of is not None:
            headers["Authorization"] = of.token
        async with self.http.request(
            method, f"{self.base}/fanfare/v1{path}", json=body, data=raw, headers=headers
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text[:1] in ("{", "[") else text

    async def entity(self, **fields) -> int:
        status, made = await self.ask("POST", "/entities", fields)
        assert status == 201, made
        return int(made["id"])


class Socket:
    """A plain client: what it was sent, in order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.seen: list[dict[str, Any]] = []

    async def until(self, wanted) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            while True:
                self.seen.append(await self.ws.receive_json())
                if wanted(self.seen[-1]):
                    return self.seen[-1]

    async def watch(self, *ids: int, **more) -> dict[str, Any]:
        await self.ws.send_json({"op": 131, "d": {"entities": [str(one) for one in ids], **more}})
        return (await self.until(lambda said: said["op"] == 131))["d"]

    async def place(self, lat: float) -> None:
        await self.until(lambda said: said["t"] == "LOCATION_UPDATE" and said["d"]["lat"] == lat)

    async def state(self, state: str) -> dict[str, Any]:
        return (await self.until(lambda said: said["t"] == "ENTITY_UPDATE" and said["d"]["state"] == state))[
            "d"
        ]

    @property
    def places(self) -> list[float]:
        return [said["d"]["lat"] for said in self.seen if said["t"] == "LOCATION_UPDATE"]


def at(entity: int, lat: float, **more) -> dict[str, Any]:
    return {"entity_id": str(entity), "lat": lat, "lon": 13.4, "at": now_ms(), **more}
