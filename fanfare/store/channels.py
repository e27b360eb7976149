"""Channels of guilds, and direct conversations."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from fanfare import payloads, rights
from fanfare.model import CATEGORY, DM, THREADS, Channel, Guild, Overwrite, User
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.database import Connection, Database, Row
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import USER_COLUMNS, as_channel, as_overwrite, as_user, members_by_thread, tags_json

__all__ = ["Channels", "channel_of", "guild_of", "insert_channel"]

_FIXED: Final = frozenset({"id", "guild_id", "recipients", "thread"})


class Channels:
    """The part of the store that knows channels."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def channel(self, channel_id: int) -> Channel | None:
        """The channel, with its overwrites or recipients."""
        async with self._db.transaction(isolation="repeatable_read", readonly=True) as connection:
            row = await connection.fetchrow("SELECT * FROM channels WHERE id = $1", channel_id)
            if row is None:
                return None
            if row["guild_id"] is None:
                return (await _with_recipients(connection, [row]))[0]
            return await _whole(connection, row)

    async def dm(self, id_if_new: int, user_a: int, user_b: int) -> Channel:
        """The direct conversation of two users, made if there is none: always the same one.

        Args:
            id_if_new: its id, should it have to be made.
            user_a: one of them.
            user_b: another one.

        Raises:
            NotFoundError: one of them does not exist.

        """
        low, high = sorted((user_a, user_b))
        async with self._db.connection() as connection:
            find = "SELECT * FROM channels WHERE dm_low = $1 AND dm_high = $2"
            row = await connection.fetchrow(find, low, high)
            if row is None:
                try:
                    await connection.execute(
                        "INSERT INTO channels (id, type, dm_low, dm_high) VALUES ($1, $2, $3, $4) "
                        "ON CONFLICT (dm_low, dm_high) DO NOTHING",
                        id_if_new,
                        DM,
                        low,
                        high,
                    )
                except asyncpg.ForeignKeyViolationError as error:
                    raise NotFoundError("user", user_b) from error
                row = await connection.fetchrow(find, low, high)
            return (await _with_recipients(connection, [row]))[0]

    async def dms(self, user_id: int) -> list[Channel]:
        """The direct conversations of a user."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM channels WHERE dm_low = $1 OR dm_high = $1 ORDER BY id", user_id
            )
            return await _with_recipients(connection, rows)

    async def create_channel(
        self, channel: Channel, *, by: int = 0, inherit: bool = False, last: bool = False
    ) -> Change[Channel]:
        """Make a channel in its guild.

        Args:
            channel: the channel.
            by: who makes it; 0: the operator.
            inherit: it takes over the overwrites of its category.
            last: it stands below all others.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: it must not be.

        """
        async with changing(self._db, channel.guild_id, by) as change:
            now = await change.state(by, *_named(channel))
            parent = now.channels.get(channel.parent_id)
            if inherit and parent is not None:
                channel = msgspec.structs.replace(channel, overwrites=parent.overwrites)
            if last:
                position = max((one.position for one in now.channels.values()), default=-1) + 1
                channel = msgspec.structs.replace(channel, position=position)
            if by:
                rights.channel_created(now, acting(now, by), channel, inherited=inherit)
            await insert_channel(change.connection, channel)
            change.event("CHANNEL_CREATE", payloads.channel(channel), channel=channel.id)
            return change.done(channel)

    async def update_channel(self, channel_id: int, *, by: int = 0, **changes: Any) -> Change[Channel]:
        """Change fields of a guild's channel, named as in the model; `overwrites` is the whole new tuple.

        Channels in a category that have the category's overwrites keep in step with it.

        Raises:
            NotFoundError: there is no such channel in a guild.
            RightsError: `by` may not; 0: the operator may everything.

        """
        assert not _FIXED & changes.keys()
        async with self._changing(channel_id, by) as (change, old):
            return await _update_by(change, by, old, msgspec.structs.replace(old, **changes))

    async def move_channels(
        self, guild_id: int, moves: Mapping[int, Mapping[str, Any]], *, by: int, in_step: Collection[int] = ()
    ) -> Change[int]:
        """Change places and categories of several channels: all of them, or none.

        Args:
            guild_id: where.
            moves: `position` and `parent_id` by channel.
            by: who does it.
            in_step: those that take over the overwrites of the category they come to.

        Raises:
            NotFoundError: one of them is no channel of the guild.
            RightsError: `by` may not.

        """
        async with changing(self._db, guild_id, by) as change:
            now = await change.state(by)
            # Once for all moves: the guild stays locked meanwhile. Any member that a category names may be needed.
            categories = [one for one in now.channels.values() if one.type == CATEGORY]
            if in_step and (named := _named(*categories)):
                now = await change.state(by, *named)
            for channel_id, changes in moves.items():
                old = _of(now, channel_id)
                new = msgspec.structs.replace(old, **changes)
                locked = channel_id in in_step and new.parent_id > 0
                if locked and (parent := now.channels.get(new.parent_id)) is not None:
                    new = msgspec.structs.replace(new, overwrites=parent.overwrites)
                await _update_in(change, now, by, old, new, locked=locked)
            return change.done(len(moves))

    async def delete_channel(self, channel_id: int, *, by: int = 0) -> Change[Channel]:
        """Take a channel with its threads, or a thread, out of its guild; channels in a deleted category stay.

        Raises:
            NotFoundError, RightsError: as `update_channel`.

        """
        async with changing(self._db, await guild_of(self._db, channel_id), by) as change:
            old = await channel_of(change, channel_id)
            now = await change.state(by)
            if by:
                rights.channel_deleted(now, acting(now, by), old)
            if old.type in THREADS:
                await _delete_thread(change, old)
                return change.done(old)
            for thread in now.channels.values():
                if thread.type in THREADS and thread.parent_id == channel_id:
                    await _delete_thread(change, thread)
            await change.connection.execute(
                "DELETE FROM channels WHERE guild_id = $1 AND parent_id = $2 AND type = ANY($3::smallint[])",
                old.guild_id,
                channel_id,
                list(THREADS),
            )
            if old.type == CATEGORY:
                children = await change.connection.fetch(
                    "SELECT id FROM channels WHERE guild_id = $1 AND parent_id = $2", old.guild_id, channel_id
                )
                for row in children:
                    child = await channel_of(change, row["id"])
                    await _update(change, child, msgspec.structs.replace(child, parent_id=0))
            await change.connection.execute("DELETE FROM channels WHERE id = $1", channel_id)
            change.event("CHANNEL_DELETE", payloads.channel(old), channel=channel_id)
            return change.done(old)

    async def set_overwrite(self, channel_id: int, overwrite: Overwrite, *, by: int = 0) -> Change[Channel]:
        """Set what the channel allows and denies to a role or member. Raises NotFoundError, RightsError."""
        async with self._changing(channel_id, by) as (change, old):
            others = tuple(o for o in old.overwrites if o.id != overwrite.id)
            new = msgspec.structs.replace(old, overwrites=(*others, overwrite))
            return await _update_by(change, by, old, new)

    async def delete_overwrite(self, channel_id: int, target_id: int, *, by: int = 0) -> Change[Channel]:
        """Take away what the channel says about a role or member. Raises NotFoundError, RightsError."""
        async with self._changing(channel_id, by) as (change, old):
            kept = tuple(o for o in old.overwrites if o.id != target_id)
            if kept == old.overwrites:
                raise NotFoundError("overwrite", target_id)
            return await _update_by(change, by, old, msgspec.structs.replace(old, overwrites=kept))

    @asynccontextmanager
    async def _changing(self, channel_id: int, by: int) -> AsyncIterator[tuple[Changing, Channel]]:
        """A channel that is no thread, and its guild's lock. Raises: NotFoundError, RightsError."""
        async with changing(self._db, await guild_of(self._db, channel_id), by) as change:
            old = await channel_of(change, channel_id)
            if old.type in THREADS:
                raise rights.WrongTypeError
            yield change, old


async def guild_of(database: Database, channel_id: int) -> int:
    """The guild of a channel. Raises: NotFoundError: there is no such channel in a guild."""
    guild_id: int | None = await database.value("SELECT guild_id FROM channels WHERE id = $1", channel_id)
    if guild_id is None:
        raise NotFoundError("channel", channel_id)
    return guild_id


async def channel_of(change: Changing, channel_id: int) -> Channel:
    """A channel or thread of the guild. Raises: NotFoundError."""
    row = await change.connection.fetchrow(
        "SELECT * FROM channels WHERE id = $1 AND guild_id = $2", channel_id, change.guild_id
    )
    if row is None:
        raise NotFoundError("channel", channel_id)
    return await _whole(change.connection, row)


async def _delete_thread(change: Changing, thread: Channel) -> None:
    await change.connection.execute("DELETE FROM channels WHERE id = $1", thread.id)
    change.event(
        "THREAD_DELETE",
        payloads.thread_gone(thread),
        channel=thread.id,
        before=payloads.channel(thread) | {"members": payloads.thread_members(thread)},
    )


async def insert_channel(connection: Connection, channel: Channel) -> None:
    """Add rows for a guild's channel and its overwrites."""
    await connection.execute(
        "INSERT INTO channels (id, guild_id, type, name, topic, position, parent_id, nsfw, "
        "rate_limit_per_user, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        channel.id,
        channel.guild_id,
        channel.type,
        channel.name,
        channel.topic,
        channel.position,
        channel.parent_id,
        channel.nsfw,
        channel.rate_limit_per_user,
        tags_json(channel.tags),
    )
    await _insert_overwrites(connection, channel)


async def _insert_overwrites(connection: Connection, channel: Channel) -> None:
    await connection.executemany(
        "INSERT INTO overwrites (channel_id, target_id, type, allow, deny) VALUES ($1, $2, $3, $4, $5)",
        [(channel.id, o.id, o.type, o.allow, o.deny) for o in channel.overwrites],
    )


async def _update_by(change: Changing, by: int, old: Channel, new: Channel) -> Change[Channel]:
    """Change a channel, and what keeps in step with it; `by` somebody, 0: by the operator."""
    now = await change.state(by, *_named(new))
    return change.done(await _update_in(change, now, by, old, new))


async def _update_in(
    change: Changing, now: Guild, by: int, old: Channel, new: Channel, *, locked: bool = False
) -> Channel:
    """The same in a guild that was read already, with the members that the new overwrites name; `now` follows."""
    if by:
        rights.channel_changed(now, acting(now, by), old, new, locked=locked)
    follows = old.type == CATEGORY and old.overwrites != new.overwrites
    children = rights.children_in_step(now, old) if follows else []
    done = now.channels[new.id] = await _update(change, old, new)
    for child in children:
        fresh = msgspec.structs.replace(child, overwrites=done.overwrites)
        now.channels[child.id] = await _update(change, child, fresh)
    return done


def _named(*channels: Channel) -> set[int]:
    """The members that the overwrites of channels name."""
    return {one.id for channel in channels for one in channel.overwrites if one.type == 1}


def _of(guild: Guild, channel_id: int) -> Channel:
    found = guild.channels.get(channel_id)
    if found is None or found.type in THREADS:
        raise NotFoundError("channel", channel_id)
    return found


async def _update(change: Changing, old: Channel, new: Channel) -> Channel:
    new = msgspec.structs.replace(new, overwrites=tuple(sorted(new.overwrites, key=lambda o: o.id)))
    if new == old:
        return old
    await change.connection.execute(
        "UPDATE channels SET type = $2, name = $3, topic = $4, position = $5, parent_id = $6, nsfw = $7, "
        "rate_limit_per_user = $8, tags = $9 WHERE id = $1",
        new.id,
        new.type,
        new.name,
        new.topic,
        new.position,
        new.parent_id,
        new.nsfw,
        new.rate_limit_per_user,
        tags_json(new.tags),
    )
    if new.overwrites != old.overwrites:
        await change.connection.execute("DELETE FROM overwrites WHERE channel_id = $1", new.id)
        await _insert_overwrites(change.connection, new)
    change.event("CHANNEL_UPDATE", payloads.channel(new), channel=new.id, before=payloads.channel(old))
    return new


async def _whole(connection: Connection, row: Row) -> Channel:
    if row["type"] in THREADS:
        members = await connection.fetch(
            "SELECT * FROM thread_members WHERE thread_id = $1 ORDER BY user_id", row["id"]
        )
        return as_channel(row, members=members_by_thread(members).get(row["id"], ()))
    overwrites = await connection.fetch(
        "SELECT * FROM overwrites WHERE channel_id = $1 ORDER BY target_id", row["id"]
    )
    return as_channel(row, map(as_overwrite, overwrites))


async def _with_recipients(connection: Connection, rows: list[Row]) -> list[Channel]:
    wanted = {user_id for row in rows for user_id in (row["dm_low"], row["dm_high"])}
    found: dict[int, User] = {
        row["id"]: as_user(row)
        for row in await connection.fetch(
            f"SELECT {USER_COLUMNS} FROM users WHERE id = ANY($1::bigint[])",  # noqa: S608 (constant)
            list(wanted),
        )
    }
    return [as_channel(row, recipients=(found[row["dm_low"]], found[row["dm_high"]])) for row in rows]
