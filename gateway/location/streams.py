"""Server-sent events for pages that watch one entity and do nothing else (HTML Standard, "Server-sent events").

What waits for a page that reads slowly is the newest position of each entity, as with sockets.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiohttp import web
from typing_extensions import override

from fanfare.clock import now_s
from fanfare.location.entity import Entity, Passage
from gateway.ingress.errors import ApiError
from gateway.location.watch_list import (
    ENTITY_UPDATE,
    GEOFENCE_UPDATE,
    LOCATION_UPDATE,
    Update,
    Watcher,
    entity_facts,
    passage_facts,
)
from gateway.location.watching import Watching
from gateway.rest.protocol import CORS

__all__ = ["Streams"]

_MOST: Final = 2000
_SILENCE_S: Final = 15.0

_encode = msgspec.json.Encoder().encode


class _StreamWatcher(Watcher):
    """A watcher that reads a stream. It takes one thing after the other."""

    __slots__ = ("busy", "changes", "next", "woken")

    def __init__(self, user: int) -> None:
        super().__init__(user)
        self.busy = False
        self.next: bytes | None = None
        self.changes: deque[bytes] = deque(maxlen=100)
        self.woken = asyncio.Event()

    @property
    @override
    def takes(self) -> bool:
        return self.ready and not self.busy and self.next is None

    @override
    def give(self, update: Update, *, exact: bool) -> None:
        self.next = _event(LOCATION_UPDATE, update.data(exact=exact))
        self.woken.set()

    @override
    def tell(self, entity: Entity) -> None:
        self.changes.append(_event(ENTITY_UPDATE, _encode(entity_facts(entity))))
        self.woken.set()

    @override
    def passed(self, entity: Entity, passage: Passage) -> None:
        self.changes.append(_event(GEOFENCE_UPDATE, _encode(passage_facts(entity, passage))))
        self.woken.set()

    @override
    def refuse(self, refused: Mapping[int, Mapping[str, Any]]) -> None:
        self.woken.set()


class _LinkWatcher(_StreamWatcher):
    """Somebody with a link: to the one entity that it watches."""

    __slots__ = ()

    @override
    def may(self, entity: Entity, roles: Collection[int]) -> bool:
        return not entity.ended

    @override
    def exactly(self, entity: Entity, roles: Collection[int]) -> bool:
        return True


class Streams:
    """The streams of one node."""

    def __init__(self, watching: Watching) -> None:
        """Args: watching: the watchers of the node."""
        self._watching = watching
        self._tasks: set[asyncio.Task[Any]] = set()

    def end(self) -> None:
        """End all streams: the node stops, and pages connect to another one."""
        for task in self._tasks:
            task.cancel()

    async def serve(
        self,
        request: web.Request,
        entity: Entity,
        user: int,
        *,
        until_s: float | None = None,
        stands: Callable[[], bool] = lambda: True,
    ) -> web.StreamResponse:
        """Send what an entity does until the page goes, or the entity ends.

        Args:
            request: of the page.
            entity: which.
            user: who watches; 0: whoever has a link to the entity.
            until_s: when the link ends, in seconds since 1970.
            stands: whether the token of the user still counts.

        Raises:
            ApiError: there are too many streams, or the user may not watch.

        """
        if len(self._tasks) >= _MOST:
            raise ApiError(503, 0, f"503: {_MOST} streams are open on this node already", retry_after=5.0)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        watcher = _StreamWatcher(user) if user else _LinkWatcher(0)
        try:
            for why in (await self._watching.watch(watcher, [entity.id], None)).values():
                raise ApiError(403, why["code"], why["message"])
            response = await self._begin(request, entity)
            left = None if until_s is None else until_s - now_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._send(response, watcher, stands)
            return response
        finally:
            self._watching.drop(watcher)
            self._tasks.discard(task)

    @staticmethod
    async def _begin(request: web.Request, entity: Entity) -> web.StreamResponse:
        headers = {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
        response = web.StreamResponse(headers=headers | CORS)
        await response.prepare(request)
        await response.write(_event(ENTITY_UPDATE, _encode(entity_facts(entity))))
        return response

    async def _send(
        self, response: web.StreamResponse, watcher: _StreamWatcher, stands: Callable[[], bool]
    ) -> None:
        self._watching.told(watcher)
        while True:
            if not (watcher.changes or watcher.next or not watcher.wanted):
                try:
                    await asyncio.wait_for(watcher.woken.wait(), _SILENCE_S)
                except TimeoutError:
                    await response.write(b": still here\n\n")
            watcher.woken.clear()
            said, watcher.next = watcher.next, None
            watcher.busy = True
            while watcher.changes:
                await response.write(watcher.changes.popleft())
            if not watcher.wanted or not stands():
                return
            if said is not None:
                await response.write(said)
            watcher.busy = False
            self._watching.drained(watcher)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
