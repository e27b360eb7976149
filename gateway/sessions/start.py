"""How sessions begin: IDENTIFY, and RESUME. The decisions are those of `identify_steps` and `resume_steps`.

Here is who the client is, what it is told, and what is counted; `start_answers` does what the steps wish for.
"""

import asyncio
import secrets
import time
from functools import partial
from typing import Final

from fanfare import payloads
from fanfare.bus.producer import NotHandedOverError
from fanfare.clock import now_s
from fanfare.model import User
from fanfare.presence import session_starts
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.settings import Settings
from fanfare.store import Store, StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.tokens import BadTokenError
from gateway import metrics
from gateway.accounts import Accounts
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.delivery.session import Link, Session
from gateway.guilds.cache import GuildCache
from gateway.guilds.snapshot import guild_create, ready
from gateway.protocol.codes import CloseCode
from gateway.protocol.dialogue import Identify
from gateway.protocol.dialogue import Resume as Asked
from gateway.protocol.frames import dispatch, wrap
from gateway.protocol.session_ids import BadSessionIdError, Claims, SessionIds
from gateway.recovery.fences import Fences
from gateway.recovery.path import Hop
from gateway.registrations import PresenceWriter
from gateway.sessions.identify_steps import identify
from gateway.sessions.outcomes import EndError, InvalidSessionError, come_again
from gateway.sessions.register import RETRY_S
from gateway.sessions.resume_steps import WAIT_S, Resume, Resumed
from gateway.sessions.start_answers import OneStart, StartAnswers, turn
from gateway.statuses import status
from gateway.statuses.shown import Shown
from gateway.statuses.status import ONLINE

__all__ = ["Starter"]

# Starts that need more than the ring, under way at one time. When all clients come at once, more would only run into
# the time limits together, reconnect, and so on.
_TURNS: Final = 256
# `s` of all but the last frame of a start: no inbox has it, so a start cut short cannot be resumed.
UNFINISHED: Final = 1


class Starter:
    """Starts and resumes the sessions of a node."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis: Redis,
        store: Store,
        fences: Fences,
        hub: Hub,
        inbox: NodeInbox,
        presence: PresenceWriter,
        guilds: GuildCache,
        accounts: Accounts,
        tails: Redis,
        shown: Shown,
    ) -> None:
        """Args: tails: a client of its own, which may wait for entries of other nodes' inboxes; shown: statuses."""
        self._settings = settings
        self._redis = redis
        self._store = store
        self._hub = hub
        self._guilds = guilds
        self._accounts = accounts
        self._ids = SessionIds(settings.secret.get_secret_value())
        # Apart, because those wait for the database, these for Kafka.
        self._starts, resumes = asyncio.Semaphore(_TURNS), asyncio.Semaphore(_TURNS)
        self._answers = StartAnswers(
            redis,
            store,
            fences,
            hub=hub,
            inbox=inbox,
            presence=presence,
            guilds=guilds,
            accounts=accounts,
            tails=tails,
            turns=resumes,
            shown=shown,
        )
        self._log = logs.get("starter")

    async def identify(self, link: Link, asked: Identify) -> Session:
        """Start a session and send READY and its guilds.

        Raises:
            EndError: the token is wrong, or a store was away for too long.

        """
        async with turn(self._starts, link):
            user, generation = await self._user(asked.token)
            if user.bot:
                await self._check(user, asked.intents)
            start = OneStart(self._answers, link, begin=partial(self._begin, asked.shard))
            session = await start.run(
                identify(self._answers, link, partial(self._new, asked, user, generation))
            )
        metrics.STARTS.inc()
        return session

    async def _check(self, user: User, intents: int) -> None:
        """What holds for applications. Raises EndError, InvalidSessionError."""
        try:
            denied = await self._store.denied_intents(user.id) if intents & payloads.PRIVILEGED else 0
            begun = await session_starts.take(self._redis, user.id, self._settings.session_starts)
        except (StoreUnavailableError, RedisError, OSError) as error:
            raise come_again("a store is away") from error
        if intents & denied:
            said = f"intents {intents & denied} are not for this application: ask for others, or ask the operator"
            raise EndError(CloseCode.DISALLOWED_INTENTS, said)
        if begun.remaining < 0 and self._settings.session_starts:
            said = f"{self._settings.session_starts} sessions in 24 h at most: see GET /gateway/bot"
            raise EndError(CloseCode.RATE_LIMITED, said)
        if not begun.at_once and self._settings.session_starts:
            raise InvalidSessionError("too many begin at one time")

    def _new(self, asked: Identify, user: User, generation: int, inbox: str) -> Session:
        """A session that begins in an inbox."""
        shard = asked.shard or (0, 1)
        claims = Claims(secrets.token_hex(8), user.id, asked.intents, shard, inbox, generation=generation)
        session = Session(claims.key, self._ids.issue(claims), user, asked.intents, [Hop(inbox)], 0)
        session.shard, session.generation = shard, generation
        session.large_at = asked.large_threshold
        session.status = status.read(asked.presence, status.client_of(asked.properties), int(now_s() * 1000))
        session.status_kept = session.status == ONLINE
        return session

    async def resume(self, link: Link, asked: Asked) -> Session:
        """Go on with a session; send what was missed and RESUMED.

        Raises:
            InvalidSessionError: it cannot be had whole.
            EndError: it cannot be had now, or the token is wrong.

        """
        started = time.monotonic()
        user, generation = await self._user(asked.token)
        try:
            claims = self._ids.read(asked.session_id)
        except BadSessionIdError:
            raise InvalidSessionError("unknown") from None
        if claims.user != user.id or asked.seq <= UNFINISHED:
            raise InvalidSessionError("of another user, or cut short at its start")
        if claims.generation != generation:
            raise InvalidSessionError("its token was revoked")
        try:
            way, session = await self._resume(link, asked, claims, user)
        except (RedisError, OSError, NotHandedOverError, TimeoutError) as error:
            self._log.info("resume has to wait", action=Action.RESUME, why=repr(error))
            raise come_again("a store is away") from error
        finally:
            self._answers.rest()
        metrics.RESUMES.labels(way).inc()
        metrics.RESUME_SECONDS.labels(way).observe(time.monotonic() - started)
        return session

    async def _resume(self, link: Link, asked: Asked, claims: Claims, user: User) -> Resumed:
        def make(hops: list[Hop], version: int) -> Session:
            session = Session(claims.key, asked.session_id, user, claims.intents, hops, version)
            session.shard, session.generation = claims.shard, claims.generation
            return session

        resume = Resume(self._answers, link, key=claims.key, inbox=claims.inbox, seq=asked.seq, make=make)
        return await OneStart(self._answers, link).run(resume.steps())

    async def _user(self, token: str) -> tuple[User, int]:
        """Whose token it is, and its generation."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                user, generation = await self._known(token)
            except BadTokenError:
                raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token is not valid") from None
            except StoreUnavailableError:
                if time.monotonic() > deadline:
                    raise come_again("the database is away") from None
                await asyncio.sleep(RETRY_S)
            else:
                break
        if user is None:
            raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token's user does not exist any more")
        return user, generation

    async def _known(self, token: str) -> tuple[User | None, int]:
        """Whose token it is, from memory where the database is away, and its generation."""
        holder = await self._accounts.admit(token)
        try:
            return await self._guilds.user(holder.user), holder.generation
        except StoreUnavailableError:
            if (user := self._guilds.user_in_memory(holder.user)) is None:
                raise
            return user, holder.generation

    def _begin(self, shard: tuple[int, int] | None, session: Session, link: Link) -> None:
        """Send READY and the guilds. Only the last frame carries an `s` that can be resumed from."""
        kind = link.transport_kind
        guilds = [guild for guild in sorted(session.guilds) if guild in self._guilds.views]
        url = self._settings.public_gateway()
        frames = [("READY", ready(session.user, guilds, session.id, url, shard))]
        for guild in guilds:
            view = self._guilds.views[guild]
            session.shown[guild] = view.guild.version
            people = self._hub.people.part(view, session.user.id, session.intents)
            frames.append(
                ("GUILD_CREATE", guild_create(view, session.user.id, people, large_at=session.large_at))
            )
        last = len(frames) - 1
        s = self._hub.s
        parts = [
            wrap(dispatch(s if at == last else UNFINISHED, name, d), kind)
            for at, (name, d) in enumerate(frames)
        ]
        link.send(b"".join(parts))
