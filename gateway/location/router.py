"""What is left of a way: by a router that knows the streets, or else by air.

A router is asked in the form of OSRM's route service, version 1 (`GET /route/v1/driving/LON,LAT;LON,LAT`), which
others speak as well. While it is away, or knows no way, what is left is worked out by air.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from fanfare.location.eta import Left, left_by_air
from fanfare.location.positions import Fix
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["Router"]

_ANSWER_S: Final = 1.5
_MOST_BYTES: Final = 1 << 20
# A router that is away is not asked by each request.
_PAUSE_S: Final = 10.0


class _Route(msgspec.Struct):
    distance: float
    duration: float


class _Answer(msgspec.Struct):
    routes: list[_Route]


_answer = msgspec.json.Decoder(_Answer)


class Router:
    """Asks a router, where there is one."""

    def __init__(self, url: str) -> None:
        """Args: url: of the router, without `/route`; '': there is none."""
        self._url = url.rstrip("/")
        self._http: aiohttp.ClientSession | None = None
        self._again_s = 0.0
        self._log = logs.get("location")

    async def left(self, fixes: Sequence[Fix], lat: float, lon: float) -> tuple[Left, str]:
        """What is left to a place, and who says so: `osrm` or `air`. Arguments as for `left_by_air`."""
        now = asyncio.get_running_loop().time()
        if self._url and now >= self._again_s:
            try:
                return await self._ask(fixes[-1], lat, lon), "osrm"
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, IndexError) as error:
                self._again_s = now + _PAUSE_S
                self._log.warning("the router does not answer", action=Action.RETRY, why=repr(error))
        return left_by_air(fixes, lat, lon), "air"

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()

    async def _ask(self, fix: Fix, lat: float, lon: float) -> Left:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))
        way = f"{fix.lon:.6f},{fix.lat:.6f};{lon:.6f},{lat:.6f}"
        options: Any = {"overview": "false"}
        async with self._http.get(f"{self._url}/route/v1/driving/{way}", params=options) as answer:
            answer.raise_for_status()
            route = _answer.decode(await answer.content.read(_MOST_BYTES)).routes[0]
        return Left(route.distance, route.duration)
