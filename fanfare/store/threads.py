"""Threads: channels in a channel, which are joined, and archived when nobody says anything in them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from fanfare import payloads, rights
from fanfare.ids import first_snowflake
from fanfare.model import THREADS, Channel, Thread, ThreadMember
from fanfare.store.changes import Change, Changing, acting, changing
from fanfare.store.channels import channel_of, guild_of
from fanfare.store.database import Connection, Database, Row
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import as_channel, members_by_thread, tags_json
from fanfare.store.state import archived_since

__all__ = ["Threads", "leave_threads"]

# Archived in one transaction at most.
_AT_ONCE: Final = 100
_COLUMNS: Final = frozenset({"archived", "auto_archive", "locked", "invitable", "tags"})


class Threads:
    """The part of the store that knows threads."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create_thread(self, thread: Channel, *, by: int, of_message: bool = False) -> Change[Channel]:
        """Make a thread, which its owner joins.

        Args:
            thread: the thread; without members.
            by: who makes it.
            of_message: it has the id of the message that it is about.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: it must not be; 160004: the message has a thread.

        """
        async with changing(self._db, thread.guild_id, by) as change:
            await change.permit(by, rights.thread_created, thread)
            if not await _insert(change, thread):
                assert of_message
                raise rights.BadChangeError(160004, "A thread has already been created for this message")
            change.event(
                "THREAD_CREATE", payloads.channel(thread) | {"newly_created": True}, channel=thread.id
            )
            assert thread.thread is not None
            return change.done(await _joined(change, thread, thread.thread.owner_id))

    async def update_thread(self, thread_id: int, *, by: int = 0, **changes: Any) -> Change[Channel]:
        """Change fields of a thread, named as in the model.

        Raises:
            NotFoundError: there is no such thread.
            RightsError: `by` may not; 0: the operator may everything.

        """
        async with changing(self._db, await guild_of(self._db, thread_id), by) as change:
            old = await _thread(change, thread_id)
            new = _changed(old, changes)
            if new != old:
                await change.permit(by, rights.thread_changed, old, new)
                await _update(change, old, new)
            return change.done(new)

    async def join_thread(self, thread_id: int, user_id: int, *, by: int) -> Change[Channel]:
        """Let somebody join a thread; who has joined stays as they are. Raises as `update_thread`."""
        async with changing(self._db, await guild_of(self._db, thread_id), by) as change:
            thread = await _thread(change, thread_id)
            now = await change.state(by, user_id)
            if user_id not in now.members:
                raise NotFoundError("member", user_id)
            rights.thread_joined(now, acting(now, by), thread, now.members[user_id])
            return change.done(await _joined(change, thread, user_id))

    async def leave_thread(self, thread_id: int, user_id: int, *, by: int) -> Change[Channel]:
        """Let somebody leave a thread, or be taken out of it. Raises as `update_thread`."""
        async with changing(self._db, await guild_of(self._db, thread_id), by) as change:
            thread = await _thread(change, thread_id)
            await change.permit(by, rights.thread_left, thread, user_id)
            return change.done(await _left(change, thread, user_id))

    async def archived_threads(
        self,
        channel_id: int,
        types: Sequence[int],
        *,
        before: datetime | None,
        below: int | None,
        joined_by: int,
        limit: int,
    ) -> list[Channel]:
        """A page of the archived threads of a channel.

        Args:
            channel_id: which.
            types: of threads.
            before: only those archived before this.
            below: only those with an id below this; they come by id, others by the time when they were archived.
            joined_by: only those that this user has joined; 0: all.
            limit: at most so many.

        """
        order = "c.id" if joined_by else "c.changed_at"
        rows = await self._db.fetch(
            "SELECT c.* FROM channels c WHERE c.parent_id = $1 AND c.type IN (10, 11, 12) "  # noqa: S608 (constants)
            "AND c.type = ANY($2::smallint[]) AND c.archived "
            "AND ($3::timestamptz IS NULL OR c.changed_at < $3) AND ($4::bigint IS NULL OR c.id < $4) "
            "AND ($5::bigint = 0 OR EXISTS "
            "(SELECT 1 FROM thread_members m WHERE m.thread_id = c.id AND m.user_id = $5)) "
            f"ORDER BY {order} DESC LIMIT $6",
            channel_id,
            list(types),
            before,
            below,
            joined_by,
            limit,
        )
        return await self._with_members(rows)

    async def archive_idle(self, now: datetime) -> int:
        """Archive threads in which nobody has said anything for as long as they say. Any number may do so at once.

        Returns:
            How many were archived; there may be more.

        """
        rows = await self._db.fetch(_IDLE, now, first_snowflake(int(now.timestamp() * 1000)), _AT_ONCE)
        for row in rows:
            with suppress(NotFoundError):
                await self.update_thread(row["id"], archived=True)
        return len(rows)

    async def long_archived(self, guild_id: int, limit: int) -> list[Channel]:
        """The archived threads of a guild that are not part of its state any more, those archived last first."""
        rows = await self._db.fetch(
            "SELECT * FROM channels WHERE guild_id = $1 AND archived AND changed_at <= $2 "
            "ORDER BY changed_at DESC LIMIT $3",
            guild_id,
            archived_since(),
            limit,
        )
        return await self._with_members(rows)

    async def _with_members(self, rows: Sequence[Row]) -> list[Channel]:
        members = members_by_thread(
            await self._db.fetch(
                "SELECT * FROM thread_members WHERE thread_id = ANY($1::bigint[]) ORDER BY user_id",
                [row["id"] for row in rows],
            )
        )
        return [as_channel(row, members=members.get(row["id"], ())) for row in rows]


# A snowflake is 2^22 for each millisecond.
_IDLE: Final = """
SELECT id FROM channels c WHERE type IN (10, 11, 12) AND NOT archived
AND changed_at < $1::timestamptz - interval '1 hour'
AND changed_at + auto_archive * interval '1 minute' < $1 AND NOT EXISTS
(SELECT 1 FROM messages m WHERE m.channel_id = c.id AND m.id > $2 - (c.auto_archive::bigint * 60000 << 22))
ORDER BY changed_at LIMIT $3
"""


async def leave_threads(change: Changing, user_id: int) -> None:
    """Somebody leaves the guild, and so its threads; of those that nodes may know, everybody is told."""
    rows = await change.connection.fetch(
        "SELECT t.thread_id FROM thread_members t JOIN channels c ON c.id = t.thread_id "
        "WHERE t.user_id = $1 AND c.guild_id = $2 AND (NOT c.archived OR c.changed_at > $3)",
        user_id,
        change.guild_id,
        archived_since(),
    )
    for row in rows:
        await _left(change, await channel_of(change, row["thread_id"]), user_id)
    await change.connection.execute(
        "DELETE FROM thread_members t USING channels c WHERE c.id = t.thread_id AND t.user_id = $1 "
        "AND c.guild_id = $2",
        user_id,
        change.guild_id,
    )


async def _thread(change: Changing, thread_id: int) -> Channel:
    found = await channel_of(change, thread_id)
    if found.type not in THREADS:
        raise rights.WrongTypeError
    return found


def _changed(old: Channel, changes: dict[str, Any]) -> Channel:
    assert old.thread is not None
    inside = {key: value for key, value in changes.items() if key in _COLUMNS}
    if inside.get("archived", old.thread.archived) != old.thread.archived:
        inside["changed_at"] = datetime.now(UTC)
    outside = {key: value for key, value in changes.items() if key not in _COLUMNS}
    return replace(old, **outside, thread=replace(old.thread, **inside))


async def _insert(change: Changing, thread: Channel) -> bool:
    """Add a row; False: there is a thread with this id."""
    about = _about(thread)
    inserted = await change.connection.fetchval(
        "INSERT INTO channels (id, guild_id, type, name, parent_id, nsfw, rate_limit_per_user, owner_id, made_at, "
        "archived, changed_at, auto_archive, locked, invitable, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
        "$10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING RETURNING true",
        thread.id,
        thread.guild_id,
        thread.type,
        thread.name,
        thread.parent_id,
        thread.nsfw,
        thread.rate_limit_per_user,
        about.owner_id,
        about.made_at,
        about.archived,
        about.changed_at,
        about.auto_archive,
        about.locked,
        about.invitable,
        tags_json(about.tags),
    )
    return inserted is not None


async def _update(change: Changing, old: Channel, new: Channel) -> None:
    about = _about(new)
    await change.connection.execute(
        "UPDATE channels SET name = $2, rate_limit_per_user = $3, archived = $4, changed_at = $5, "
        "auto_archive = $6, locked = $7, invitable = $8, tags = $9 WHERE id = $1",
        new.id,
        new.name,
        new.rate_limit_per_user,
        about.archived,
        about.changed_at,
        about.auto_archive,
        about.locked,
        about.invitable,
        tags_json(about.tags),
    )
    change.event("THREAD_UPDATE", payloads.channel(new), channel=new.id, before=payloads.channel(old))
    if about.members and _about(old).archived and not about.archived:
        # Nodes forget archived threads, and then do not know who has joined them.
        _tell_members(change, new, new, added=about.members)


async def _joined(change: Changing, thread: Channel, user_id: int) -> Channel:
    joined_at = datetime.now(UTC)
    if not await _insert_member(change.connection, thread.id, user_id, joined_at):
        return thread
    one = ThreadMember(user_id, joined_at)
    about = _about(thread)
    members = tuple(sorted((*about.members, one), key=lambda member: member.id))
    after = replace(thread, thread=replace(about, members=members))
    _tell_members(change, thread, after, added=(one,))
    return after


async def _left(change: Changing, thread: Channel, user_id: int) -> Channel:
    about = _about(thread)
    if user_id not in about.joined:
        return thread
    await change.connection.execute(
        "DELETE FROM thread_members WHERE thread_id = $1 AND user_id = $2", thread.id, user_id
    )
    members = tuple(one for one in about.members if one.id != user_id)
    after = replace(thread, thread=replace(about, members=members))
    _tell_members(change, thread, after, removed=(user_id,))
    return after


def _tell_members(
    change: Changing,
    before: Channel,
    after: Channel,
    *,
    added: Sequence[ThreadMember] = (),
    removed: tuple[int, ...] = (),
) -> None:
    change.event(
        "THREAD_MEMBERS_UPDATE",
        payloads.thread_members_update(after, added, removed),
        channel=after.id,
        users=removed or tuple(one.id for one in added),
        before={"id": str(before.id), "members": payloads.thread_members(before)},
    )


async def _insert_member(connection: Connection, thread_id: int, user_id: int, joined_at: datetime) -> bool:
    found = await connection.fetchval(
        "INSERT INTO thread_members (thread_id, user_id, joined_at) VALUES ($1, $2, $3) "
        "ON CONFLICT DO NOTHING RETURNING true",
        thread_id,
        user_id,
        joined_at,
    )
    return found is not None


def _about(thread: Channel) -> Thread:
    assert thread.thread is not None
    return thread.thread
