"""The stream that the live view reads: server-sent events, one each second, each with the rows that have changed.

A watcher that reads slowly is sent less often: its next event has all that changed since its last one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.ingress.errors import ApiError
from gateway.pages.deltas import Tables, changes, tables

__all__ = ["Live"]

_EVERY_S: Final = 1.0
_MOST: Final = 16

_encode = msgspec.json.Encoder().encode


class Live:
    """The streams of one node."""

    def __init__(self, ask: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        """Args: ask: asks `fanfare up`; raises ApiError."""
        self._ask = ask
        self._streams: set[asyncio.Task[Any]] = set()

    async def end(self, _: web.Application) -> None:
        """End all streams: the node stops, and watchers connect to another one."""
        for task in self._streams:
            task.cancel()

    async def stream(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        """Send figures until the watcher goes.

        Raises:
            ApiError: there are too many watchers, or there is nothing to watch.

        """
        if len(self._streams) >= _MOST:
            raise ApiError(503, 0, f"503: {_MOST} watch this node already", retry_after=5.0)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            return await self._send(request, headers)
        finally:
            self._streams.discard(task)

    async def _send(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        now = tables(await self._ask({"do": "figures"}))
        response = web.StreamResponse(headers=headers | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        before: Tables = {}
        while True:
            await response.write(b"data: " + _encode(changes(before, now)) + b"\n\n")
            before = now
            await asyncio.sleep(_EVERY_S)
            try:
                now = tables(await self._ask({"do": "figures"}))
            except ApiError:
                # The watcher sees the end of the stream, asks again, and is told why.
                return response
