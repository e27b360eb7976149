"""A guild as the database has it: inside a transaction that sees one moment, or that holds the guild's lock."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from fanfare.constants import ARCHIVED_KEPT_S, LARGE_GUILD
from fanfare.model import Guild, Overwrite
from fanfare.store.database import Connection
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import (
    MEMBER_SQL,
    as_channel,
    as_emoji,
    as_guild,
    as_member,
    as_overwrite,
    as_role,
    members_by_thread,
)

__all__ = ["archived_since", "guild_state", "snapshot"]

_HERE: Final = "guild_id = $1 AND (NOT archived OR (archived AND changed_at > $2))"


def archived_since() -> datetime:
    """Threads that were archived later than this are part of their guild's state."""
    return datetime.now(UTC) - timedelta(seconds=ARCHIVED_KEPT_S)


async def snapshot(connection: Connection, guild_id: int) -> Guild | None:
    """The guild with all members, if they are at most LARGE_GUILD; None if there is none."""
    return await _guild(connection, guild_id, None)


async def guild_state(connection: Connection, guild_id: int, users: Iterable[int]) -> Guild:
    """The guild, and those of the users who are members.

    Raises:
        NotFoundError: there is no such guild.

    """
    guild = await _guild(connection, guild_id, list(users))
    if guild is None:
        raise NotFoundError("guild", guild_id)
    return guild


async def _guild(connection: Connection, guild_id: int, users: list[int] | None) -> Guild | None:
    row = await connection.fetchrow("SELECT * FROM guilds WHERE id = $1", guild_id)
    if row is None:
        return None
    roles = await connection.fetch("SELECT * FROM roles WHERE guild_id = $1 ORDER BY position, id", guild_id)
    since = archived_since()
    channels = await connection.fetch(
        f"SELECT * FROM channels WHERE {_HERE} ORDER BY position, id",  # noqa: S608 (constant)
        guild_id,
        since,
    )
    joined = members_by_thread(
        await connection.fetch(
            "SELECT t.* FROM thread_members t JOIN channels c ON c.id = t.thread_id "  # noqa: S608 (constant)
            f"WHERE {_HERE} ORDER BY t.user_id",
            guild_id,
            since,
        )
    )
    overwrites: dict[int, list[Overwrite]] = {}
    for found in await connection.fetch(
        "SELECT o.* FROM overwrites o JOIN channels c ON c.id = o.channel_id WHERE c.guild_id = $1 "
        "ORDER BY o.target_id",
        guild_id,
    ):
        overwrites.setdefault(found["channel_id"], []).append(as_overwrite(found))
    emojis = await connection.fetch("SELECT * FROM emojis WHERE guild_id = $1 ORDER BY id", guild_id)
    members = []
    if users is not None:
        members = await connection.fetch(
            MEMBER_SQL + "WHERE m.guild_id = $1 AND m.user_id = ANY($2::bigint[])", guild_id, users
        )
    elif row["member_count"] <= LARGE_GUILD:
        members = await connection.fetch(MEMBER_SQL + "WHERE m.guild_id = $1 ORDER BY m.user_id", guild_id)
    return replace(
        as_guild(row),
        roles={r["id"]: as_role(r) for r in roles},
        channels={
            c["id"]: as_channel(c, overwrites.get(c["id"], ()), members=joined.get(c["id"], ()))
            for c in channels
        },
        members={m["id"]: as_member(m) for m in members},
        emojis={e["id"]: as_emoji(e) for e in emojis},
    )
