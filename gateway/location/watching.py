"""Who on this node watches what, and what they are told: the newest position of each entity, and changes of entities.

Newest wins: a watcher that takes nothing gets, when it takes again, the newest position of each entity and none of
those before it. So what waits for a watcher is a set of entities, never a queue.

The right to see a position is asked when it is given to a watcher. Watchers that are named users, on sockets that take
what comes, are kept by descriptor: a position for all of them is one write.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import Counter

from fanfare.location.cells import Area, cells_at, cells_of
from fanfare.location.entity import Entity, entity_in
from fanfare.location.positions import Fix
from fanfare.presence.errors import RedisError
from fanfare.presence.locations import Locations, News, Told, WatchList
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY
from gateway.location.index import Index
from gateway.location.known import Known
from gateway.location.sight import Refused, Roles, Sight, in_area
from gateway.location.watch_list import Update, Watcher

if TYPE_CHECKING:
    from array import array

__all__ = ["Watching"]

# What Redis keeps of our wishes lasts a minute.
_RENEW_S: Final = 15.0
_LOOK_S: Final = 0.5

SENT: Final = Counter("fanfare_location_sent", "Positions written to watchers.", registry=REGISTRY)
OVERWRITTEN: Final = Counter(
    "fanfare_location_overwritten",
    "Positions that a watcher did not get, because a newer one came before it took them.",
    registry=REGISTRY,
)


class Positions(Protocol):
    """The archive: `fanfare.store.entities.Entities`. Raises StoreUnavailableError."""

    async def newest_positions(self, ids: list[int]) -> dict[int, Fix]:
        """The newest archived position of each."""


class Watching:
    """The watchers of one node."""

    def __init__(
        self,
        *,
        node: str,
        known: Known,
        locations: Locations,
        store: Positions,
        roles: Roles,
        write: Callable[["array[int]", bytes], list[tuple[int, int]]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Begin with none.

        Args:
            node: this one's name.
            known: the entities.
            locations: Redis.
            store: the archive.
            roles: of members of guilds.
            write: writes to many sockets.
            spawn: runs short pieces of work.

        """
        self._node = node
        self._known = known
        self._locations = locations
        self._store = store
        self._sight = Sight(known, roles)
        self._write = write
        self._spawn = spawn
        self._index = Index(known)
        self._newest: dict[int, Update] = {}
        self._stale = False
        self._log = logs.get("location")

    def kept(self) -> set[int]:
        """Entities that have to stay in memory."""
        return {*self._index.by_id, *self._index.by_source}

    # What clients ask for

    async def watch(self, watcher: Watcher, ids: list[int], area: Area | None) -> dict[int, Refused]:
        """Replace what a watcher watches. What it is told from here on waits until `told`.

        Args:
            watcher: who.
            ids: entities, each once.
            area: part of the map.

        Returns:
            The entities that are refused, and why.

        Raises:
            StoreUnavailableError, RedisError: it cannot be told now; then it watches nothing.

        """
        async with watcher.turn:
            return await self._watch(watcher, ids, area)

    async def _watch(self, watcher: Watcher, ids: list[int], area: Area | None) -> dict[int, Refused]:
        watcher.ready = False
        left = self._leave(watcher)
        await self._sight.know_roles((await self._known.of(ids)).values(), watcher.user)
        # Once more: what nobody watches yet may have been forgotten meanwhile. From here to `_enter` nothing waits.
        entities = await self._known.of(ids)
        refused = {}
        for ident in ids:
            if (why := self._sight.refusal(entities.get(ident), watcher)) is not None:
                refused[ident] = why
            else:
                watcher.wanted.add(ident)
        watcher.area, watcher.cells = area, cells_of(area) if area is not None else frozenset()
        new = self._index.enter(watcher)
        watcher.pending |= watcher.sources.keys() & self._newest.keys()
        if left.entities or left.cells:
            self._spawn(self._unwatch(left))
        # First the wish, and then the newest: so nothing falls between.
        await self._locations.watch(self._node, new)
        await self._read(watcher.sources)
        if area is not None:
            await self._look_around(watcher, area, new=True)
        return refused

    def told(self, watcher: Watcher) -> None:
        """The client knows what it watches: it may get positions."""
        watcher.ready = True
        self._index.changed(watcher)
        self.drained(watcher)

    def drop(self, watcher: Watcher) -> None:
        """A watcher has gone."""
        gone = self._leave(watcher)
        if gone.entities or gone.cells:
            self._spawn(self._unwatch(gone))

    def blocked(self, watcher: Watcher) -> None:
        """Its link takes nothing for now."""
        self._index.changed(watcher)

    def drained(self, watcher: Watcher) -> None:
        """Its link takes something again: the newest of what waits."""
        self._index.changed(watcher)
        while watcher.pending and watcher.takes:
            update = self._newest.get(watcher.pending.pop())
            if update is not None:
                self._give(watcher, update)

    # What this node is told

    async def take(self, told: Told) -> None:
        """Take what came; None: something may not have come."""
        if told is None:
            # `renew` makes up for it.
            self._stale = True
        elif isinstance(told, News):
            entity = entity_in(told.payload)
            change = self._known.apply(told.stream, entity)
            if change is not None:
                self._changed(*change)
        else:
            await self._positions(told)

    async def renew(self) -> None:
        """Repeat our wishes, and look for what was missed; for ever, as a supervised task."""
        due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._index.watchers:
                continue
            try:
                if loop.time() < due and not self._stale and await self._locations.is_known(self._node):
                    continue
                await self._missed()
            except (RedisError, StoreUnavailableError) as error:
                self._log.debug("wishes not renewed", action=Action.REDIS_AWAY, why=repr(error))
            else:
                due = loop.time() + _RENEW_S

    # Inside

    def _leave(self, watcher: Watcher) -> WatchList:
        """It watches nothing; what nobody here watches any more."""
        gone = self._index.leave(watcher)
        for source in gone.entities:
            self._newest.pop(source, None)
        return gone

    async def _unwatch(self, gone: WatchList) -> None:
        with suppress(RedisError):  # otherwise the wish ends by itself
            again = frozenset(one for one in gone.entities if one not in self._index.by_source)
            cells = frozenset(one for one in gone.cells if one not in self._index.by_cell)
            await self._locations.unwatch(self._node, WatchList(again, cells))

    async def _read(self, sources: Iterable[int]) -> None:
        """The newest positions, from Redis, or else from the archive."""
        asked = list(sources)
        found = await self._locations.newest(asked)
        lacking = [source for source in asked if source not in found]
        if lacking:
            with suppress(StoreUnavailableError):
                found |= await self._store.newest_positions(lacking)
        for fix in found.values():
            self._take(fix)

    async def _look_around(self, watcher: Watcher, area: Area, *, new: bool) -> None:
        """What is in an area already; for a new watcher, also what others here know of it."""
        near = await self._locations.in_area(*area)
        await self._known.of(near)
        for fix in (await self._locations.newest(near)).values():
            if not self._take(fix) and new and in_area(watcher, fix):
                watcher.pending.add(fix.entity_id)
        self.drained(watcher)

    async def _positions(self, fixes: list[Fix]) -> None:
        if self._index.by_cell:
            strangers = [
                fix.entity_id
                for fix in fixes
                if self._known.get(fix.entity_id) is None
                and any(cell in self._index.by_cell for cell in cells_at(fix.lat, fix.lon))
            ]
            if strangers:
                with suppress(StoreUnavailableError):
                    await self._known.of(strangers)
        for fix in fixes:
            self._take(fix)

    def _keep(self, fix: Fix) -> bool:
        """Note a position, if it is the newest of its entity."""
        known = self._newest.get(fix.entity_id)
        if known is not None and known.fix.newness >= fix.newness:
            return False
        self._newest[fix.entity_id] = Update(fix)
        return True

    def _take(self, fix: Fix) -> bool:
        """Give a position to its watchers, if it is the newest; whether it was."""
        if not self._keep(fix):
            return False
        update = self._newest[fix.entity_id]
        around: set[Watcher] = set()
        if self._index.by_cell:
            for cell in cells_at(fix.lat, fix.lon):
                around |= self._index.by_cell.get(cell, set())
            around = {one for one in around if in_area(one, fix)}
        if fix.entity_id in self._index.by_source:
            crowd = self._index.crowd(fix.entity_id)
            for transport, (fds, by_fd) in crowd.direct.items():
                frame = update.frame(transport, exact=True)
                SENT.inc(len(fds))
                for fd, written in self._write(fds, frame):
                    by_fd[fd].link.rest(frame, written)
            for watcher in crowd.apart:
                self._give(watcher, update)
            around -= self._index.by_source[fix.entity_id]
        elif not around:
            # Only areas that it has left were watched.
            del self._newest[fix.entity_id]
        for watcher in around:
            self._give(watcher, update)
        return True

    def _give(self, watcher: Watcher, update: Update) -> None:
        exact = self._sight.sees(watcher, update.fix)
        ident = update.fix.entity_id
        if exact is None:
            watcher.pending.discard(ident)
        elif not watcher.takes:
            if ident in watcher.pending:
                OVERWRITTEN.inc()
            watcher.pending.add(ident)
        else:
            watcher.pending.discard(ident)
            SENT.inc()
            watcher.give(update, exact=exact)

    def _changed(self, before: Entity, after: Entity) -> None:
        """An entity has changed: tell its watchers, and see who they are now."""
        self._index.forget_crowd(after.id)
        told = after.version > before.version and after.says_more(before)
        for watcher in list(self._index.by_id.get(after.id, ())):
            why = self._sight.refusal(after, watcher)
            # They come from positions of before the change.
            self._tell_passages(watcher, before, after)
            if told and (why is None or after.ended):
                watcher.tell(after)
            if why is None:
                self._follow(watcher)
                continue
            self._reindex(watcher, watcher.wanted - {after.id})
            if not after.ended:
                watcher.refuse({after.id: why})

    def _tell_passages(self, watcher: Watcher, before: Entity, after: Entity) -> None:
        """Where an entity's geofences are says where it is: only to who may see that exactly."""
        passages = after.passages_since(before)
        if passages and self._sight.sees_exactly(before, watcher):
            for passage in passages:
                watcher.passed(after, passage)

    def _follow(self, watcher: Watcher) -> None:
        """Whom its entities follow may have changed."""
        before = watcher.sources
        if self._index.sources_of(watcher.wanted) == before:
            self._index.changed(watcher)
            return
        self._reindex(watcher, watcher.wanted)
        new = watcher.sources.keys() - before.keys()
        # What others here were told; what comes from here on is given to this one as to them.
        watcher.pending |= new & self._newest.keys()
        self.drained(watcher)
        self._spawn(self._begin(new))

    def _reindex(self, watcher: Watcher, wanted: set[int]) -> None:
        """It watches these entities from here on, and the same area as before."""
        area, cells, pending, ready = watcher.area, watcher.cells, set(watcher.pending), watcher.ready
        newest = {one: self._newest[one] for one in watcher.sources if one in self._newest}
        wanted = set(wanted)
        gone = self._leave(watcher)
        watcher.wanted, watcher.area, watcher.cells, watcher.ready = wanted, area, cells, ready
        self._index.enter(watcher)
        for source in watcher.sources:
            if source in newest:
                self._newest.setdefault(source, newest[source])
        watcher.pending = {one for one in pending if one in watcher.sources or area is not None}
        self._spawn(self._unwatch(gone))

    async def _begin(self, sources: Set[int]) -> None:
        try:
            await self._locations.watch(self._node, WatchList(frozenset(sources), frozenset()))
            await self._read(sources)
        except RedisError as error:
            # The next renewal does it.
            self._log.debug("a wish waits", action=Action.REDIS_AWAY, why=repr(error))

    async def _missed(self) -> None:
        """Wishes and changes may be lost: repeat the ones, and look for the others."""
        self._stale = True
        for before, after in await self._known.refresh():
            self._changed(before, after)
        sources = frozenset(self._index.by_source)
        await self._locations.watch(self._node, WatchList(sources, frozenset(self._index.by_cell)))
        for watcher in list(self._index.watchers):
            entities = [entity for ident in watcher.wanted if (entity := self._known.get(ident)) is not None]
            await self._sight.know_roles(entities, watcher.user)
            if self._index.sources_of(watcher.wanted) != watcher.sources:
                self._follow(watcher)
            if watcher.area is not None:
                await self._look_around(watcher, watcher.area, new=False)
        await self._read(sources)
        if not self._index.by_cell:
            for ident in self._newest.keys() - self._index.by_source.keys():
                del self._newest[ident]
        self._stale = False
