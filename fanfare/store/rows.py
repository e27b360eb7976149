"""What a row of the database means: from asyncpg's untyped records to the structs of fanfare.model."""

from collections.abc import Iterable
from typing import Final

import msgspec

from fanfare.model import (
    FORUM,
    THREADS,
    Channel,
    CustomEmoji,
    Guild,
    GuildSettings,
    Member,
    Overwrite,
    Role,
    Tag,
    Thread,
    ThreadMember,
    User,
)
from fanfare.store.database import Row

__all__ = [
    "MEMBER_SQL",
    "USER_COLUMNS",
    "as_channel",
    "as_emoji",
    "as_guild",
    "as_member",
    "as_overwrite",
    "as_role",
    "as_user",
    "members_by_thread",
    "tags_json",
]

USER_COLUMNS: Final = "id, username, global_name, bot"
# Members with their users; goes on with WHERE.
MEMBER_SQL: Final = (
    "SELECT u.id, u.username, u.global_name, u.bot, m.nick, m.roles, m.joined_at, m.timed_out_until "
    "FROM members m JOIN users u ON u.id = m.user_id "
)


def as_user(row: Row) -> User:
    """A row with USER_COLUMNS."""
    return User(id=row["id"], username=row["username"], global_name=row["global_name"], bot=row["bot"])


def as_member(row: Row) -> Member:
    """A row of MEMBER_SQL."""
    return Member(
        user=as_user(row),
        roles=tuple(row["roles"]),
        joined_at=row["joined_at"],
        nick=row["nick"],
        timed_out_until=row["timed_out_until"],
    )


def as_emoji(row: Row) -> CustomEmoji:
    """A row of `emojis`."""
    return CustomEmoji(row["id"], row["name"], row["animated"])


def as_guild(row: Row) -> Guild:
    """A row of `guilds`, without what is in the guild."""
    return Guild(
        id=row["id"],
        name=row["name"],
        owner_id=row["owner_id"],
        version=row["version"],
        member_count=row["member_count"],
        settings=msgspec.json.decode(row["settings"], type=GuildSettings),
    )


def as_role(row: Row) -> Role:
    """A row of `roles`."""
    return Role(
        id=row["id"],
        name=row["name"],
        permissions=row["permissions"],
        position=row["position"],
        color=row["color"],
        hoist=row["hoist"],
        mentionable=row["mentionable"],
        managed=row["managed"],
    )


def as_overwrite(row: Row) -> Overwrite:
    """A row of `overwrites`."""
    return Overwrite(row["target_id"], row["type"], row["allow"], row["deny"])


def tags_json(tags: tuple[Tag, ...] | tuple[int, ...]) -> str:
    """The column `tags`, of a forum or of a thread."""
    return msgspec.json.encode(tags).decode()


def members_by_thread(rows: Iterable[Row]) -> dict[int, list[ThreadMember]]:
    """Rows of `thread_members`."""
    found: dict[int, list[ThreadMember]] = {}
    for row in rows:
        found.setdefault(row["thread_id"], []).append(ThreadMember(row["user_id"], row["joined_at"]))
    return found


def as_channel(
    row: Row,
    overwrites: Iterable[Overwrite] = (),
    recipients: Iterable[User] = (),
    members: Iterable[ThreadMember] = (),
) -> Channel:
    """A row of `channels`."""
    return Channel(
        id=row["id"],
        type=row["type"],
        guild_id=row["guild_id"] or 0,
        name=row["name"],
        topic=row["topic"],
        position=row["position"],
        parent_id=row["parent_id"],
        nsfw=row["nsfw"],
        rate_limit_per_user=row["rate_limit_per_user"],
        overwrites=tuple(overwrites),
        recipients=tuple(recipients),
        thread=_thread(row, members) if row["type"] in THREADS else None,
        tags=msgspec.json.decode(row["tags"], type=tuple[Tag, ...]) if row["type"] == FORUM else (),
    )


def _thread(row: Row, members: Iterable[ThreadMember]) -> Thread:
    return Thread(
        owner_id=row["owner_id"],
        made_at=row["made_at"],
        archived=row["archived"],
        changed_at=row["changed_at"],
        auto_archive=row["auto_archive"],
        locked=row["locked"],
        invitable=row["invitable"],
        members=tuple(members),
        tags=msgspec.json.decode(row["tags"], type=tuple[int, ...]),
    )
