"""Live location in Redis: the newest position of each entity, which nodes watch it, and how they are told.

Positions are published (PUBLISH), not kept for anybody: a newer one makes up for each that is lost. A node whose
connection was lost reads the newest ones again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.exceptions import RedisError

from fanfare.location.cells import RESOLUTIONS, cells_at
from fanfare.location.positions import Fix, packed
from fanfare.presence import keys
from fanfare.presence.client import Redis
from fanfare.presence.scripts import Script

__all__ = ["LEASE_S", "Locations", "News", "Told", "WatchList", "follow"]

LEASE_S: Final = 60
"""A node that does not say so again is taken for one that watches no more."""

# What Redis takes as a place; beyond it the poles.
_GEO_EDGE: Final = 85.05
_KM_PER_DEG: Final = 111.32
_MOST_IN_AREA: Final = 10_000
_BATCH: Final = 1000
_RETRY_S: Final = 0.5

_LOCATE: Final = Script("locate")
_fixes = msgspec.json.Decoder(list[Fix])
_fix = msgspec.json.Decoder(Fix)


class News(NamedTuple):
    """A change of an entity, as a node is told of it."""

    stream: int
    """The entity in whose stream of positions it stands."""
    payload: bytes


Told = list[Fix] | News | None
"""Positions, a change, or None: the connection is new, and something may have been missed."""


class WatchList(NamedTuple):
    """What a node wants to be told of."""

    entities: frozenset[int]
    cells: frozenset[int]


class Locations:
    """The commands."""

    def __init__(self, redis: Redis) -> None:
        """Args: redis: the primary."""
        self._redis = redis

    async def publish(self, fixes: Sequence[Fix]) -> tuple[int, int]:
        """Keep positions and tell the nodes that watch; how many were the newest, and how many nodes were told.

        Raises:
            RedisError: Redis is away.

        """
        fresh = nodes = 0
        for start in range(0, len(fixes), _BATCH):
            args: list[Any] = [keys.all_begin_with(), len(RESOLUTIONS)]
            for fix in fixes[start : start + _BATCH]:
                lat = min(max(fix.lat, -_GEO_EDGE), _GEO_EDGE)
                args += (fix.entity_id, f"{fix.at:020d}{fix.seq:020d}", packed(fix), fix.lon, lat)
                args += cells_at(fix.lat, fix.lon)
            some, told = await _LOCATE.run(self._redis, [], args)
            fresh, nodes = fresh + some, nodes + told
        return fresh, nodes

    async def tell(self, news: News) -> None:
        """Tell all nodes of a change of an entity. Raises RedisError."""
        await self._redis.publish(keys.location_news(), b"%d %b" % news)

    async def forget(self, entity: int) -> None:
        """An entity has ended: keep nothing of it. Raises RedisError."""
        pipe: Any = self._redis.pipeline(transaction=False)
        # Not DEL: a notifier has no right to it, so that one that was broken into deletes no inbox.
        pipe.set(keys.location_last(entity), "", px=1)
        pipe.zrem(keys.location_geo(), entity)
        await pipe.execute()

    async def newest(self, entities: Iterable[int]) -> dict[int, Fix]:
        """The newest positions that are known. Raises RedisError."""
        asked = [keys.location_last(entity) for entity in entities]
        found = await self._redis.mget(asked) if asked else []
        fixes = [_fix.decode(one[40:]) for one in found if one]
        return {fix.entity_id: fix for fix in fixes}

    async def in_area(self, west: float, south: float, east: float, north: float) -> list[int]:
        """Entities that may be in a box, some more among them; 10,000 at the most. Raises RedisError."""
        width = (east - west) % 360 or (360.0 if east != west else 0.0)
        lat = min(max((south + north) / 2, -_GEO_EDGE), _GEO_EDGE)
        lon = (west + width / 2 + 180) % 360 - 180
        # A degree of longitude is longest at the equator; the box is measured there to leave nothing out.
        found: Any = await self._redis.geosearch(
            keys.location_geo(),
            longitude=lon,
            latitude=lat,
            width=max(width, 0.01) * _KM_PER_DEG + 1,
            height=max(north - south, 0.01) * _KM_PER_DEG * 1.2 + 1,
            unit="km",
            count=_MOST_IN_AREA,
        )
        return [int(one) for one in found]

    async def is_known(self, node: str) -> bool:
        """Whether Redis has what a node said; it has not after it was emptied. Raises RedisError."""
        return bool(await self._redis.exists(keys.location_node(node)))

    async def watch(self, node: str, wanted: WatchList) -> None:
        """Say, or say again, what a node wants to be told of. Raises RedisError."""
        names = [keys.location_watch(entity) for entity in wanted.entities]
        names += [keys.location_cell(cell) for cell in wanted.cells]
        for start in range(0, len(names), _BATCH):
            pipe: Any = self._redis.pipeline(transaction=False)
            for name in names[start : start + _BATCH]:
                pipe.hset(name, node, 1)
                pipe.expire(name, LEASE_S)
            await pipe.execute()
        if wanted.cells:
            await self._redis.set(keys.location_areas(), 1, ex=LEASE_S)
        await self._redis.set(keys.location_node(node), 1, ex=LEASE_S)

    async def unwatch(self, node: str, gone: WatchList) -> None:
        """Say what a node does not want to be told of any more. Raises RedisError."""
        names = [keys.location_watch(entity) for entity in gone.entities]
        names += [keys.location_cell(cell) for cell in gone.cells]
        for start in range(0, len(names), _BATCH):
            pipe: Any = self._redis.pipeline(transaction=False)
            for name in names[start : start + _BATCH]:
                pipe.hdel(name, node)
            await pipe.execute()


async def follow(redis: Redis, node: str) -> AsyncIterator[Told]:
    """What a node is told, for ever; None first, and after each time that the connection was lost.

    Args:
        redis: with connections of its own.
        node: the node's name.

    """
    while True:
        try:
            async with redis.pubsub() as channel:
                to = keys.location_to(node).encode()
                await channel.subscribe(to, keys.location_news())
                while True:
                    message = await channel.get_message(timeout=5.0)
                    if message is None:
                        await channel.ping()
                    elif message["type"] == "subscribe":
                        # Also after the library has connected anew by itself.
                        if message["channel"] == to:
                            yield None
                    elif message["type"] == "message":
                        data: bytes = message["data"]
                        if message["channel"] == to:
                            yield _fixes.decode(data[1:])
                        else:
                            stream, _, payload = data.partition(b" ")
                            yield News(int(stream), payload)
        except (RedisError, OSError):
            await asyncio.sleep(_RETRY_S)
