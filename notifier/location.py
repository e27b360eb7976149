"""The notifier's work for live location: positions and changes of entities, to the nodes with watchers.

Unlike messages they go into no inbox: of an entity only the newest position counts, and the next one makes up for one
that is lost. What is written twice is told once, because a position is told only if it is newer than what is known.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from prometheus_client import Counter

from fanfare.bus.consumer import Incoming, PoisonError, TopicPartition
from fanfare.location.entity import ENTITY, entity_in
from fanfare.location.positions import POSITIONS, Fix, newest_of, positions_in
from fanfare.presence.client import Redis
from fanfare.presence.locations import Locations, News
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY

__all__ = ["LocationNotifier"]

POSITIONS_READ: Final = Counter(
    "fanfare_location_positions",
    "Positions that the notifier took, by what became of them: told, or skipped for a newer one.",
    ["outcome"],
    registry=REGISTRY,
)
TOLD: Final = Counter("fanfare_location_told_nodes", "Messages to nodes with watchers.", registry=REGISTRY)


class LocationNotifier:
    """Handles batches of `location.deliveries`."""

    def __init__(self, redis: Redis) -> None:
        """Args: redis: the primary."""
        self._locations = Locations(redis)
        self._log = logs.get("notifier")

    async def handle(self, partition: TopicPartition, batch: Sequence[Incoming]) -> None:
        """Tell the nodes; returns when Redis has done so.

        Raises:
            PoisonError: a record cannot be read.
            RedisError: Redis is away.

        """
        fixes: list[Fix] = []
        for incoming in batch:
            record = incoming.record
            try:
                if record.type == POSITIONS:
                    found = positions_in(record.payload)
                    if found.problems and not found.fixes:
                        raise PoisonError(record, found.problems[0])
                    fixes += found.fixes
                elif record.type == ENTITY:
                    entity = entity_in(record.payload)
                    # A change takes effect between the positions before it and those after it.
                    await self._tell(fixes)
                    fixes = []
                    await self._locations.tell(News(record.channel, record.payload))
                    if entity.ended and record.channel == entity.id:
                        await self._locations.forget(entity.id)
                elif not record.fence:
                    raise PoisonError(record, f"{record.type} is nothing for {partition.topic}")
            except msgspec.DecodeError as error:
                raise PoisonError(record, f"{record.type} cannot be read: {error}") from error
        await self._tell(fixes)
        self._log.debug("positions told", action=Action.APPEND, partition=str(partition), records=len(batch))

    async def _tell(self, fixes: list[Fix]) -> None:
        if not fixes:
            return
        newest = newest_of(fixes)
        fresh, nodes = await self._locations.publish(list(newest.values()))
        POSITIONS_READ.labels("told").inc(fresh)
        POSITIONS_READ.labels("skipped").inc(len(fixes) - fresh)
        TOLD.inc(nodes)
