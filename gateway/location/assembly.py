"""Live location on one node, put together: entities, what comes in, and who watches."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple

from fanfare.clock import now_s
from fanfare.location.cells import Area
from fanfare.location.entity import Entity, entity_in
from fanfare.location.positions import Fix
from fanfare.model import User
from fanfare.presence.client import Redis, connect_apart
from fanfare.presence.locations import Locations, News, follow
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.guilds.cache import GuildCache
from gateway.ingress.access import refusing
from gateway.ingress.errors import ApiError
from gateway.ingress.forms import Form
from gateway.ingress.limits import RateLimits
from gateway.location.entities import unknown_entity
from gateway.location.fixes import body_with_numbers, read_fix
from gateway.location.known import Known
from gateway.location.links import Links
from gateway.location.publish import Log, Publisher
from gateway.location.router import Router
from gateway.location.sight import Refused
from gateway.location.watch_list import SocketWatcher, Watcher, answer
from gateway.location.watching import Watching

__all__ = ["Location"]

_ASK_S: Final = 4.0
_ARRIVE_S: Final = 1.0
_RECENT_MS: Final = 300_000
_MOST_WATCHED: Final = 1000
# In 5 s: a map that is dragged about asks a few times a second.
_WISHES: Final = 30


class _Awaited(NamedTuple):
    """A request that waits for a change to be told."""

    version: int
    done: "asyncio.Future[None]"


class Location:
    """Live location on this node."""

    def __init__(
        self,
        settings: Settings,
        *,
        node: str,
        redis: Redis,
        store: Store,
        log: Log,
        guilds: GuildCache,
        write: Callable[..., list[tuple[int, int]]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Prepare; `run` and `watching.renew` are tasks.

        Args:
            settings: where everything is.
            node: this node's name.
            redis: the primary.
            store: the database.
            log: Kafka.
            guilds: what this node knows of guilds.
            write: writes to many sockets.
            spawn: runs short pieces of work.

        """
        self._told = connect_apart(settings, client_name=f"fanfare-{node}-told")
        self._node = node
        self._store = store
        self.locations = Locations(redis)
        self.known = Known(store)
        self.publisher = Publisher(log)
        self.router = Router(settings.router)
        self.links = Links(settings.secret.get_secret_value())
        self.watching = Watching(
            node=node,
            known=self.known,
            locations=self.locations,
            store=store,
            roles=guilds,
            write=write,
            spawn=spawn,
        )
        self.known.kept = self.watching.kept
        self._limits = RateLimits(settings.location_limit, what="positions")
        self._wishes = RateLimits(_WISHES, what="watches")
        self._awaited: dict[int, list[_Awaited]] = {}
        self._logger = logs.get("location")

    async def run(self) -> None:
        """Take what this node is told; a supervised task."""
        async for told in follow(self._told, self._node):
            await self.watching.take(told)
            if isinstance(told, News) and self._awaited:
                entity = entity_in(told.payload)
                for waiting in self._awaited.get(entity.id, ()):
                    if not waiting.done.done() and entity.version >= waiting.version:
                        waiting.done.set_result(None)

    async def arrived(self, entity: Entity) -> None:
        """Wait until nodes are told of a change, a second at the most: so the next request sees it on all of them."""
        waiting = _Awaited(entity.version, asyncio.get_running_loop().create_future())
        self._awaited.setdefault(entity.id, []).append(waiting)
        try:
            await asyncio.wait((waiting.done,), timeout=_ARRIVE_S)
        finally:
            self._awaited[entity.id].remove(waiting)
            if not self._awaited[entity.id]:
                del self._awaited[entity.id]

    async def entity(self, ident: int) -> Entity:
        """An entity. Raises: ApiError: there is none; StoreUnavailableError."""
        found = (await self.known.of([ident])).get(ident)
        if found is None:
            raise unknown_entity()
        return found

    async def newest(self, ident: int) -> Fix | None:
        """The newest position of an entity, or of the one that it follows. Raises as the stores."""
        source = self.known.follows(ident) or ident
        found = (await self.locations.newest([source])).get(source)
        return found or (await self._store.newest_positions([source])).get(source)

    async def left(self, entity: Entity) -> dict[str, Any] | None:
        """What is left of the way to an entity's destination; None where nothing is known. Raises as the stores."""
        source = self.known.follows(entity.id) or entity.id
        if entity.destination is None or entity.ended:
            return None
        now_ms = int(now_s() * 1000)
        fixes = await self._store.track(source, now_ms - _RECENT_MS, now_ms)
        newest = (await self.locations.newest([source])).get(source)
        if newest is not None and (not fixes or newest.newness > fixes[-1].newness):
            # The archive is some moments behind.
            fixes.append(newest)
        if not fixes:
            return None
        left, router = await self.router.left(fixes, *entity.destination)
        return {"distance_m": round(left.distance_m), "eta_s": round(left.seconds), "router": router}

    # Positions

    async def check(self, fixes: list[Fix]) -> dict[int, ApiError]:
        """Which of the positions may not be published, by their place in the list, and why.

        Raises:
            StoreUnavailableError: it cannot be told now.

        """
        entities = await self.known.of({fix.entity_id for fix in fixes})
        found: dict[int, ApiError] = {}
        for place, fix in enumerate(fixes):
            entity = entities.get(fix.entity_id)
            if entity is None:
                found[place] = _at_entity(404, 10900, "Unknown Entity")
            elif entity.ended and fix.author_id in entity.publishers:
                found[place] = _at_entity(400, 10901, "The entity has ended")
            elif not entity.may_publish(fix.author_id):
                found[place] = _at_entity(403, 50013, "Missing Permissions")
        return found

    async def publish(self, fixes: list[Fix]) -> dict[str, int]:
        """Publish positions that were checked; those that stand there twice go once. Raises as `Publisher.publish`."""
        once = list({(fix.entity_id, *fix.newness): fix for fix in fixes}.values())
        if once:
            await self.publisher.publish(once)
        return {"accepted": len(once), "dropped": len(fixes) - len(once)}

    async def publish_one(self, user: User, fields: Any, entity_id: int = 0) -> dict[str, int]:
        """Publish the position that a user's device says. Raises: ApiError."""
        async with refusing(_ASK_S):
            form = Form(fields)
            fix = read_fix(form, now_s(), author=user.id, entity_id=entity_id)
            form.check()
            assert fix is not None
            for refusal in (await self.check([fix])).values():
                raise refusal
            self._limits.take(user.id, fix.entity_id, time.monotonic())
        return await self.publish([fix])

    async def locate(self, user: User, body: bytes) -> dict[str, Any]:
        """Publish the position in op 130: the `d` of the answer."""
        nonce = None
        try:
            fields = body_with_numbers(body)
            nonce = fields.get("nonce") if isinstance(fields, Mapping) else None
            said: dict[str, Any] = {**await self.publish_one(user, fields)}
        except ApiError as error:
            return {"nonce": nonce, "error": error.socket()}
        except Exception:
            self._logger.exception("a position failed", action=Action.REQUEST_FAILED)
            return {"nonce": nonce, "error": ApiError(500, 0, "500: Internal Server Error").socket()}
        return {"nonce": nonce, **said}

    # Watching

    async def watch(self, watcher: SocketWatcher, body: bytes) -> dict[str, Any]:
        """Watch what op 131 says: the `d` of the answer."""
        nonce = None
        try:
            form = Form(body_with_numbers(body))
            nonce = form.raw("nonce")
            ids = form.snowflakes("entities", most=_MOST_WATCHED) or []
            area = form.child("area", _area)
            form.check()
            self._wishes.take(watcher.user, 0, time.monotonic())
            refused = await self.watch_these(watcher, ids, area)
        except ApiError as error:
            return {"nonce": nonce, "entities": [], "refused": {}, "error": error.socket()}
        except Exception:
            self._logger.exception("a watch failed", action=Action.REQUEST_FAILED)
            failed = ApiError(500, 0, "500: Internal Server Error")
            return {"nonce": nonce, "entities": [], "refused": {}, "error": failed.socket()}
        states = {
            str(ident): {
                "state": entity.state or None,
                "follows": str(entity.follows) if entity.follows else None,
            }
            for ident in sorted(watcher.wanted)
            if (entity := self.known.get(ident)) is not None
        }
        said = {} if nonce is None else {"nonce": nonce}
        return said | answer(watcher, refused) | {"states": states}

    async def watch_these(self, watcher: Watcher, ids: list[int], area: Area | None) -> dict[int, Refused]:
        """Watch entities and an area. Raises: RefusedError: it cannot be told now."""
        async with refusing(_ASK_S):
            return await self.watching.watch(watcher, ids, area)

    async def close(self) -> None:
        """Hand over what waits, and hear nothing more."""
        await self.publisher.close()
        await self.router.close()
        await self._told.aclose()


def _at_entity(status: int, code: int, message: str) -> ApiError:
    said = {"code": "ENTITY", "message": message}
    return ApiError(status, code, message, errors={"entity_id": {"_errors": [said]}})


def _area(form: Form) -> Area | None:
    box = form.raw("bbox")
    said = "Must be [west, south, east, north] in degrees, south below north."
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in box)
    ):
        form.fail("bbox", "LIST_TYPE_CONVERT", said)
        return None
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        form.fail("bbox", "NUMBER_TYPE_RANGE", said)
        return None
    return Area(float(west), float(south), float(east), float(north))
