"""Who on this node watches what, and what they are told: the newest position of each entity, and changes of entities.

Newest wins: a watcher that takes nothing gets, when it takes again, the newest position of each entity and none of
those before it. So what waits for a watcher is a set of entities, never a queue.

The right to see a position is asked when it is given to a watcher. Watchers that are named users, on sockets that take
what comes, are kept by descriptor: a position for all of them is one write.
"""

import asyncio
from array import array
from collections.abc import Callable, Coroutine, Iterable, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from prometheus_client import Counter, Gauge

from fanfare.location.cells import Area, cells_at, cells_of
from fanfare.location.entity import Entity, entity_in
from fanfare.location.positions import Fix
from fanfare.presence.errors import RedisError
from fanfare.presence.locations import Locations, News, Told, WatchList
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY
from gateway.location.known import Known
from gateway.location.watch_list import SocketWatcher, Update, Watcher

if TYPE_CHECKING:
    from gateway.protocol.frames import Transport

__all__ = ["Refused", "Watching"]

# What Redis keeps of our wishes lasts a minute.
_RENEW_S: Final = 15.0
_LOOK_S: Final = 0.5

WATCHERS: Final = Gauge("fanfare_location_watchers", "Sockets and streams that watch.", registry=REGISTRY)
SENT: Final = Counter("fanfare_location_sent", "Positions written to watchers.", registry=REGISTRY)
OVERWRITTEN: Final = Counter(
    "fanfare_location_overwritten",
    "Positions that a watcher did not get, because a newer one came before it took them.",
    registry=REGISTRY,
)

UNKNOWN: Final = {"code": 10900, "message": "Unknown Entity"}
MISSING: Final = {"code": 50001, "message": "Missing Access"}
ENDED: Final = {"code": 10901, "message": "The entity has ended"}
Refused = dict[str, Any]


class Positions(Protocol):
    """The archive: `fanfare.store.entities.Entities`. Raises StoreUnavailableError."""

    async def newest_positions(self, ids: list[int]) -> dict[int, Fix]:
        """The newest archived position of each."""


class Roles(Protocol):
    """Which roles users have: `gateway.guilds.cache.GuildCache`."""

    def roles_in_memory(self, guild_id: int, user_id: int) -> tuple[int, ...]:
        """Those of a member; none where the guild is not in memory."""

    async def member(self, guild_id: int, user_id: int) -> Any:
        """Looks the member up, and keeps them in memory."""


class _Crowd:
    """The watchers of an entity's positions, as it is written to them."""

    __slots__ = ("apart", "direct")

    def __init__(self) -> None:
        self.direct: dict[Transport, tuple[array[int], dict[int, SocketWatcher]]] = {}
        self.apart: list[Watcher] = []


class _Wish(NamedTuple):
    entities: frozenset[int]
    cells: frozenset[int]


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
        self._roles = roles
        self._write = write
        self._spawn = spawn
        self._watchers: set[Watcher] = set()
        self._by_id: dict[int, set[Watcher]] = {}
        self._by_source: dict[int, set[Watcher]] = {}
        self._by_cell: dict[int, set[Watcher]] = {}
        self._crowds: dict[int, _Crowd] = {}
        self._newest: dict[int, Update] = {}
        self._stale = False
        self._log = logs.get("location")

    def kept(self) -> set[int]:
        """Entities that have to stay in memory."""
        return {*self._by_id, *self._by_source}

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
        await self._know_roles((await self._known.of(ids)).values(), watcher.user)
        # Once more: what nobody watches yet may have been forgotten meanwhile. From here to `_enter` nothing waits.
        entities = await self._known.of(ids)
        refused = {}
        for ident in ids:
            if (why := self._refusal(entities.get(ident), watcher)) is not None:
                refused[ident] = why
            else:
                watcher.wanted.add(ident)
        watcher.area, watcher.cells = area, cells_of(area) if area is not None else frozenset()
        new = self._enter(watcher)
        if left.entities or left.cells:
            self._spawn(self._unwatch(left))
        # First the wish, and then the newest: so nothing falls between.
        await self._locations.watch(self._node, WatchList(new.entities, new.cells))
        await self._read(watcher.sources, watcher)
        if area is not None:
            await self._look_around(watcher, area)
        return refused

    def told(self, watcher: Watcher) -> None:
        """The client knows what it watches: it may get positions."""
        watcher.ready = True
        self._crowds_of(watcher)
        self.drained(watcher)

    def drop(self, watcher: Watcher) -> None:
        """A watcher has gone."""
        gone = self._leave(watcher)
        if gone.entities or gone.cells:
            self._spawn(self._unwatch(gone))

    def blocked(self, watcher: Watcher) -> None:
        """Its link takes nothing for now."""
        self._crowds_of(watcher)

    def drained(self, watcher: Watcher) -> None:
        """Its link takes something again: the newest of what waits."""
        self._crowds_of(watcher)
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
            if not self._watchers:
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

    def _refusal(self, entity: Entity | None, watcher: Watcher) -> Refused | None:
        if entity is None:
            return UNKNOWN
        if watcher.may(entity, self._roles_of(entity, watcher.user)):
            return None
        return ENDED if entity.ended and self._knew(entity, watcher) else MISSING

    def _knew(self, entity: Entity, watcher: Watcher) -> bool:
        """Whether they might watch it before it ended."""
        roles = self._roles_of(entity, watcher.user)
        return watcher.exactly(entity, roles) or watcher.user in entity.coarse

    def _roles_of(self, entity: Entity, user: int) -> tuple[int, ...]:
        return self._roles.roles_in_memory(entity.guild_id, user) if entity.roles else ()

    async def _know_roles(self, entities: Iterable[Entity], user: int) -> None:
        for guild in {entity.guild_id for entity in entities if entity.roles}:
            with suppress(Exception):  # a guild that is gone has no members
                await self._roles.member(guild, user)

    def _enter(self, watcher: Watcher) -> _Wish:
        """Put a watcher into the indexes; what nobody here watched before."""
        self._watchers.add(watcher)
        WATCHERS.set(len(self._watchers))
        watcher.sources = self._sources(watcher.wanted)
        for ident in watcher.wanted:
            self._by_id.setdefault(ident, set()).add(watcher)
        new = {source for source in watcher.sources if source not in self._by_source}
        for source in watcher.sources:
            self._by_source.setdefault(source, set()).add(watcher)
            self._crowds.pop(source, None)
        cells = frozenset(cell for cell in watcher.cells if cell not in self._by_cell)
        for cell in watcher.cells:
            self._by_cell.setdefault(cell, set()).add(watcher)
        return _Wish(frozenset(new), cells)

    def _leave(self, watcher: Watcher) -> _Wish:
        """Take a watcher out of the indexes; what nobody here watches any more."""
        gone = {source for source in watcher.sources if _take_out(self._by_source, source, watcher)}
        for ident in watcher.wanted:
            _take_out(self._by_id, ident, watcher)
        cells = {cell for cell in watcher.cells if _take_out(self._by_cell, cell, watcher)}
        for source in watcher.sources:
            self._crowds.pop(source, None)
        for source in gone:
            self._newest.pop(source, None)
        watcher.wanted, watcher.sources, watcher.cells = set(), {}, frozenset()
        watcher.area = None
        watcher.pending.clear()
        self._watchers.discard(watcher)
        WATCHERS.set(len(self._watchers))
        return _Wish(frozenset(gone), frozenset(cells))

    def _sources(self, wanted: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for ident in wanted:
            found.setdefault(ident, []).append(ident)
            if follows := self._known.follows(ident):
                found.setdefault(follows, []).append(ident)
        return found

    async def _unwatch(self, gone: _Wish) -> None:
        with suppress(RedisError):  # otherwise the wish ends by itself
            again = frozenset(one for one in gone.entities if one not in self._by_source)
            cells = frozenset(one for one in gone.cells if one not in self._by_cell)
            await self._locations.unwatch(self._node, WatchList(again, cells))

    async def _read(self, sources: Iterable[int], watcher: Watcher | None = None) -> None:
        """The newest positions, from Redis, or else from the archive; a new watcher gets those known before, too."""
        asked = list(sources)
        found = await self._locations.newest(asked)
        lacking = [source for source in asked if source not in found]
        if lacking:
            with suppress(StoreUnavailableError):
                found |= await self._store.newest_positions(lacking)
        held = {source for source in asked if source in self._newest}
        for fix in found.values():
            if self._take(fix):
                held.discard(fix.entity_id)
        if watcher is not None:
            watcher.pending |= held & watcher.sources.keys()
            self.drained(watcher)

    async def _look_around(self, watcher: Watcher, area: Area) -> None:
        """What is in an area already."""
        near = await self._locations.in_area(*area)
        await self._known.of(near)
        for fix in (await self._locations.newest(near)).values():
            self._keep(fix)
            if self._in_area(watcher, fix):
                watcher.pending.add(fix.entity_id)
        self.drained(watcher)

    async def _positions(self, fixes: list[Fix]) -> None:
        if self._by_cell:
            strangers = [
                fix.entity_id
                for fix in fixes
                if self._known.get(fix.entity_id) is None
                and any(cell in self._by_cell for cell in cells_at(fix.lat, fix.lon))
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
        if self._by_cell:
            for cell in cells_at(fix.lat, fix.lon):
                around |= self._by_cell.get(cell, set())
            around = {one for one in around if self._in_area(one, fix)}
        if fix.entity_id in self._by_source:
            crowd = self._crowds.get(fix.entity_id) or self._crowd(fix.entity_id)
            for transport, (fds, by_fd) in crowd.direct.items():
                frame = update.frame(transport, exact=True)
                SENT.inc(len(fds))
                for fd, written in self._write(fds, frame):
                    by_fd[fd].link.rest(frame, written)
            for watcher in crowd.apart:
                self._give(watcher, update)
            around -= self._by_source[fix.entity_id]
        elif not around:
            # Only areas that it has left were watched.
            del self._newest[fix.entity_id]
        for watcher in around:
            self._give(watcher, update)
        return True

    def _in_area(self, watcher: Watcher, fix: Fix) -> bool:
        return watcher.area is not None and watcher.area.holds(fix.lat, fix.lon)

    def _give(self, watcher: Watcher, update: Update) -> None:
        exact = self._sees(watcher, update.fix)
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

    def _sees(self, watcher: Watcher, fix: Fix) -> bool | None:
        """Whether a watcher may see exactly where an entity is; None: it may not see it at all."""
        ids = watcher.sources.get(fix.entity_id, [])
        if fix.entity_id not in ids and self._in_area(watcher, fix):
            ids = [*ids, fix.entity_id]
        found: bool | None = None
        for ident in ids:
            entity = self._known.get(ident)
            if entity is None:
                continue
            roles = self._roles_of(entity, watcher.user)
            if watcher.may(entity, roles):
                found = bool(found) or watcher.exactly(entity, roles)
        return found

    def _crowd(self, source: int) -> _Crowd:
        """The watchers of a source, sorted by how they are written to."""
        crowd = self._crowds[source] = _Crowd()
        sorted_out: dict[Transport, dict[int, SocketWatcher]] = {}
        for watcher in self._by_source.get(source, ()):
            direct = watcher.direct
            if direct is not None and isinstance(watcher, SocketWatcher) and self._is_named(watcher, source):
                sorted_out.setdefault(direct[1], {})[direct[0]] = watcher
            else:
                crowd.apart.append(watcher)
        for transport, by_fd in sorted_out.items():
            crowd.direct[transport] = (array("i", by_fd), by_fd)
        return crowd

    def _is_named(self, watcher: Watcher, source: int) -> bool:
        """Whether nothing but a change of an entity can take away that they see exactly where it is."""
        return any(
            (entity := self._known.get(ident)) is not None
            and not entity.ended
            and entity.sees_exactly(watcher.user)
            for ident in watcher.sources.get(source, ())
        )

    def _crowds_of(self, watcher: Watcher) -> None:
        """How the watcher is written to has changed."""
        for source in watcher.sources:
            self._crowds.pop(source, None)

    def _changed(self, before: Entity, after: Entity) -> None:
        """An entity has changed: tell its watchers, and see who they are now."""
        self._crowds.pop(after.id, None)
        for watcher in list(self._by_id.get(after.id, ())):
            why = self._refusal(after, watcher)
            if after.version > before.version and (why is None or after.ended):
                watcher.tell(after)
            if why is None:
                self._follow(watcher)
                continue
            self._reindex(watcher, watcher.wanted - {after.id})
            if not after.ended:
                watcher.refuse({after.id: why})

    def _follow(self, watcher: Watcher) -> None:
        """Whom its entities follow may have changed."""
        before = watcher.sources
        if self._sources(watcher.wanted) == before:
            self._crowds_of(watcher)
            return
        self._reindex(watcher, watcher.wanted)
        self._spawn(self._begin(watcher, watcher.sources.keys() - before.keys()))

    def _reindex(self, watcher: Watcher, wanted: set[int]) -> None:
        """It watches these entities from here on, and the same area as before."""
        area, cells, pending, ready = watcher.area, watcher.cells, set(watcher.pending), watcher.ready
        newest = {one: self._newest[one] for one in watcher.sources if one in self._newest}
        wanted = set(wanted)
        gone = self._leave(watcher)
        watcher.wanted, watcher.area, watcher.cells, watcher.ready = wanted, area, cells, ready
        self._enter(watcher)
        for source in watcher.sources:
            if source in newest:
                self._newest.setdefault(source, newest[source])
        watcher.pending = {one for one in pending if one in watcher.sources or area is not None}
        self._spawn(self._unwatch(gone))

    async def _begin(self, watcher: Watcher, sources: Set[int]) -> None:
        try:
            await self._locations.watch(self._node, WatchList(frozenset(sources), frozenset()))
            await self._read(sources, watcher)
        except RedisError as error:
            # The next renewal does it.
            self._log.debug("a wish waits", action=Action.REDIS_AWAY, why=repr(error))

    async def _missed(self) -> None:
        """Wishes and changes may be lost: repeat the ones, and look for the others."""
        self._stale = True
        for before, after in await self._known.refresh():
            self._changed(before, after)
        sources = frozenset(self._by_source)
        await self._locations.watch(self._node, WatchList(sources, frozenset(self._by_cell)))
        for watcher in list(self._watchers):
            entities = [entity for ident in watcher.wanted if (entity := self._known.get(ident)) is not None]
            await self._know_roles(entities, watcher.user)
            if self._sources(watcher.wanted) != watcher.sources:
                self._follow(watcher)
            if watcher.area is not None:
                await self._look_around(watcher, watcher.area)
        await self._read(sources)
        if not self._by_cell:
            for ident in self._newest.keys() - self._by_source.keys():
                del self._newest[ident]
        self._stale = False


def _take_out(index: dict[int, set[Watcher]], key: int, watcher: Watcher) -> bool:
    """Take a watcher out of an index; whether it was the last one there."""
    found = index.get(key)
    if found is None:
        return False
    found.discard(watcher)
    if found:
        return False
    del index[key]
    return True
