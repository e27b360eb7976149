"""The statuses of one node, put together."""

import secrets
from collections.abc import Callable

from fanfare.clock import now_s
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.statuses import Statuses, Voice
from fanfare.store import Store
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.aside import tell
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.guilds.cache import GuildCache
from gateway.ingress.errors import ApiError, RefusedError
from gateway.ingress.interfaces import Ids, Log
from gateway.registrations import PresenceWriter
from gateway.statuses import status, voice
from gateway.statuses.keeper import Keeper
from gateway.statuses.shown import Shown
from gateway.statuses.teller import Teller

__all__ = ["UserStatuses"]


class UserStatuses:
    """What clients say of statuses and of voice channels, and what they are shown of those of others."""

    def __init__(
        self,
        *,
        redis: Redis,
        node: str,
        registered: PresenceWriter,
        guilds: GuildCache,
        log: Log,
        ids: Ids,
        hub: Callable[[], Hub],
        store: Store,
    ) -> None:
        """Prepare; `teller.run`, and `run`, `watch` and `see` of `keeper` are tasks.

        Args:
            redis: the primary.
            node: this node's name.
            registered: which guilds' events come here.
            guilds: what this node knows of them.
            log: Kafka.
            ids: snowflakes.
            hub: the node's, once there is one.
            store: the database.

        """
        statuses = self._statuses = Statuses(redis, node)
        self._hub = hub
        self.shown = Shown(statuses, guilds, registered)
        self.teller = Teller(statuses=statuses, guilds=guilds, log=log, ids=ids)
        self.keeper = Keeper(
            statuses=statuses,
            teller=self.teller,
            shown=self.shown,
            sessions_of=lambda user: hub().roster.of_user(user),  # noqa: PLW0108 - there is no hub yet
            view_of=guilds.views.get,
            seen=store.seen,
        )
        self._log = logs.get("statuses")

    async def status(self, session: Session, body: bytes) -> None:
        """Show another status of a session's user. Args: body: the `d` of op 3."""
        client = session.status.client if session.status is not None else status.ONLINE.client
        self.keeper.said(session, status.read(body, client, int(now_s() * 1000)))

    async def move(self, guild: int, user: int, channel: int) -> None:
        """Somebody puts a user into another voice channel, or into none (0).

        Raises:
            ApiError: 40032: the user is in none; 503: Redis is away.

        """
        try:
            told = await self._statuses.move_voice(guild, user, channel)
        except (RedisError, OSError) as error:
            raise RefusedError(f"Redis is away: {error!r}") from error
        if told is None:
            raise ApiError(400, 40032, "Target user is not connected to voice.")
        self.teller.add(told)

    async def voice_of(self, guild: int, user: int) -> Voice | None:
        """In which voice channel a user is. Raises ApiError: 503: Redis is away."""
        try:
            return await self._statuses.voice(guild, user)
        except (RedisError, OSError) as error:
            raise RefusedError(f"Redis is away: {error!r}") from error

    async def voice(self, session: Session, body: bytes) -> None:
        """Let a session's user be in a voice channel, or in none. Args: body: the `d` of op 4."""
        try:
            wish = voice.read(body)
            named = wish is not None and await self.keeper.connect(session, wish)
        except (RedisError, OSError) as error:
            self._log.warning("a voice state was not noted", action=Action.REQUEST_FAILED, error=repr(error))
            return
        if wish is not None and named:
            d = {"guild_id": str(wish.guild), "token": secrets.token_hex(8), "endpoint": voice.NO_SERVER}
            await tell(self._hub(), session, "VOICE_SERVER_UPDATE", d)
