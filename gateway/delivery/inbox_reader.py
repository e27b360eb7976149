"""The node's own inbox: made, read into the hub, kept alive, and replaced when it is lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from fanfare.bus.outage import is_outage
from fanfare.clock import now_s
from fanfare.constants import NODE_RENEW_S, TOKEN_S
from fanfare.presence import epoch, inboxes, keys
from fanfare.presence.client import Redis, connect
from fanfare.presence.errors import RedisError
from fanfare.presence.inboxes import InboxEntry, InboxGoneError
from fanfare.presence.loss_token import loss_token
from fanfare.settings import Settings
from fanfare.tasks import Shared, together
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.tracing import Traces
from gateway import metrics
from gateway.delivery.hub import Hub

__all__ = ["NodeInbox"]

_BLOCK_MS: Final = 1000
_COUNT: Final = 1000
# After this long other tasks get their turn, so that a burst does not keep heartbeats and REST waiting.
_SLICE_S: Final = 0.01
_RETRY_S: Final = 0.2


class NodeInbox:
    """The inbox `<node>.<generation>` of this process."""

    def __init__(self, settings: Settings, redis: Redis, node: str, traces: Traces | None = None) -> None:
        """Args: redis: for everything but reading, which has a connection of its own."""
        self._redis = redis
        self._delivered = _noted if traces is None else partial(_traced, traces)
        self._reader = connect(
            settings, client_name=f"fanfare-{node}", connected=self._connected, may_block=True
        )
        self._fresh = True
        self._tokens: Shared[None, str] = Shared(lambda _: loss_token(redis))
        self.node = node
        self.ready = asyncio.Event()
        """Set while the inbox is whole: sessions can start."""
        self._generation = 0
        self.problem = ""
        """What keeps it from being read, and does not pass by itself; or ''."""
        self.token = ""
        """The loss token that the inbox was made under."""
        self._log = logs.get("inbox")

    @property
    def name(self) -> str:
        """The inbox's name."""
        return f"{self.node}.{self._generation}"

    async def begin(self) -> int:
        """Make the first inbox, however long Redis is away; returns its first `s`."""
        while True:
            try:
                s = await self.create(0, newest={}, is_open=True)
            except (RedisError, OSError):
                await asyncio.sleep(_RETRY_S)
            else:
                self.ready.set()
                return s

    async def create(self, floor: int, *, newest: Mapping[str, int], is_open: bool) -> int:
        """Make the next inbox, under the present token, with its first `s` above the floor; returns that `s`.

        Args:
            floor: its first `s` is above this.
            newest: newest `s` per scope, of the inbox that was lost.
            is_open: whether its sessions may be adopted at once.

        Raises:
            RedisError: Redis is away.

        """
        await epoch.ensure(self._redis)
        self.token = await loss_token(self._redis)
        self._generation += 1
        return await inboxes.create(
            self._redis, self.node, self.name, floor=floor, token=self.token, is_open=is_open, newest=newest
        )

    async def whole(self, redis: Redis | None = None) -> None:
        """Check on the spot that nothing was lost.

        Args:
            redis: the client whose connection is to be asked.

        Raises:
            InboxGoneError: Redis may have lost writes since the inbox was made.
            RedisError: Redis is away.

        """
        token = await loss_token(redis) if redis is not None else await self._tokens.of(None)
        if token != self.token:
            raise InboxGoneError(self.name)

    async def run(
        self,
        hub: Hub,
        repair: Callable[[InboxGoneError], Awaitable[None]],
        watch: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Read into the hub and keep alive; a supervised task.

        Args:
            hub: takes the entries.
            repair: puts another inbox in the place of one that is lost.
            watch: raises InboxGoneError where what is registered for the inbox has holes.

        """
        while True:
            try:
                await together(self._read(hub), self._renew(), watch())
            except InboxGoneError as lost:
                self.ready.clear()
                # The connection may be to a server that is no primary any more.
                self._reader.drop()
                await repair(lost)
                self.ready.set()

    async def confirm(self) -> None:
        """Make sure that the inbox itself is there, and whole; waits however long Redis is away.

        Raises:
            InboxGoneError: it is not, so more is lost than a hole in the registrations.

        """

        async def look() -> None:
            await self.whole()
            await inboxes.renew(self._redis, self.node, self.name)

        await _insist(look)

    async def destroy(self) -> None:
        """Delete the inbox, so that no node goes on with its sessions: it lacks events. Waits until Redis is there."""
        await _insist(lambda: self._redis.delete(keys.at(self.name), keys.inbox(self.name)))

    async def close(self) -> None:
        """Disconnect; the inbox stays, so that another node can adopt its sessions."""
        await self._reader.aclose()

    def _connected(self) -> None:
        """The reader has a new connection, perhaps to a server that has lost the end of our inbox."""
        self._fresh = True

    async def _read(self, hub: Hub) -> None:
        away = False
        while True:
            try:
                entries = await inboxes.read(self._reader, self.name, hub.s, count=_COUNT, block_ms=_BLOCK_MS)
                if self._fresh:
                    self._fresh = False
                    await self.whole(self._reader)
                    if self._fresh:
                        continue  # connected anew while asking
                if len(entries) == _COUNT and (await inboxes.oldest_s(self._reader, self.name)) > hub.s:
                    raise InboxGoneError(self.name)  # trimmed before it was read
            except (RedisError, OSError) as error:
                self._fresh = True
                self._reader.drop()
                passes = is_outage(error)
                self.problem = "" if passes else f"the inbox cannot be read: {error!r}"
                if not away:
                    say = self._log.warning if passes else self._log.error
                    say("Redis is away", action=Action.REDIS_AWAY, error=repr(error))
                away = True
                await asyncio.sleep(_RETRY_S)
                continue
            self.problem = ""
            if away:
                away = False
                self._log.info("Redis is back", action=Action.REDIS_BACK)
            started, timed = time.monotonic(), 0
            metrics.ENTRIES.inc(len(entries))
            for taken, entry in enumerate(entries, 1):
                hub.take(entry, more=True)
                if time.monotonic() - started > _SLICE_S:
                    hub.settle()
                    self._delivered(entries[timed:taken], started)
                    await asyncio.sleep(0)
                    started, timed = time.monotonic(), taken
            hub.settle()
            self._delivered(entries[timed:], started)

    async def _renew(self) -> None:
        renewed = 0.0
        while True:
            try:
                await self.whole()
                if time.monotonic() - renewed >= NODE_RENEW_S:
                    await inboxes.renew(self._redis, self.node, self.name)
                    renewed = time.monotonic()
            except (RedisError, OSError):
                pass
            await asyncio.sleep(TOKEN_S)


def _traced(traces: Traces, entries: Sequence[InboxEntry], began: float) -> None:
    """The same, and the last step of what is traced: to the sockets, or to what waits until a slow one takes more."""
    _noted(entries, began)
    began_s = now_s() - (time.monotonic() - began)
    traces.add_all("deliver", (entry.record for entry in entries if entry.record is not None), began_s, {})


def _noted(entries: Sequence[InboxEntry], _began: float) -> None:
    """Note how long the events took that have just been written."""
    now = now_s()
    for entry in entries:
        # A fence has no time, and a marker is no event.
        if entry.record is not None and entry.record.at:
            metrics.DELIVERY_SECONDS.observe(max(now - entry.record.at / 1000, 0.0))


async def _insist(call: Callable[[], Awaitable[object]]) -> None:
    """Make a call, again and again while Redis is away."""
    while True:
        try:
            await call()
        except (RedisError, OSError):
            await asyncio.sleep(_RETRY_S)
        else:
            return
