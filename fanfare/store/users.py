"""Users."""

from collections.abc import Iterable
from typing import Final

import asyncpg

from fanfare.model import User
from fanfare.store.database import Database, own_channel
from fanfare.store.errors import NameTakenError, NotFoundError
from fanfare.store.rows import USER_COLUMNS, as_user

__all__ = ["REVOKED_CHANNEL", "Users"]

# SQL of the channel of LISTEN/NOTIFY that tells of revoked tokens.
REVOKED_CHANNEL: Final = own_channel("fanfare_revoked")


class Users:
    """The part of the store that knows users."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def user(self, user_id: int) -> User | None:
        """The user with this id."""
        row = await self._db.row(f"SELECT {USER_COLUMNS} FROM users WHERE id = $1", user_id)  # noqa: S608 (constant)
        return as_user(row) if row else None

    async def user_by_name(self, name: str) -> User | None:
        """The user with this name, upper and lower case being the same."""
        row = await self._db.row(
            f"SELECT {USER_COLUMNS} FROM users WHERE lower(username) = lower($1)",  # noqa: S608 (constant)
            name,
        )
        return as_user(row) if row else None

    async def users(self, user_ids: Iterable[int]) -> dict[int, User]:
        """Those of the users that exist, by id."""
        rows = await self._db.fetch(
            f"SELECT {USER_COLUMNS} FROM users WHERE id = ANY($1::bigint[])",  # noqa: S608 (constant)
            list(user_ids),
        )
        return {row["id"]: as_user(row) for row in rows}

    async def denied_intents(self, user_id: int) -> int:
        """The bits of the intents that an application must not ask for."""
        return int(await self._db.value("SELECT denied_intents FROM users WHERE id = $1", user_id) or 0)

    async def deny_intents(self, user_id: int, bits: int) -> None:
        """From now on, an application must not ask for these intents, and may for all others."""
        await self._db.value("UPDATE users SET denied_intents = $2 WHERE id = $1", user_id, bits)

    async def all_users(self, after: int = 0, limit: int = 1000) -> list[User]:
        """A page of all users, by id."""
        rows = await self._db.fetch(
            f"SELECT {USER_COLUMNS} FROM users WHERE id > $1 ORDER BY id LIMIT $2",  # noqa: S608 (constant)
            after,
            limit,
        )
        return [as_user(row) for row in rows]

    async def create_user(self, user_id: int, name: str, bot: bool = False) -> User:
        """Make a user.

        Raises:
            NameTakenError: somebody has that name.

        """
        try:
            await self._db.value(
                "INSERT INTO users (id, username, bot) VALUES ($1, $2, $3)", user_id, name, bot
            )
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(name) from error
        return User(id=user_id, username=name, bot=bot)

    async def token_generation(self, user_id: int) -> int:
        """The generation of the tokens that count for a user; 0 if none was ever revoked, or there is no such user."""
        return await self._db.value("SELECT token_generation FROM users WHERE id = $1", user_id) or 0

    async def revoke_tokens(self, user_id: int) -> int:
        """End all tokens that a user has; running gateways hear of it at once (fanfare.store.revocations).

        Returns:
            The generation of the tokens that are issued from now on.

        Raises:
            NotFoundError: there is no such user.

        """
        async with self._db.transaction() as connection:
            generation: int | None = await connection.fetchval(
                "UPDATE users SET token_generation = token_generation + 1 WHERE id = $1 RETURNING token_generation",
                user_id,
            )
            if generation is None:
                raise NotFoundError("user", user_id)
            # Sent when the transaction is committed, in the order of the commits.
            await connection.execute(
                f"SELECT pg_notify({REVOKED_CHANNEL}, $1)",
                f"{user_id} {generation}",
            )
        return generation

    async def update_user(self, user_id: int, username: str) -> User:
        """Give a user another name.

        Raises:
            NameTakenError: somebody else has that name.
            NotFoundError: there is no such user.

        """
        try:
            row = await self._db.row(
                f"UPDATE users SET username = $2 WHERE id = $1 RETURNING {USER_COLUMNS}",  # noqa: S608 (constant)
                user_id,
                username,
            )
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(username) from error
        if row is None:
            raise NotFoundError("user", user_id)
        return as_user(row)
