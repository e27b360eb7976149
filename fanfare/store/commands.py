"""Commands that applications have registered."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from fanfare import rights
from fanfare.payloads import Json
from fanfare.store.changes import Change, changing
from fanfare.store.database import Connection, Database
from fanfare.store.errors import NameTakenError

__all__ = ["Command", "Commands"]

_COLUMNS: Final = "id, application_id, guild_id, version, body"
_encode = msgspec.json.Encoder().encode


class Command(NamedTuple):
    """A command."""

    id: int
    application_id: int
    guild_id: int
    """0: everywhere."""
    version: int
    body: dict[str, Any]
    """Its definition; `type` and `name` are in there."""


class Commands:
    """The part of the store that knows commands."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def commands(self, applications: Sequence[int], guilds: Sequence[int]) -> list[Command]:
        """The commands of applications in guilds, 0 standing for everywhere."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM commands WHERE application_id = ANY($1::bigint[]) "  # noqa: S608 (constant)
            "AND guild_id = ANY($2::bigint[]) ORDER BY id",
            list(applications),
            list(guilds),
        )
        return [_command(row) for row in rows]

    async def command(self, command_id: int) -> Command | None:
        """One command."""
        row = await self._db.row(f"SELECT {_COLUMNS} FROM commands WHERE id = $1", command_id)  # noqa: S608 (constant)
        return _command(row) if row is not None else None

    async def replace_commands(
        self, application: int, guild: int, bodies: Sequence[dict[str, Any]], next_id: Callable[[], int]
    ) -> list[Command]:
        """Let an application have these commands and no others; those of the same name keep their ids."""
        async with self._db.transaction() as connection:
            known = {_key(one.body): one for one in await self._locked(connection, application, guild)}
            kept = [_changed(known.get(_key(body)), application, guild, body, next_id) for body in bodies]
            gone = [one.id for one in known.values() if one.id not in {each.id for each in kept}]
            await _delete(connection, gone)
            await _write(connection, kept)
        return kept

    async def put_command(
        self, application: int, guild: int, body: dict[str, Any], next_id: Callable[[], int], most: int
    ) -> tuple[Command, bool] | None:
        """Make a command, or put it in the place of the one with its type and name.

        Returns:
            The command, and whether it is a new one; None: there would be more than `most` of its type.

        """
        async with self._db.transaction() as connection:
            known = {_key(one.body): one for one in await self._locked(connection, application, guild)}
            before = known.get(_key(body))
            if before is None and sum(kind == body["type"] for kind, _ in known) >= most:
                return None
            command = _changed(before, application, guild, body, next_id)
            await _write(connection, [command])
        return command, before is None

    async def change_command(
        self, command: Command, body: dict[str, Any], next_id: Callable[[], int]
    ) -> Command:
        """Change a command. Raises: NameTakenError: another one of this type has the name."""
        changed = _changed(command, command.application_id, command.guild_id, body, next_id)
        try:
            async with self._db.transaction() as connection:
                await _write(connection, [changed])
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(body["name"]) from error
        return changed

    async def delete_command(self, command_id: int) -> None:
        """Delete a command."""
        async with self._db.transaction() as connection:
            await _delete(connection, [command_id])

    async def command_permissions(self, guild: int, application: int) -> dict[int, list[Json]]:
        """Who may use an application's commands in a guild, by command, or by application for all of them."""
        rows = await self._db.fetch(
            "SELECT target_id, body FROM command_permissions WHERE guild_id = $1 AND application_id = $2 "
            "ORDER BY target_id",
            guild,
            application,
        )
        return {row["target_id"]: msgspec.json.decode(row["body"]) for row in rows}

    async def put_command_permissions(
        self, guild: int, application: int, target: int, permissions: list[Json], *, by: int
    ) -> Change[None]:
        """Say who may use a command, or all of an application's for which nothing is said. Empty: nothing is said.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: they may not say so.

        """
        async with changing(self._db, guild, by) as change:
            await change.permit(by, rights.command_permissions_changed)
            key = (guild, application, target)
            where = "WHERE guild_id = $1 AND application_id = $2 AND target_id = $3"
            body = await change.connection.fetchval(
                f"DELETE FROM command_permissions {where} RETURNING body",  # noqa: S608 (constant)
                *key,
            )
            if permissions:
                await change.connection.execute(
                    "INSERT INTO command_permissions (guild_id, application_id, target_id, body) "
                    "VALUES ($1, $2, $3, $4)",
                    *key,
                    _encode(permissions),
                )
            before = {"permissions": msgspec.json.decode(body) if body is not None else []}
            said = {"id": str(target), "application_id": str(application), "permissions": permissions}
            if before["permissions"] != permissions:
                change.note("COMMAND_PERMISSIONS_UPDATE", said, before)
            return change.done(None)

    @staticmethod
    async def _locked(connection: Connection, application: int, guild: int) -> list[Command]:
        """An application's commands; another change of them waits until this one is made."""
        await connection.execute("SELECT pg_advisory_xact_lock($1)", application)
        rows = await connection.fetch(
            f"SELECT {_COLUMNS} FROM commands WHERE application_id = $1 AND guild_id = $2",  # noqa: S608 (constant)
            application,
            guild,
        )
        return [_command(row) for row in rows]


async def _delete(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM commands WHERE id = ANY($1::bigint[])", ids)
    await connection.execute("DELETE FROM command_permissions WHERE target_id = ANY($1::bigint[])", ids)


def _key(body: dict[str, Any]) -> tuple[int, str]:
    return body["type"], body["name"]


def _command(row: Any) -> Command:
    ident, application, guild, version, body = row
    return Command(ident, application, guild, version, msgspec.json.decode(body))


def _changed(
    before: Command | None, application: int, guild: int, body: dict[str, Any], next_id: Callable[[], int]
) -> Command:
    if before is None:
        return Command(next_id(), application, guild, next_id(), body)
    return before if before.body == body else before._replace(version=next_id(), body=body)


async def _write(connection: Connection, commands: Iterable[Command]) -> None:
    await connection.executemany(
        "INSERT INTO commands (id, application_id, guild_id, type, name, version, body) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) "
        "DO UPDATE SET name = excluded.name, version = excluded.version, body = excluded.body",
        [
            (
                one.id,
                one.application_id,
                one.guild_id,
                one.body["type"],
                one.body["name"],
                one.version,
                _encode(one.body),
            )
            for one in commands
        ],
    )
