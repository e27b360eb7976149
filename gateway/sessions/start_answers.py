"""Does what the steps of starts wish for (`identify_steps`, `resume_steps`), on Redis, Kafka and the node's memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fanfare.presence import inboxes, keys
from fanfare.presence.client import Redis
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
from gateway.recovery.path_store import Moves
from gateway.recovery.registered import Asked, Registered
from gateway.recovery.tail import ReadBetween
from gateway.recovery.wishes import Now, Wish
from gateway.registrations import PresenceWriter
from gateway.sessions import resume_steps as steps
from gateway.sessions import session_wishes as wishes
from gateway.sessions.identify_steps import Begin
from gateway.sessions.missed_events import Replays, UnknownRightsError
from gateway.sessions.outcomes import EndError, come_again
from gateway.sessions.register import Entrance

if TYPE_CHECKING:
    from fanfare.presence.inboxes import InboxState

__all__ = ["OneStart", "StartAnswers", "turn"]

# Libraries give up on a start that takes a minute.
_TURN_S: Final = 30.0


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
    ) -> None:
        """Args: tails: may wait for entries of other nodes' inboxes; turns: places for resumes beyond the ring."""
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
        self.entrance = Entrance(hub, presence, store, guilds)
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

    __slots__ = ("_begin", "_deadline", "_held", "_link", "_node", "_tail")

    def __init__(
        self,
        node: StartAnswers,
        link: Link,
        held: AsyncExitStack,
        *,
        begin: Callable[[Session, Link], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            node: where it starts.
            link: the client's socket.
            held: closed by the caller when the start is over.
            begin: sends READY and the guilds.

        """
        self._node = node
        self._link = link
        self._held = held
        self._begin = begin
        self._deadline: float | None = None
        self._tail: Tail | None = None

    def do(self, wish: Now[Any]) -> Any:
        """Fulfil what is done at once."""
        hub = self._node.hub
        answer: Any = None
        match wish:
            case wishes.Limit(seconds):
                self._deadline = seconds and asyncio.get_running_loop().time() + seconds
            case wishes.Leave(session):
                self._node.entrance.leave(session)
            case wishes.Close(session, reason):
                hub.close(session, CloseCode.UNKNOWN_ERROR, reason)
            case wishes.Forget(session):
                hub.forget(session)
            case steps.Keep(session):
                hub.keep(session)
            case steps.Rewind(session, cursor):
                hub.catch_up.rewind(session, cursor)
            case steps.Replay():
                answer = self._replay(wish)
            case steps.Attach(session, link, cursor):
                hub.attach(session, link, cursor=cursor)
            case Begin(session, link):
                assert self._begin is not None
                self._begin(session, link)
                hub.attach(session, link)
            case _:
                raise NotImplementedError(wish)
        return answer

    def ask(self, wish: Wish[Any]) -> Awaitable[Any]:
        """Fulfil what takes time."""
        answer = self._answer(wish)
        # No coroutine around each answer where nothing limits it: thousands resume at one time.
        return answer if self._deadline is None else self._in_time(answer, self._deadline)

    async def _in_time(self, answer: Awaitable[Any], deadline: float) -> Any:
        async with asyncio.timeout_at(deadline):
            return await answer

    async def _answer(self, wish: Wish[Any]) -> Any:  # noqa: C901, PLR0912 - one line for each wish
        node = self._node
        answer: Any = None
        match wish:
            case wishes.UntilWhole():
                if not node.ready:  # no task for each start
                    await asyncio.wait_for(node.inbox.ready.wait(), steps.WAIT_S)
            case wishes.CheckWhole():
                await node.inbox.whole()
            case wishes.Enter(session):
                asked = await node.entrance.enter(session)
                answer = wishes.Entered(asked, ahead=bool(node.guilds.ahead.keys() & session.guilds))
            case steps.ReadMoves(key, known):
                answer = await node.moves.read(key, known)
            case steps.WriteMoves(key, expected, moved):
                answer = await node.moves.write(key, expected, moved)
            case steps.Turn(inbox, first):
                # The tail is held while waiting, so that what was read of it is there for all who come from it.
                self._tail = self._held.enter_context(node.tails.of(inbox, first))
                await self._held.enter_async_context(turn(node.turns, self._link))
            case ReadBetween(inbox, first, last):
                answer = await read_all(node.redis, inbox, first, last)
            case steps.State(inbox):
                answer = await node.states.of(inbox)
            case steps.Lease(name):
                found: Any = await node.redis.get(keys.lease(name))
                answer = (found or b"").decode()
            case LastS(inbox):
                answer = await inboxes.last_s(node.redis, inbox)
            case steps.Taken(s):
                await node.progress.when(s)
            case _:
                answer = await self._cross(wish)
        return answer

    async def _cross(self, wish: Wish[Any]) -> Any:
        """Fulfil what a session from another node's inbox wishes for."""
        node, tail = self._node, self._tail
        assert tail is not None
        answer: Any = None
        match wish:
            case steps.Cross(own, other, session):
                answer = await node.fences.join(own, other, session.key, session.version)
            case steps.ReadUntil(_, first, f):
                await tail.until(first, f)
            case steps.Registrations(inbox, session):
                one = Asked(inbox, session.user.id, session.key, frozenset(session.guilds))
                answer = await node.registered.missing(one)
            case steps.NotedGuilds(inbox, session):
                answer = await node.presence.guilds_of(session.user.id, session.key, inbox)
            case steps.Depart(_, other, _, crossing):
                assert isinstance(crossing, Crossing)
                answer = await node.fences.leave(crossing, other)
            case steps.ReadMarked(_, first, marker):
                await tail.upto(marker)
                answer = tail.entries(first, marker)
            case _:
                raise NotImplementedError(wish)
        return answer

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


@asynccontextmanager
async def turn(turns: asyncio.Semaphore, link: Link) -> AsyncIterator[None]:
    """Wait for a place among those that start now; the time limits of a start begin after that."""
    try:
        async with asyncio.timeout(_TURN_S):
            await turns.acquire()
    except TimeoutError:
        raise come_again("too many start at one time") from None
    try:
        if not link.open:
            raise EndError(CloseCode.UNKNOWN_ERROR, "gone while it waited")
        yield
    finally:
        turns.release()
