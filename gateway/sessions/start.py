"""How sessions begin: IDENTIFY, and RESUME from memory, from the own inbox, or from another node's.

The rules are those of docs/design.md, section 5: register, wait until Redis has it, take the snapshot, and only then
tell the client; on another node, cut the two histories with a fence and raise the own inbox above the other one.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from fanfare.bus.producer import NotHandedOverError
from fanfare.constants import EARLY_NUMBERS, FENCE_TIMEOUT_S
from fanfare.model import User
from fanfare.presence import inboxes, keys
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.inboxes import InboxEntry, InboxGoneError, InboxState
from fanfare.settings import Settings
from fanfare.store import Store, StoreUnavailableError
from fanfare.tasks import Shared
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.tokens import BadTokenError, Holder
from gateway import metrics
from gateway.accounts import Accounts
from gateway.delivery.catch_up import resumed
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.delivery.ring import Event
from gateway.delivery.session import Link, Session, is_membership
from gateway.guilds.cache import GuildCache
from gateway.guilds.snapshot import guild_create, ready
from gateway.protocol.codes import CloseCode
from gateway.protocol.dialogue import Identify, Resume
from gateway.protocol.frames import dispatch, wrap
from gateway.protocol.session_ids import BadSessionIdError, Claims, SessionIds
from gateway.recovery.fences import Fences
from gateway.recovery.other_inboxes import Tail, Tails, read_all
from gateway.recovery.path import Hop, Moved, path, reaches, segment, split_at, unregistered
from gateway.recovery.path_store import Moves, MovesGoneError
from gateway.recovery.registered import Asked, Registered
from gateway.registrations import PresenceWriter
from gateway.sessions.missed_events import Replays, UnknownRightsError
from gateway.sessions.register import RETRY_S, Entrance

__all__ = ["EndError", "InvalidSessionError", "Starter"]

# How long a start waits for the database or Redis before the client is told to come again.
_WAIT_S: Final = 10.0
# Starts that need more than the ring, under way at one time. When all clients come at once, more would only run into
# the time limits together, and come again, and so on.
_TURNS: Final = 256
# Libraries give up on a start that takes a minute.
_TURN_S: Final = 30.0
# `s` of all but the last frame of a start: no inbox has it, so a start cut short cannot be resumed.
UNFINISHED: Final = 1


class EndError(Exception):
    """The connection has to be closed."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class InvalidSessionError(Exception):
    """The session cannot be resumed whole: the client is told, and identifies anew. The message is for metrics."""


class Starter:
    """Starts and resumes the sessions of a node."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        store: Store,
        fences: Fences,
        *,
        hub: Hub,
        inbox: NodeInbox,
        presence: PresenceWriter,
        guilds: GuildCache,
        accounts: Accounts,
        tails: Redis,
    ) -> None:
        """Args: tails: a client of its own, which may wait for entries of other nodes' inboxes."""
        self._settings = settings
        self._redis = redis
        self._hub = hub
        self._inbox = inbox
        self._guilds = guilds
        self._accounts = accounts
        self._ids = SessionIds(settings.secret.get_secret_value())
        self._fences = fences
        self._tails = Tails(redis, tails)
        self._moves = Moves(redis)
        self._registered = Registered(redis)
        self._presence = presence
        self._states: Shared[str, InboxState] = Shared(lambda inbox: inboxes.state(redis, inbox))
        self._entrance = Entrance(hub, presence, store, guilds)
        self._replays = Replays(hub, guilds)
        # Apart, because those wait for the database, these for Kafka.
        self._starts, self._moves_under_way = asyncio.Semaphore(_TURNS), asyncio.Semaphore(_TURNS)
        self._resuming: set[str] = set()
        self._log = logs.get("starter")

    async def identify(self, link: Link, asked: Identify) -> Session:
        """Start a session and send READY and its guilds.

        Raises:
            EndError: the token is wrong, or a store was away for too long.

        """
        async with _turn(self._starts, link):
            return await self._identify(link, asked)

    async def _identify(self, link: Link, asked: Identify) -> Session:
        user, generation = await self._user(asked.token)
        await self._until_whole()
        shard = asked.shard or (0, 1)
        claims = Claims(
            secrets.token_hex(8), user.id, asked.intents, shard, self._hub.inbox, generation=generation
        )
        hops = [Hop(claims.inbox)]
        session = Session(claims.key, self._ids.issue(claims), user, asked.intents, hops, 0)
        session.shard, session.generation = shard, generation
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._entrance.enter(session)
        except TimeoutError:
            raise EndError(CloseCode.UNKNOWN_ERROR, "Redis or the database is away: come again") from None
        self._still_here(session, link, claims.inbox)
        # No await from here on: the snapshot is the node's state at `s`.
        link.send(self._start(session, link, asked.shard))
        self._hub.attach(session, link)
        metrics.STARTS.inc()
        return session

    async def resume(self, link: Link, asked: Resume) -> Session:
        """Go on with a session; send what was missed and RESUMED.

        Raises:
            InvalidSessionError: it cannot be had whole.
            EndError: it cannot be had now, or the token is wrong.

        """
        started = time.monotonic()
        user, generation = await self._user(asked.token)
        await self._until_whole()
        try:
            claims = self._ids.read(asked.session_id)
        except BadSessionIdError:
            raise InvalidSessionError("unknown") from None
        if claims.user != user.id or asked.seq <= UNFINISHED:
            raise InvalidSessionError("of another user, or cut short at its start")
        if claims.generation != generation:
            raise InvalidSessionError("its token was revoked")
        if claims.key in self._resuming:
            raise EndError(CloseCode.UNKNOWN_ERROR, "the session is being resumed already: come again")
        self._resuming.add(claims.key)
        try:
            way, session = await self._resume(link, claims, asked.session_id, user, asked.seq)
        except InboxGoneError:
            raise InvalidSessionError("inbox gone") from None
        except (RedisError, OSError, NotHandedOverError, TimeoutError) as error:
            self._log.info("resume has to wait", action=Action.RESUME, why=repr(error))
            raise EndError(CloseCode.UNKNOWN_ERROR, "a store is away: come again") from error
        finally:
            self._resuming.discard(claims.key)
            if not self._resuming:
                self._replays.clear()
        metrics.RESUMES.labels(way).inc()
        metrics.RESUME_SECONDS.labels(way).observe(time.monotonic() - started)
        return session

    async def _resume(
        self, link: Link, claims: Claims, session_id: str, user: User, seq: int
    ) -> tuple[str, Session]:
        own = self._hub.inbox
        known = self._hub.sessions.get(claims.key)
        try:
            found = await self._moves.read(claims.key, known.version if known is not None else 0)
        except MovesGoneError:
            # Whoever has it writes them again within seconds; it may also be nobody.
            raise InvalidSessionError("its moves are gone") from None
        moved = found or Moved(0, [Hop(claims.inbox)])
        # An emptied or rolled back Redis looks as if the session had never moved.
        await self._check_inbox()
        known = self._hub.sessions.get(claims.key)
        if known is not None and known.version > moved.version:
            moved = Moved(known.version, known.hops)
        hops = path(moved.hops, seq)
        if hops is None:
            raise InvalidSessionError("before its path")
        home = hops[-1].inbox == own
        if home and seq > self._hub.s:
            raise InvalidSessionError("seq too high")
        if known is not None and known.version == moved.version and home and hops[-1].t <= seq:
            if await self._from_ring(link, known, seq):
                return "ring", known
            known = None
        session = Session(claims.key, session_id, user, claims.intents, list(moved.hops), moved.version)
        session.shard, session.generation = claims.shard, claims.generation
        # Held while waiting, so that what was read of it is there for all who come from it.
        with self._tails.of(hops[-1].inbox, hops[-1].after(seq)) as tail:
            async with _turn(self._moves_under_way, link):
                self._still_here(session, link, own)
                try:
                    async with asyncio.timeout(_WAIT_S):
                        asked = await self._entrance.enter(session)
                    self._check_caught_up(session)
                    if home:
                        await self._from_stream(link, session, hops, seq, asked=asked)
                    else:
                        await self._adopt(link, session, hops, seq, tail, asked=asked)
                except BaseException:
                    self._entrance.leave(session)
                    raise
        return "stream" if home else "adopted", session

    async def _from_ring(self, link: Link, session: Session, seq: int) -> bool:
        """Resume a session that memory has, from the ring; False if the ring does not reach that far."""
        own = self._hub.inbox
        if self._hub.ring.floor > seq:
            return False
        await self._take_over(session, session.hops)
        self._still_here(session, link, own)
        if self._hub.sessions.get(session.key) is not session or self._hub.ring.floor > seq:
            raise EndError(CloseCode.UNKNOWN_ERROR, "too slow: come again")
        if session.link is not None:
            self._hub.close(session, CloseCode.UNKNOWN_ERROR, "resumed on another connection")
        session.skip = session.hops[-1].f or None
        session.announce = (self._hub.ring.end, self._hub.s)
        cursor = self._hub.ring.after(seq)
        self._hub.catch_up.rewind(session, cursor)
        self._hub.attach(session, link, cursor=cursor)
        return True

    async def _from_stream(
        self, link: Link, session: Session, hops: list[Hop], seq: int, *, asked: bool
    ) -> None:
        """Resume in the own inbox from before the ring, or a session that memory does not have."""
        own, last = self._hub.inbox, hops[-1]
        first = last.after(seq)
        entries = await read_all(self._redis, own, first, None)
        upto = min(self._hub.s, max((entry.s for entry in entries), default=first))
        owed = await self._walk(session, hops, seq, Hop("", upto), entries)
        _check_known(session, owed, asked=asked)
        self._still_here(session, link, own)
        await self._take_over(session, hops)
        self._still_here(session, link, own)
        if upto < max(self._hub.ring.floor, last.t):
            raise EndError(CloseCode.UNKNOWN_ERROR, "too slow: come again")
        self._hub.keep(session)
        after = self._hub.ring.after(upto)
        unread = [one.record for one in entries if one.s > self._hub.s and one.record is not None]
        self._replay(session, link, self._replays.events(session, owed, ring_from=after, f={}, unread=unread))
        session.skip = last.f or None
        session.announce = (self._hub.ring.end, self._hub.s)
        self._hub.attach(session, link, cursor=after)

    async def _adopt(
        self, link: Link, session: Session, hops: list[Hop], seq: int, tail: Tail, *, asked: bool
    ) -> None:
        """Resume a session whose present inbox is another node's (docs/design.md: RESUME on another node)."""
        own = self._hub.inbox
        other, first = hops[-1].inbox, hops[-1].after(seq)
        seen = self._hub.ring.end
        if seq > await inboxes.last_s(self._redis, other):
            # It would raise our own inbox as high as the client likes.
            raise InvalidSessionError("seq too high")
        async with asyncio.timeout(FENCE_TIMEOUT_S):
            crossing = await self._fences.join(own, other, session.key, session.version)
            await tail.until(first, crossing.f)
            # After the fence: what comes later than that is in the own inbox.
            await self._check_registered(session, other)
            marker, t = await self._fences.leave(crossing, other)
            await tail.upto(marker)
            entries = tail.entries(first, marker)
            hop = Hop(own, t, split_at(crossing.f, entries, _scopes(session), marker), crossing.since)
            owed = await self._walk(session, hops, seq, hop, entries)
            _check_known(session, owed, asked=asked)
            await self._hub.progress.when(t)
        self._still_here(session, link, own)
        if self._entrance.membership_changed(session.user.id, seen):
            raise EndError(CloseCode.UNKNOWN_ERROR, "a guild was joined or left meanwhile: come again")
        # Before any frame goes out: else its client comes back with numbers that are on nobody's path.
        await self._take_over(session, [*hops, hop])
        # From here on the session is this node's, whether or not its client is still there to hear of it.
        self._hub.keep(session)
        self._still_here(session, link, own)
        if self._hub.ring.floor > hop.since:
            raise EndError(CloseCode.UNKNOWN_ERROR, "too slow: come again")
        early = self._replays.early(session, hop)
        if len(early) >= EARLY_NUMBERS:
            raise EndError(CloseCode.UNKNOWN_ERROR, "too much came meanwhile: come again")
        since = self._hub.ring.after(hop.since)
        missed = self._replays.events(session, owed, ring_from=since, f=hop.f, unread=())
        self._replay(session, link, [*missed, *early])
        session.replay.append(resumed(t, link.transport_kind))
        session.skip = hop.f
        self._hub.attach(session, link, cursor=self._hub.ring.after(t))

    def _replay(self, session: Session, link: Link, events: list[Event]) -> None:
        """Frames of what was missed; a session that cannot be given all of it is forgotten."""
        try:
            self._replays.put(session, link, events)
        except UnknownRightsError as error:
            self._hub.forget(session)
            raise InvalidSessionError("rights not known") from error

    async def _take_over(self, session: Session, hops: list[Hop]) -> None:
        """Write where the session is from now on, at home too.

        So an attempt on another node that its client has given up cannot write its move any more.
        """
        moved = Moved(session.version + 1, hops)
        if not await self._moves.write(session.key, session.version, moved):
            raise EndError(CloseCode.UNKNOWN_ERROR, "another node was faster: come again")
        session.version, session.hops = moved.version, moved.hops

    async def _walk(
        self, session: Session, hops: list[Hop], seq: int, end: Hop, last: list[InboxEntry]
    ) -> list[InboxEntry]:
        """What the session is owed from the inboxes on its path, checked to be whole.

        Args:
            session: whose.
            hops: the path from where the client is.
            seq: where the client is.
            end: up to its base and, if it has one, its fence.
            last: the entries of the last hop's inbox.

        """
        owed: list[InboxEntry] = []
        tokens = set()
        for hop, following in zip(hops, [*hops[1:], end], strict=True):
            after = max(seq, hop.base)
            first = hop.after(after)
            state = await self._states.of(hop.inbox)
            tokens.add(state.token)
            if not state.open:
                present = await self._redis.get(keys.lease(hop.inbox.rpartition(".")[0]))
                if present != hop.inbox.encode():
                    # Its node died at it, or began again with the next generation.
                    raise InvalidSessionError("inbox never repaired")
                raise EndError(CloseCode.UNKNOWN_ERROR, "the inbox is being repaired: come again")
            at_end = following is end
            upto = following.base
            entries = last if at_end else await read_all(self._redis, hop.inbox, first, upto)
            _check_whole(session, entries, state.newest, first)
            owed += segment(entries, hop, after=after, upto=upto, next_f=following.f or None, cut=state.cut)
        # After all was read: whatever was lost before shows now.
        await self._check_inbox()
        if tokens != {self._inbox.token}:
            raise InvalidSessionError("inbox not whole")
        return owed

    # Parts of a start

    async def _check_inbox(self) -> None:
        """Raises EndError if Redis may have lost writes, those to our own inbox among them."""
        try:
            await self._inbox.whole()
        except InboxGoneError:
            raise EndError(CloseCode.UNKNOWN_ERROR, "the inbox was lost: come again") from None

    async def _check_registered(self, session: Session, other: str) -> None:
        """Raises InvalidSessionError if what was for a session may have passed by the inbox that it comes from."""
        user, key = session.user.id, session.key
        gone = await self._registered.missing(Asked(other, user, key, frozenset(session.guilds)))
        if gone.session:
            raise InvalidSessionError("its registration is gone")
        if gone.guilds:
            # A guild that it joined while nobody was there to register it is no loss.
            noted = await self._presence.guilds_of(user, key, other)
            if noted is None or not gone.guilds.isdisjoint(noted):
                raise InvalidSessionError("its guild's registration is gone")

    def _check_caught_up(self, session: Session) -> None:
        """Raises EndError if it cannot be told yet how a guild was where the session's client is."""
        if self._guilds.ahead.keys() & session.guilds:
            raise EndError(CloseCode.UNKNOWN_ERROR, "a guild is changing: come again")

    async def _user(self, token: str) -> tuple[User, int]:
        """Whose token it is, and its generation."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                user, generation = await self._known(token)
            except BadTokenError:
                raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token is not valid") from None
            except StoreUnavailableError:
                if time.monotonic() > deadline:
                    raise EndError(CloseCode.UNKNOWN_ERROR, "the database is away: come again") from None
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

    async def _until_whole(self) -> None:
        """Wait while the inbox is being repaired."""
        if self._inbox.ready.is_set():
            return  # no task for each start
        try:
            await asyncio.wait_for(self._inbox.ready.wait(), _WAIT_S)
        except TimeoutError:
            raise EndError(CloseCode.UNKNOWN_ERROR, "Redis is away: come again") from None

    def _still_here(self, session: Session, link: Link, inbox: str) -> None:
        """End a start whose connection or inbox is gone, or whose token was revoked meanwhile."""
        if not self._accounts.stands(Holder(session.user.id, session.generation)):
            self._entrance.leave(session)
            raise EndError(CloseCode.AUTHENTICATION_FAILED, "the token was revoked")
        if link.open and self._hub.inbox == inbox and self._inbox.ready.is_set():
            return
        self._entrance.leave(session)
        raise EndError(CloseCode.UNKNOWN_ERROR, "the node's inbox was lost: come again")

    def _start(self, session: Session, link: Link, shard: tuple[int, int] | None) -> bytes:
        """READY and the guilds. Only the last frame carries an `s` that can be resumed from."""
        kind = link.transport_kind
        guilds = [guild for guild in sorted(session.guilds) if guild in self._guilds.views]
        url = self._settings.public_gateway()
        frames = [("READY", ready(session.user, guilds, session.id, url, shard))]
        for guild in guilds:
            view = self._guilds.views[guild]
            session.shown[guild] = view.guild.version
            frames.append(("GUILD_CREATE", guild_create(view, session.user.id)))
        last = len(frames) - 1
        return b"".join(
            wrap(dispatch(self._hub.s if at == last else UNFINISHED, name, d), kind)
            for at, (name, d) in enumerate(frames)
        )


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore, link: Link) -> AsyncIterator[None]:
    """Wait for a place among those that start now; the time limits of a start begin after that."""
    try:
        async with asyncio.timeout(_TURN_S):
            await turns.acquire()
    except TimeoutError:
        raise EndError(CloseCode.UNKNOWN_ERROR, "too many start at one time: come again") from None
    try:
        if not link.open:
            raise EndError(CloseCode.UNKNOWN_ERROR, "gone while it waited")
        yield
    finally:
        turns.release()


def _check_known(session: Session, owed: list[InboxEntry], *, asked: bool) -> None:
    """Raises EndError if the database has to be asked for a guild that was joined on the way, and is away."""
    user = session.user.id
    if not asked and any(is_membership(one.record, user) for one in owed if one.record is not None):
        raise EndError(CloseCode.UNKNOWN_ERROR, "the database is away: come again")


def _scopes(session: Session) -> list[str]:
    return [f"u:{session.user.id}", *(f"g:{guild}" for guild in session.guilds)]


def _check_whole(session: Session, entries: list[InboxEntry], newest: Mapping[str, int], after: int) -> None:
    """Raises InvalidSessionError if entries after `s` that are for the session may be missing."""
    scopes = _scopes(session)
    if not reaches(entries, newest, scopes, after):
        raise InvalidSessionError("out of reach")
    if unregistered(entries, scopes, after):
        raise InvalidSessionError("unregistered")
