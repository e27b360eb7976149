"""Geofences in the database."""

from fanfare.location.geofences import Geofence, geofence_in, packed
from fanfare.store.database import Database
from fanfare.store.errors import NotFoundError

__all__ = ["Geofences", "GeofencesFullError"]


class GeofencesFullError(Exception):
    """There are as many geofences as there may be."""


class Geofences:
    """The part of the store that knows geofences."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def geofences(self) -> list[Geofence]:
        """All of them, the oldest first."""
        return [
            geofence_in(row["body"]) for row in await self._db.fetch("SELECT body FROM geofences ORDER BY id")
        ]

    async def geofences_stand(self) -> tuple[int, int]:
        """How many there are, and the id of the newest: other numbers after each change."""
        row = await self._db.row("SELECT count(*) AS count, coalesce(max(id), 0) AS newest FROM geofences")
        assert row is not None
        return row["count"], row["newest"]

    async def geofence(self, ident: int) -> Geofence:
        """One of them. Raises NotFoundError."""
        body = await self._db.value("SELECT body FROM geofences WHERE id = $1", ident)
        if body is None:
            raise NotFoundError("geofence", ident)
        return geofence_in(body)

    async def create_geofence(self, geofence: Geofence, most: int) -> None:
        """Make one. Raises GeofencesFullError: there are `most` of them."""
        async with self._db.transaction() as connection:
            # One after the other, so that there are never more.
            await connection.execute("LOCK TABLE geofences IN SHARE ROW EXCLUSIVE MODE")
            if await connection.fetchval("SELECT count(*) FROM geofences") >= most:
                raise GeofencesFullError
            await connection.execute(
                "INSERT INTO geofences (id, body) VALUES ($1, $2)", geofence.id, packed(geofence)
            )

    async def delete_geofence(self, ident: int) -> None:
        """Delete one. Raises NotFoundError."""
        if not await self._db.fetch("DELETE FROM geofences WHERE id = $1 RETURNING 1", ident):
            raise NotFoundError("geofence", ident)
