"""Does what the steps of starts wish for (`identify_steps`, `resume_steps`), on Redis, Kafka and the node's memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar, Final, TypeVar

from fanfare.presence import inboxes, keys
from fanfare.presence.client import Redis
from fanfare.presence.inboxes import InboxEntry, InboxState
from fanfare.store import Store
from fanfare.tasks import Shared
from fanfare.tokens import Holder
from gateway.accounts import Accounts
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Ring
from gateway.delivery.session import Link, Session
from gateway.guilds.cache import GuildCache
from gateway.protocol.codes import CloseCode
from gateway.recovery.crossing import LastS
from gateway.recovery.fences import Crossing, Fences
from gateway.recovery.other_inboxes import Tail, Tails, read_all
from gateway.recovery.path import Moved
from gateway.recovery.path_store import Moves
from gateway.recovery.registered import Asked, Missing, Registered
from gateway.recovery.tail import ReadBetween
from gateway.recovery.wishes import Now, Steps, Wish, Within, fulfil
from gateway.registrations import PresenceWriter
from gateway.sessions import resume_steps as steps
from gateway.sessions import session_wishes as wishes
from gateway.sessions.identify_steps import Begin
from gateway.sessions.missed_events import Replays, UnknownRightsError
from gateway.sessions.outcomes import EndError, come_again
from gateway.sessions.register import Entrance
from gateway.statuses.shown import Shown

__all__ = ["OneStart", "StartAnswers", "turn"]

# Libraries give up on a start that takes a minute.
_TURN_S: Final = 30.0
_T = TypeVar("_T")


class StartAnswers:
    """What the starts of a node share. It is also what their steps look at (`resume_steps.Node`)."""

    def __init__(
        self,
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
        turns: asyncio.Semaphore,
        shown: Shown,
    ) -> None:
        """Prepare.

        Args:
            redis: the primary.
            store: the database.
            fences: markers in the log.
            hub: the node's sessions.
            inbox: the node's.
            presence: the node's registrations.
            guilds: what it knows of them.
            accounts: whose tokens are whose.
            tails: may wait for entries of other nodes' inboxes.
            turns: places for resumes beyond the ring.
            shown: what is shown of statuses.

        """
        self.redis = redis
        self.hub = hub
        self.inbox = inbox
        self.guilds = guilds
        self.fences = fences
        self.presence = presence
        self.turns = turns
        self.tails = Tails(redis, tails)
        self.moves = Moves(redis)
        self.registered = Registered(redis)
        self.states: Shared[str, InboxState] = Shared(lambda name: inboxes.state(redis, name))
        self.entrance = Entrance(hub, presence, store, guilds, shown)
        self.replays = Replays(hub, guilds)
        self.resuming: set[str] = set()
        """Keys of the sessions that are being resumed."""
        self._accounts = accounts

    @property
    def progress(self) -> Progress:
        """How far the node has taken its inbox."""
        return self.hub.progress

    @property
    def ring(self) -> Ring:
        """The newest events."""
        return self.hub.ring

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The node's sessions by key."""
        return self.hub.sessions

    @property
    def token(self) -> str:
        """The loss token that the node's inbox was made under."""
        return self.inbox.token

    @property
    def ready(self) -> bool:
        """Whether the inbox is whole: not being repaired."""
        return self.inbox.ready.is_set()

    def stands(self, session: Session) -> bool:
        """Whether the token that the session began with was not revoked."""
        return self._accounts.stands(Holder(session.user.id, session.generation))

    def rest(self) -> None:
        """A resume is over: what several share is of no more use after the last of them."""
        if not self.resuming:
            self.replays.clear()


class OneStart:
    """Fulfils the wishes of one start."""

    __slots__ = ("_begin", "_link", "_node", "_place", "_tail")

    def __init__(
        self, node: StartAnswers, link: Link, *, begin: Callable[[Session, Link], None] | None = None
    ) -> None:
        """Prepare.

        Args:
            node: where it starts.
            link: the client's socket.
            begin: sends READY and the guilds.

        """
        self._node = node
        self._link = link
        self._begin = begin
        self._place: AsyncExitStack | None = None
        self._tail: Tail | None = None

    async def run(self, decided: Steps[_T]) -> _T:
        """Do what steps wish for; returns and raises what they do."""
        try:
            return await fulfil(decided, self.do, self.ask)
        finally:
            if self._place is not None:
                await self._place.aclose()

    def do(self, wish: Now[Any]) -> Any:
        """Fulfil what is done at once."""
        return self._AT_ONCE[type(wish)](self, wish)

    def ask(self, wish: Wish[Any]) -> Awaitable[Any]:
        """Fulfil what takes time."""
        return self._IN_TIME[type(wish)](self, wish)

    # At once

    def _leave(self, wish: wishes.Leave) -> None:
        self._node.entrance.leave(wish.session)

    def _close(self, wish: wishes.Close) -> None:
        self._node.hub.close(wish.session, CloseCode.UNKNOWN_ERROR, wish.reason)

    def _forget(self, wish: wishes.Forget) -> None:
        self._node.hub.forget(wish.session)

    def _keep(self, wish: steps.Keep) -> None:
        self._node.hub.keep(wish.session)

    def _rewind(self, wish: steps.Rewind) -> None:
        self._node.hub.catch_up.rewind(wish.session, wish.cursor)

    def _attach(self, wish: steps.Attach) -> None:
        self._node.hub.attach(wish.session, wish.link, cursor=wish.cursor)

    def _begin_session(self, wish: Begin) -> None:
        assert self._begin is not None
        self._begin(wish.session, wish.link)
        self._node.hub.attach(wish.session, wish.link)

    def _replay(self, wish: steps.Replay) -> bool:
        """Frames of what was missed, in the session's own form."""
        replays, session = self._node.replays, wish.session
        early = replays.early(session, wish.early)
        missed = replays.events(session, wish.owed, ring_from=wish.since, f=wish.f, unread=wish.unread)
        try:
            replays.put(session, wish.link, [*missed, *early])
        except UnknownRightsError:
            return False
        return True

    # What takes time

    async def _within(self, wish: Within[Any]) -> Any:
        async with asyncio.timeout(wish.seconds):
            return await fulfil(wish.steps, self.do, self.ask)

    async def _until_whole(self, _: wishes.UntilWhole) -> None:
        if not self._node.ready:  # no task for each start
            await asyncio.wait_for(self._node.inbox.ready.wait(), steps.WAIT_S)

    def _check_whole(self, _: wishes.CheckWhole) -> Awaitable[None]:
        return self._node.inbox.whole()

    async def _enter(self, wish: wishes.Enter) -> wishes.Entered:
        asked = await self._node.entrance.enter(wish.session)
        return wishes.Entered(asked, ahead=not self._node.guilds.ahead.keys().isdisjoint(wish.session.guilds))

    def _read_moves(self, wish: steps.ReadMoves) -> Awaitable[Moved | None]:
        return self._node.moves.read(wish.key, wish.known)

    def _write_moves(self, wish: steps.WriteMoves) -> Awaitable[bool]:
        return self._node.moves.write(wish.key, wish.expected, wish.moved)

    async def _turn(self, wish: steps.Turn) -> None:
        # The tail is held while waiting, so that what was read of it is there for all who come from it.
        self._place = AsyncExitStack()
        self._tail = self._place.enter_context(self._node.tails.of(wish.inbox, wish.first))
        await self._place.enter_async_context(turn(self._node.turns, self._link))

    def _read_between(self, wish: ReadBetween) -> Awaitable[list[InboxEntry]]:
        return read_all(self._node.redis, wish.inbox, wish.first, wish.last)

    def _state(self, wish: steps.State) -> Awaitable[InboxState]:
        return self._node.states.of(wish.inbox)

    async def _lease(self, wish: steps.Lease) -> str:
        found: Any = await self._node.redis.get(keys.lease(wish.node))
        return (found or b"").decode()

    def _last_s(self, wish: LastS) -> Awaitable[int]:
        return inboxes.last_s(self._node.redis, wish.inbox)

    def _taken(self, wish: steps.Taken) -> Awaitable[None]:
        return self._node.progress.when(wish.s)

    # What a session from another node's inbox wishes for

    def _cross(self, wish: steps.Cross) -> Awaitable[Crossing]:
        return self._node.fences.join(wish.own, wish.other, wish.session.key, wish.session.version)

    def _read_until(self, wish: steps.ReadUntil) -> Awaitable[None]:
        assert self._tail is not None
        return self._tail.until(wish.first, wish.f)

    def _registrations(self, wish: steps.Registrations) -> Awaitable[Missing]:
        session = wish.session
        one = Asked(wish.inbox, session.user.id, session.key, frozenset(session.guilds))
        return self._node.registered.missing(one)

    def _noted_guilds(self, wish: steps.NotedGuilds) -> Awaitable[list[int] | None]:
        session = wish.session
        return self._node.presence.guilds_of(session.user.id, session.key, wish.inbox)

    def _depart(self, wish: steps.Depart) -> Awaitable[tuple[int, int]]:
        assert isinstance(wish.crossed, Crossing)
        return self._node.fences.leave(wish.crossed, wish.other)

    async def _read_marked(self, wish: steps.ReadMarked) -> list[InboxEntry]:
        assert self._tail is not None
        await self._tail.upto(wish.marker)
        return self._tail.entries(wish.first, wish.marker)

    _AT_ONCE: ClassVar[dict[type[Now[Any]], Callable[..., Any]]] = {
        wishes.Leave: _leave,
        wishes.Close: _close,
        wishes.Forget: _forget,
        steps.Keep: _keep,
        steps.Rewind: _rewind,
        steps.Replay: _replay,
        steps.Attach: _attach,
        Begin: _begin_session,
    }
    _IN_TIME: ClassVar[dict[type[Wish[Any]], Callable[..., Awaitable[Any]]]] = {
        Within: _within,
        wishes.UntilWhole: _until_whole,
        wishes.CheckWhole: _check_whole,
        wishes.Enter: _enter,
        steps.ReadMoves: _read_moves,
        steps.WriteMoves: _write_moves,
        steps.Turn: _turn,
        ReadBetween: _read_between,
        steps.State: _state,
        steps.Lease: _lease,
        LastS: _last_s,
        steps.Taken: _taken,
        steps.Cross: _cross,
        steps.ReadUntil: _read_until,
        steps.Registrations: _registrations,
        steps.NotedGuilds: _noted_guilds,
        steps.Depart: _depart,
        steps.ReadMarked: _read_marked,
    }


@asynccontextmanager
async def turn(turns: asyncio.Semaphore, link: Link) -> AsyncIterator[None]:
    """Wait for a place among those that start now; the time limits of a start begin after that."""
    if turns.locked():
        try:
            async with asyncio.timeout(_TURN_S):
                await turns.acquire()
        except TimeoutError:
            raise come_again("too many start at one time") from None
    else:
        await turns.acquire()  # at once
    try:
        if not link.open:
            raise EndError(CloseCode.UNKNOWN_ERROR, "gone while it waited")
        yield
    finally:
        turns.release()
