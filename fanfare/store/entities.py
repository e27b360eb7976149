"""Entities of live location. Each change stands in the outbox, too, once for every stream of positions it concerns.

The stream of an entity is the partition that its positions are in. A change concerns the entity's own, that of the
entity it followed before, and that of the one it follows afterwards (docs/design.md, "Live location").
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from fanfare.ids import first_snowflake
from fanfare.location.entity import ENTITY, Entity, entity_in, packed
from fanfare.location.happenings import APP_EVENT, happenings
from fanfare.location.positions import Fix
from fanfare.record import USERS, Record
from fanfare.store.changes import CHANNEL_NAME
from fanfare.store.database import Connection, Database, Row
from fanfare.store.errors import NotFoundError

__all__ = ["Device", "Entities"]

_MOST_TRACK: Final = 100_000


class Device(NamedTuple):
    """What a device publishes."""

    entity_id: int
    user_id: int


class Entities:
    """The part of the store that knows entities."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def entities(self, ids: Sequence[int]) -> dict[int, Entity]:
        """Those of the entities that exist, by id; also those that have ended."""
        rows = await self._db.fetch("SELECT body FROM entities WHERE id = ANY($1::bigint[])", list(ids))
        return {entity.id: entity for entity in map(_entity, rows)}

    async def entity_versions(self, ids: Sequence[int]) -> dict[int, int]:
        """The versions of entities."""
        rows = await self._db.fetch(
            "SELECT id, version FROM entities WHERE id = ANY($1::bigint[])", list(ids)
        )
        return {row["id"]: row["version"] for row in rows}

    async def create_entity(self, entity: Entity) -> Entity:
        """Make an entity.

        Raises:
            NotFoundError: the one that it follows does not exist.

        """
        async with self._db.transaction() as connection:
            if entity.follows:
                await _locked(connection, entity.follows)
            await connection.execute(
                "INSERT INTO entities (id, version, follows, ended, body) VALUES ($1, $2, $3, $4, $5)",
                entity.id,
                entity.version,
                entity.follows,
                entity.ended,
                packed(entity),
            )
            await _tell(connection, None, entity)
        return entity

    async def change_entity(
        self, entity_id: int, alter: Callable[[Entity], Entity], follows: int | None = None
    ) -> tuple[Entity, Entity | None]:
        """Change an entity.

        Args:
            entity_id: which.
            alter: what it is afterwards; called under its lock, and may raise. The version is set here.
            follows: an entity that is read as well, and kept from ending meanwhile.

        Returns:
            The entity afterwards, and before; None: nothing has changed.

        Raises:
            NotFoundError: there is no such entity.

        """
        async with self._db.transaction() as connection:
            # In the order of ids, so that two changes do not wait for each other.
            locked = {
                ident: await _locked(connection, ident) for ident in sorted({entity_id, follows or entity_id})
            }
            before = locked[entity_id]
            after = alter(before)
            if after == before:
                return before, None
            after = msgspec.structs.replace(after, version=before.version + 1)
            await connection.execute(
                "UPDATE entities SET version = $2, follows = $3, ended = $4, body = $5 WHERE id = $1",
                after.id,
                after.version,
                after.follows,
                after.ended,
                packed(after),
            )
            await _tell(connection, before, after)
        return after, before

    async def entities_around(self, sources: Sequence[int]) -> list[Entity]:
        """Those of the entities that have not ended, and all that follow one of them."""
        rows = await self._db.fetch(
            "SELECT body FROM entities WHERE id = ANY($1::bigint[]) AND NOT ended "
            "UNION ALL SELECT body FROM entities "
            "WHERE follows = ANY($1::bigint[]) AND follows <> 0 AND NOT ended",
            list(sources),
        )
        return [_entity(row) for row in rows]

    async def newest_positions(self, ids: Sequence[int]) -> dict[int, Fix]:
        """The newest archived position of each entity that has one."""
        rows = await self._db.fetch(
            "SELECT p.* FROM unnest($1::bigint[]) AS e (id), LATERAL (SELECT * FROM positions "
            "WHERE entity_id = e.id ORDER BY at_ms DESC, seq DESC LIMIT 1) AS p",
            list(ids),
        )
        return {row["entity_id"]: _fix(row) for row in rows}

    async def track(self, entity_id: int, since_ms: int, until_ms: int) -> list[Fix]:
        """The archived positions of an entity in a time, oldest first; the first 100,000 of them."""
        rows = await self._db.fetch(
            "SELECT * FROM positions WHERE entity_id = $1 AND at_ms >= $2 AND at_ms <= $3 "
            "ORDER BY at_ms, seq LIMIT $4",
            entity_id,
            since_ms,
            until_ms,
            _MOST_TRACK,
        )
        return [_fix(row) for row in rows]

    async def add_device(self, key: str, device: Device) -> None:
        """Let a device publish. Raises NotFoundError: there is no such entity."""
        async with self._db.transaction() as connection:
            await _locked(connection, device.entity_id)
            await connection.execute(
                "INSERT INTO devices (key, entity_id, user_id) VALUES ($1, $2, $3)", _hashed(key), *device
            )

    async def device(self, key: str) -> Device | None:
        """What a device publishes; None: there is no such device."""
        row = await self._db.row("SELECT entity_id, user_id FROM devices WHERE key = $1", _hashed(key))
        return Device(row["entity_id"], row["user_id"]) if row is not None else None

    async def drop_devices(self, entity_id: int) -> int:
        """Let no device publish for an entity any more; how many did."""
        rows = await self._db.fetch("DELETE FROM devices WHERE entity_id = $1 RETURNING 1", entity_id)
        return len(rows)


async def _locked(connection: Connection, entity_id: int) -> Entity:
    row = await connection.fetchrow("SELECT body FROM entities WHERE id = $1 FOR NO KEY UPDATE", entity_id)
    if row is None:
        raise NotFoundError("entity", entity_id)
    return _entity(row)


async def _tell(connection: Connection, before: Entity | None, entity: Entity) -> None:
    """Put a change into the outbox for each stream that it concerns, and what it means for the app."""
    now_ms = int(time.time() * 1000)
    payload = packed(entity)
    streams = {entity.id, entity.follows, before.follows if before is not None else 0} - {0}
    records = [
        Record(
            type=ENTITY,
            # Need not be unique: (author, channel, nonce) is, and clients do not see it.
            id=first_snowflake(now_ms) | (entity.version & 0x3FFFFF),
            at=now_ms,
            audience=USERS,
            channel=stream,
            author=entity.id,
            nonce=f"e{entity.version}",
            payload=payload,
        )
        for stream in sorted(streams)
    ]
    await connection.executemany(
        "INSERT INTO outbox (guild_id, record) VALUES (0, $1)", [(record.pack(),) for record in records]
    )
    app = [
        Record(
            type=APP_EVENT,
            id=first_snowflake(now_ms),
            at=now_ms,
            audience=USERS,
            channel=entity.id,
            nonce=one.id,
            payload=one.payload,
        )
        for one in happenings(before, entity, now_ms)
    ]
    await connection.executemany(
        "INSERT INTO app_outbox (record) VALUES ($1)", [(record.pack(),) for record in app]
    )
    await connection.execute(f"SELECT pg_notify({CHANNEL_NAME}, '')")


def _entity(row: Row) -> Entity:
    return entity_in(row["body"])


def _fix(row: Row) -> Fix:
    return Fix(
        entity_id=row["entity_id"],
        at=row["at_ms"],
        lat=row["lat"],
        lon=row["lon"],
        seq=row["seq"],
        author_id=row["author_id"],
        accuracy_m=row["accuracy_m"],
        heading_deg=row["heading_deg"],
        speed_mps=row["speed_mps"],
    )


def _hashed(key: str) -> bytes:
    """Keys are as secret as tokens, and as random: a plain hash does."""
    return hashlib.sha256(key.encode()).digest()
