"""Commands that applications have registered."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

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
            await connection.execute("DELETE FROM commands WHERE id = ANY($1::bigint[])", gone)
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
        await self._db.value("DELETE FROM commands WHERE id = $1", command_id)

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
