"""Emojis of guilds."""

import msgspec

from fanfare import payloads, rights
from fanfare.model import CustomEmoji
from fanfare.store.changes import Change, Changing, changing
from fanfare.store.database import Database
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import as_emoji

__all__ = ["Emojis"]


class Emojis:
    """The part of the store that changes emojis; they are read with their guild."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def emoji_makers(self, guild_id: int) -> dict[int, int]:
        """Who made each emoji of a guild."""
        rows = await self._db.fetch("SELECT id, user_id FROM emojis WHERE guild_id = $1", guild_id)
        return {row["id"]: row["user_id"] for row in rows}

    async def create_emoji(self, guild_id: int, emoji: CustomEmoji, *, by: int) -> Change[CustomEmoji]:
        """Make an emoji. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            await change.permit(by, rights.emoji_created, animated=emoji.animated)
            before = await _all(change)
            await change.connection.execute(
                "INSERT INTO emojis (id, guild_id, name, animated, user_id) VALUES ($1, $2, $3, $4, $5)",
                emoji.id,
                guild_id,
                emoji.name,
                emoji.animated,
                by,
            )
            _tell(change, "EMOJI_CREATE", [*before, emoji], before, emoji, None)
            return change.done(emoji)

    async def rename_emoji(self, guild_id: int, emoji_id: int, name: str, *, by: int) -> Change[CustomEmoji]:
        """Give an emoji another name. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            before, old = await _changed(change, emoji_id, by)
            new = msgspec.structs.replace(old, name=name)
            if new != old:
                await change.connection.execute("UPDATE emojis SET name = $2 WHERE id = $1", emoji_id, name)
                after = [new if one.id == emoji_id else one for one in before]
                _tell(change, "EMOJI_UPDATE", after, before, new, old)
            return change.done(new)

    async def delete_emoji(self, guild_id: int, emoji_id: int, *, by: int) -> Change[CustomEmoji]:
        """Delete an emoji. Raises NotFoundError, RightsError."""
        async with changing(self._db, guild_id, by) as change:
            before, old = await _changed(change, emoji_id, by)
            await change.connection.execute("DELETE FROM emojis WHERE id = $1", emoji_id)
            _tell(change, "EMOJI_DELETE", [one for one in before if one != old], before, old, old)
            return change.done(old)


async def _all(change: Changing) -> list[CustomEmoji]:
    rows = await change.connection.fetch(
        "SELECT * FROM emojis WHERE guild_id = $1 ORDER BY id", change.guild_id
    )
    return [as_emoji(row) for row in rows]


async def _changed(change: Changing, emoji_id: int, by: int) -> tuple[list[CustomEmoji], CustomEmoji]:
    """The emojis of the guild, and the one that somebody changes. Raises NotFoundError, RightsError."""
    before = await _all(change)
    old = next((one for one in before if one.id == emoji_id), None)
    if old is None:
        raise NotFoundError("emoji", emoji_id)
    made_by = await change.connection.fetchval("SELECT user_id FROM emojis WHERE id = $1", emoji_id)
    await change.permit(by, rights.emoji_changed, made_by)
    return before, old


def _tell(
    change: Changing,
    what: str,
    after: list[CustomEmoji],
    before: list[CustomEmoji],
    now: CustomEmoji,
    old: CustomEmoji | None,
) -> None:
    listed = [[payloads.emoji(one) for one in emojis] for emojis in (after, before)]
    guild = {"guild_id": str(change.guild_id)}
    change.event("GUILD_EMOJIS_UPDATE", guild | {"emojis": listed[0]}, before={"emojis": listed[1]})
    change.note(what, _logged(now), _logged(old) if old is not None else None)


def _logged(emoji: CustomEmoji) -> payloads.Json:
    return {"id": str(emoji.id), "name": emoji.name}
