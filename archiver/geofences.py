"""What positions mean for geofences, and for orders on their way: passages, and states that follow from a position.

A passage is a change of its entity, made in a transaction that judges the position once more. So it is told as all
changes are: once, in order, on every node. A batch that comes again, or to two workers, makes none a second time.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from prometheus_client import Counter

from archiver.rows import AHEAD_MS
from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.topics import LOCATION_EVENTS
from fanfare.checks.rights import GEOFENCES_GROUP
from fanfare.location.entity import ENTITY, Entity, entity_in
from fanfare.location.geofences import Geofences, judged
from fanfare.location.positions import POSITIONS, Fix, Newness, positions_in
from fanfare.store import Store
from fanfare.store.errors import NotFoundError, StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY

__all__ = ["GeofenceSink"]

PASSAGES: Final = Counter(
    "fanfare_location_passages",
    "Entities that came to a geofence, stayed, or went.",
    ["kind"],
    registry=REGISTRY,
)
_LOOK_S: Final = 1.0
# After so long entities are read again: a backup of the database may have been put back.
_FRESH_S: Final = 60.0
_REMEMBERED: Final = 200_000


@dataclass(slots=True)
class _Part:
    """What is known of one partition."""

    read_at: float
    expected: int
    """The offset that comes next. If it is another one, somebody else has worked here meanwhile."""
    concerned: dict[int, dict[int, Entity]] = field(default_factory=dict)
    """By who publishes: whose positions these are, by id. That is who publishes, and all that follow it."""


class GeofenceSink:
    """Judges the positions of the log."""

    group = GEOFENCES_GROUP
    topics = (LOCATION_EVENTS,)

    def __init__(self, store: Store, near_m: float) -> None:
        """Args: store: the database; near_m: an order so close to its destination is near, see `judged`."""
        self._store = store
        self._near_m = near_m
        self._geofences = Geofences()
        self._stand: tuple[int, int] | None = None
        self._parts: dict[TopicPartition, _Part] = {}
        self._newest: dict[int, Newness] = {}
        self._log = logs.get("archiver")

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        """Judge a batch of one partition.

        Records that cannot be read are left out: the archive sets them aside.

        Raises:
            StoreUnavailableError: PostgreSQL is away.

        """
        if self._stand is None:
            await self._look()
        part = self._part(partition, batch[0].offset)
        said = [_said(incoming) for incoming in batch]
        await self._learn(part, {fix.entity_id for fixes, _ in said for fix in fixes})
        for incoming, (fixes, entity) in zip(batch, said, strict=True):
            for fix in fixes:
                await self._judge(part, fix)
            if entity is not None:
                _apply(part, incoming.record.channel, entity)
        part.expected = batch[-1].offset + 1

    def safe(self, partition: TopicPartition) -> int | None:  # noqa: ARG002 - as other sinks
        """All that was handed over."""
        return None

    async def run(self) -> None:
        """Learn of geofences that are made and deleted."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self._look()
            except StoreUnavailableError as error:
                self._log.debug("geofences not looked at", action=Action.DATABASE_AWAY, why=str(error))

    async def flush(self) -> None:
        """Nothing waits."""

    async def _look(self) -> None:
        stand = await self._store.geofences_stand()
        if stand != self._stand:
            self._geofences, self._stand = Geofences(await self._store.geofences()), stand

    def _part(self, partition: TopicPartition, offset: int) -> _Part:
        now = time.monotonic()
        part = self._parts.get(partition)
        if part is None or part.expected != offset or now - part.read_at > _FRESH_S:
            part = self._parts[partition] = _Part(now, offset)
        return part

    async def _learn(self, part: _Part, sources: Iterable[int]) -> None:
        """Read what these positions concern, where it is not known."""
        unknown = {source for source in sources if source not in part.concerned}
        if not unknown:
            return
        found = await self._store.entities_around(list(unknown))
        part.concerned |= {source: {} for source in unknown}
        for entity in found:
            source = entity.follows or entity.id
            if source in unknown:
                part.concerned[source][entity.id] = entity

    async def _judge(self, part: _Part, fix: Fix) -> None:
        source = fix.entity_id
        if fix.newness <= self._newest.get(source, (0, 0)):
            return
        for entity in list(part.concerned[source].values()):
            if judged(entity, fix, self._geofences, self._near_m) is not entity:
                await self._pass(part, entity, fix)
        # Not before: if the database was away, the batch comes again.
        self._newest[source] = fix.newness
        if len(self._newest) > _REMEMBERED:
            del self._newest[next(iter(self._newest))]

    async def _pass(self, part: _Part, known: Entity, fix: Fix) -> None:
        """Something has happened, by what is known here: judge the entity as it is in the database."""

        def alter(entity: Entity) -> Entity:
            if not _has(entity, fix.entity_id):
                return entity
            return judged(entity, fix, self._geofences, self._near_m)

        try:
            after, before = await self._store.change_entity(known.id, alter)
        except NotFoundError:
            del part.concerned[fix.entity_id][known.id]
            return
        _apply(part, fix.entity_id, after)
        if before is None:
            return
        for passage in after.passages_since(before):
            PASSAGES.labels(passage.kind).inc()
        self._log.debug("passed", action=Action.APPEND, entity=after.id, version=after.version)


def _said(incoming: Incoming) -> tuple[list[Fix], Entity | None]:
    """The positions or the entity in a record; nothing of what cannot be read."""
    record = incoming.record
    try:
        if record.type == ENTITY:
            return [], entity_in(record.payload)
        if record.type == POSITIONS:
            latest = incoming.appended_ms + AHEAD_MS
            return [fix for fix in positions_in(record.payload).fixes if fix.at <= latest], None
    except msgspec.DecodeError:
        pass
    return [], None


def _has(entity: Entity, source: int) -> bool:
    """Whether the positions of a source are an entity's."""
    return not entity.ended and source == (entity.follows or entity.id)


def _apply(part: _Part, source: int, entity: Entity) -> None:
    """Take an entity as it is after a change that stands in the stream of a source."""
    concerned = part.concerned.get(source)
    if concerned is None:
        return
    known = concerned.get(entity.id)
    if known is not None and known.version > entity.version:
        return
    if _has(entity, source):
        concerned[entity.id] = entity
    else:
        concerned.pop(entity.id, None)
