"""Webhooks: names under which whoever has their token says something in a channel."""

from typing import Final, NamedTuple

from fanfare import payloads, rights
from fanfare.model import User
from fanfare.permissions import P
from fanfare.store.changes import Change, Changing, changing
from fanfare.store.database import Database, Row
from fanfare.store.errors import NotFoundError
from fanfare.store.rows import as_user

__all__ = ["MAX_WEBHOOKS", "Webhook", "Webhooks"]

MAX_WEBHOOKS: Final = 15
"""In a channel."""

_SQL: Final = (
    "SELECT w.id AS webhook_id, w.guild_id, w.channel_id, w.application_id, w.name, w.token, "
    "u.id, u.username, u.global_name, u.bot FROM webhooks w LEFT JOIN users u ON u.id = w.user_id "
)


class Webhook(NamedTuple):
    """A webhook."""

    id: int
    guild_id: int
    channel_id: int
    name: str
    token: str
    application_id: int = 0
    """The bot that made it; 0: a person."""
    user: User | None = None
    """Who made it."""


class Webhooks:
    """The part of the store that knows webhooks."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def webhook(self, ident: int) -> Webhook:
        """A webhook. Raises NotFoundError."""
        row = await self._db.row(_SQL + "WHERE w.id = $1", ident)
        if row is None:
            raise NotFoundError("webhook", ident)
        return _webhook(row)

    async def webhooks(self, guild_id: int, channel_id: int = 0) -> list[Webhook]:
        """The webhooks of a guild, or of one channel of it."""
        sql = _SQL + "WHERE w.guild_id = $1 AND ($2::bigint = 0 OR w.channel_id = $2) ORDER BY w.id"
        return [_webhook(row) for row in await self._db.fetch(sql, guild_id, channel_id)]

    async def create_webhook(self, made: Webhook) -> Change[Webhook]:
        """Make a webhook.

        Raises:
            NotFoundError: there is no such guild.
            RightsError: its user may not, or there are too many.

        """
        assert made.user is not None
        async with changing(self._db, made.guild_id, made.user.id) as change:
            await change.permit(made.user.id, rights.webhook_changed, made.channel_id)
            count = await change.connection.fetchval(
                "SELECT count(*) FROM webhooks WHERE channel_id = $1", made.channel_id
            )
            if count >= MAX_WEBHOOKS:
                raise rights.BadChangeError(30007, f"Maximum number of webhooks reached ({MAX_WEBHOOKS})")
            await change.connection.execute(
                "INSERT INTO webhooks (id, guild_id, channel_id, user_id, application_id, name, token) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                made.id,
                made.guild_id,
                made.channel_id,
                made.user.id,
                made.application_id,
                made.name,
                made.token,
            )
            _tell(change, made.channel_id)
            _log(change, "WEBHOOK_CREATE", made, None)
            return change.done(made)

    async def change_webhook(
        self, webhook: Webhook, *, name: str, channel_id: int, by: int
    ) -> Change[Webhook]:
        """Rename or move a webhook.

        Args:
            webhook: as it was.
            name: from now on.
            channel_id: where it is from now on.
            by: who changes it; 0: whoever has its token.

        Raises:
            NotFoundError: there is no such webhook.
            RightsError: they may not.

        """
        after = webhook._replace(name=name, channel_id=channel_id)
        async with changing(self._db, webhook.guild_id, by) as change:
            for channel in dict.fromkeys((webhook.channel_id, channel_id)):
                await change.permit(by, rights.webhook_changed, channel)
            found = await change.connection.fetchval(
                "UPDATE webhooks SET name = $2, channel_id = $3 WHERE id = $1 RETURNING id",
                webhook.id,
                name,
                channel_id,
            )
            if found is None:
                raise NotFoundError("webhook", webhook.id)
            if after != webhook:
                for channel in dict.fromkeys((webhook.channel_id, channel_id)):
                    _tell(change, channel)
                _log(change, "WEBHOOK_UPDATE", after, webhook)
            return change.done(after)

    async def delete_webhook(self, webhook: Webhook, *, by: int) -> Change[Webhook]:
        """Delete a webhook. Arguments and errors as of `change_webhook`."""
        async with changing(self._db, webhook.guild_id, by) as change:
            await change.permit(by, rights.webhook_changed, webhook.channel_id)
            found = await change.connection.fetchval(
                "DELETE FROM webhooks WHERE id = $1 RETURNING id", webhook.id
            )
            if found is None:
                raise NotFoundError("webhook", webhook.id)
            _tell(change, webhook.channel_id)
            _log(change, "WEBHOOK_DELETE", webhook, webhook)
            return change.done(webhook)


def _tell(change: Changing, channel_id: int) -> None:
    change.event(
        "WEBHOOKS_UPDATE",
        {"guild_id": str(change.guild_id), "channel_id": str(channel_id)},
        channel=channel_id,
        permission=int(P.MANAGE_WEBHOOKS),
    )


def _log(change: Changing, name: str, now: Webhook, before: Webhook | None) -> None:
    change.note(name, _logged(now), _logged(before) if before is not None else None)


def _logged(webhook: Webhook) -> payloads.Json:
    return {"id": str(webhook.id), "name": webhook.name, "channel_id": str(webhook.channel_id), "type": 1}


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row["webhook_id"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        name=row["name"],
        token=row["token"],
        application_id=row["application_id"],
        user=as_user(row) if row["id"] is not None else None,
    )
