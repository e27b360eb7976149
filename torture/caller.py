"""REST calls in the name of people, through any node, repeated until there is an answer."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final

import aiohttp

from torture.client import ProtocolError, Rest, RestError
from torture.world import Person

__all__ = ["AWAY", "Caller"]

AWAY: Final = (aiohttp.ClientError, OSError, TimeoutError, ProtocolError)
"""What a call raises while a node or a store is away."""
_ANSWER_S: Final = 7.0
_PAUSE_S: Final = 0.5
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429


class Caller:
    """The calls of one load."""

    def __init__(self, rng: Random, api: Callable[[Random], tuple[str, str]]) -> None:
        """Args: api: where REST is."""
        self.calls = 0
        """How many were answered well."""
        self._rng = rng
        self._api = api
        self._rest: dict[tuple[str, int], Rest] = {}
        self._stack = AsyncExitStack()
        self._deadline = float("inf")

    def finish(self, within_s: float) -> None:
        """Give up calls that are not answered by then."""
        self._deadline = time.monotonic() + within_s

    async def close(self) -> None:
        """Disconnect."""
        await self._stack.aclose()

    async def until_answered(self, who: Person, method: str, path: str, body: Any = None) -> Any:
        """Call, and again until there is an answer that is final; None where it is no."""
        while time.monotonic() < self._deadline:
            try:
                rest = await self._through(self._api(self._rng)[0], who)
                async with asyncio.timeout(_ANSWER_S):
                    answer = await rest.request(method, path, body)
                self.calls += 1
            except RestError as error:
                if error.status < _SERVER_ERROR and error.status != _TOO_MANY:
                    return None
            except AWAY:
                pass
            else:
                return answer
            await asyncio.sleep(_PAUSE_S * self._rng.uniform(0.5, 2.0))
        return None

    async def _through(self, api: str, who: Person) -> Rest:
        key = api, who.id
        if key not in self._rest:
            self._rest[key] = await self._stack.enter_async_context(Rest(api, who.token))
        return self._rest[key]
