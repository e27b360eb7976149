"""The entities that this node has been asked for, kept current by the changes that all nodes are told of."""

from collections.abc import Callable, Collection, Iterable
from typing import Final, Protocol

from fanfare.location.entity import Entity

__all__ = ["Known", "Stored"]

_KEPT: Final = 100_000


class Stored(Protocol):
    """The database: `fanfare.store.entities.Entities`. Raises StoreUnavailableError."""

    async def entities(self, ids: list[int]) -> dict[int, Entity]:
        """Those of the entities that exist."""

    async def entity_versions(self, ids: list[int]) -> dict[int, int]:
        """The versions of those that exist."""


class Known:
    """Entities in memory."""

    def __init__(self, store: Stored) -> None:
        """Args: store: the database."""
        self._store = store
        self.kept: Callable[[], Collection[int]] = tuple
        """Those that stay in memory however many others there are."""
        self._entities: dict[int, Entity] = {}
        self._follows: dict[int, int] = {}
        self._loading: dict[int, int] = {}
        self._ahead: dict[int, int] = {}

    def get(self, ident: int) -> Entity | None:
        """An entity that is in memory."""
        return self._entities.get(ident)

    def follows(self, ident: int) -> int:
        """Whose positions are those of an entity, too, at this point of the stream; 0: nobody's."""
        return self._follows.get(ident, 0)

    async def of(self, ids: Iterable[int]) -> dict[int, Entity]:
        """Those of the entities that exist; read where they are not in memory.

        Raises:
            StoreUnavailableError: they are not in memory, and the database is away.

        """
        wanted = set(ids)
        missing = [ident for ident in wanted if ident not in self._entities]
        if missing:
            await self._load(missing)
        return {ident: self._entities[ident] for ident in wanted if ident in self._entities}

    def apply(self, stream: int, entity: Entity) -> tuple[Entity, Entity] | None:
        """Take a change that stands in the stream of positions of one of the entities concerned.

        The first of its copies counts, but that following begins: that is in the stream of the one that is followed.

        Args:
            stream: of which entity.
            entity: after the change.

        Returns:
            The entity before and after, where this node knew it before the change.

        """
        if entity.id in self._loading:
            self._ahead[entity.id] = max(self._ahead.get(entity.id, 0), entity.version)
        before = self._entities.get(entity.id)
        if before is None or entity.version < before.version:
            return None
        if entity.version > before.version:
            self._entities[entity.id] = entity
            if self._follows.get(entity.id, 0) != entity.follows:
                self._follows.pop(entity.id, None)
        began = bool(entity.follows) and stream == entity.follows and not self._follows.get(entity.id)
        if began:
            self._follows[entity.id] = entity.follows
        return (before, entity) if began or entity.version > before.version else None

    async def refresh(self) -> list[tuple[Entity, Entity]]:
        """After changes may have been missed: keep what is needed, and read again what has changed.

        Returns:
            Each that has changed, before and after.

        Raises:
            StoreUnavailableError: the database is away; then nothing is changed.

        """
        kept = [ident for ident in self.kept() if ident in self._entities]
        # Before the first wait: what is read from here on is current.
        for ident in self._entities.keys() - kept:
            self._forget(ident)
        versions = await self._store.entity_versions(kept)
        old = {ident: self._entities[ident] for ident in kept if ident in self._entities}
        # An older one, too: a backup of the database may have been put back.
        stale = [ident for ident, entity in old.items() if versions.get(ident, 0) != entity.version]
        found = await self._store.entities(stale) if stale else {}
        changed = []
        for ident, entity in found.items():
            before = self._entities.get(ident)
            if before is not None and entity.version != before.version:
                changed.append((before, entity))
                self._put(entity)
        for ident in kept:
            # The copy in the stream of the one that is followed may be among what was missed.
            if ident in self._entities:
                self._put(self._entities[ident])
        return changed

    async def _load(self, missing: list[int]) -> None:
        asked = list(missing)
        for ident in asked:
            self._loading[ident] = self._loading.get(ident, 0) + 1
        try:
            while missing:
                found = await self._store.entities(missing)
                # A change that came meanwhile may be newer than what was read; the database had it before the stream.
                missing = [ident for ident, one in found.items() if one.version < self._ahead.get(ident, 0)]
                for entity in found.values():
                    known = self._entities.get(entity.id)
                    if known is None or known.version < entity.version:
                        self._put(entity)
        finally:
            for ident in asked:
                self._done(ident)
        if len(self._entities) > _KEPT:
            self._make_room()

    def _done(self, ident: int) -> None:
        self._loading[ident] -= 1
        if not self._loading[ident]:
            del self._loading[ident]
            self._ahead.pop(ident, None)

    def _make_room(self) -> None:
        kept = set(self.kept())
        for ident in list(self._entities):
            if len(self._entities) <= _KEPT // 2:
                return
            if ident not in kept:
                self._forget(ident)

    def _put(self, entity: Entity) -> None:
        self._entities[entity.id] = entity
        self._follows.pop(entity.id, None)
        if entity.follows:
            self._follows[entity.id] = entity.follows

    def _forget(self, ident: int) -> None:
        self._entities.pop(ident, None)
        self._follows.pop(ident, None)
