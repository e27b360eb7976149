"""Messages on their way into Kafka, each once (docs/design.md, section 5, "Accepting a message").

A message on its way is a task of its own. It goes on after its sender has got the answer *unknown*, so that the outcome
is noted whenever it is known. A retry on this node joins the task; a retry on another node finds its nonce.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NamedTuple

from prometheus_client import Counter, Gauge

from fanfare.bus.outage import Backoff
from fanfare.bus.producer import NotHandedOverError, UnknownTopicError
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.clock import now_s
from fanfare.constants import CLOCK_SKEW_S, NONCE_WINDOW_S
from fanfare.ids import ClockSkewError, snowflake_ms
from fanfare.presence.client import Pipeline
from fanfare.presence.errors import RedisError
from fanfare.presence.snowflake_leases import NoWorkerNumberError
from fanfare.record import Position, Record
from fanfare.retries import Outcome, outcome_of
from fanfare.tasks import end
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY
from fanfare.time_limit import TimeLimit
from gateway.ingress import recent
from gateway.ingress.errors import ApiError, RefusedError, UnknownOutcomeError
from gateway.ingress.interfaces import Ids, Log
from gateway.ingress.nonces import Claim, Nonces
from gateway.ingress.recent import Seen
from gateway.ingress.redis_batch import RedisBatch
from gateway.listening.admission import Seldom

__all__ = ["Make", "Sends", "Sent"]

# How long an accepted message waits for its place in the cache before it is answered all the same.
_NOTE: Final = TimeLimit(0.5)
_FREE_S: Final = 0.25
# A message that is not handed over this long before its deadline is refused.
_HAND_OVER_S: Final = 1.0
# Looking again at a send that is under way on another node.
_POLL_FIRST_S: Final = 0.01
_POLL_LONGEST_S: Final = 0.1
# Notes that wait for Redis to come back; more are dropped.
_LATER: Final = 10_000

ANSWERS: Final = Counter(
    "fanfare_ingress_answers", "Sends, by how they were answered.", ["answer"], registry=REGISTRY
)
_ACCEPTED, _REFUSED, _UNKNOWN = map(ANSWERS.labels, ("accepted", "refused", "unknown"))
UNDER_WAY: Final = Gauge("fanfare_ingress_flights", "Messages handed over or about to be.", registry=REGISTRY)
UNNOTED: Final = Counter(
    "fanfare_ingress_unnoted", "Accepted messages that Redis did not take note of at once.", registry=REGISTRY
)


class Sent(NamedTuple):
    """An accepted message."""

    id: int
    channel: int
    body: bytes
    """Its JSON; empty for a retry of what was accepted before: read it where messages are read."""


Make = Callable[[int], Record]
"""Makes the record of a message with this id; its payload is the message."""

Exists = Callable[[int, int], Awaitable[bool]]
"""Arguments: channel and message."""


class _Posted(NamedTuple):
    """A record that was handed over."""

    done: "asyncio.Future[Position]"
    base: int
    """What to add to its offset: see `Log.base_now`."""


class Sends:
    """All messages on their way from this node."""

    def __init__(
        self, *, log: Log, batch: RedisBatch, nonces: Nonces, ids: Ids, node: str, exists: Exists
    ) -> None:
        """Prepare.

        Args:
            log: Kafka.
            batch: Redis.
            nonces: the claims of senders.
            ids: snowflakes.
            node: this process's, whose lease says that it lives.
            exists: whether a message is known to be in the log; False where nothing is known.

        """
        self._exists = exists
        self._log = log
        self._batch = batch
        self._nonces = nonces
        self._ids = ids
        self._node = node
        self._under_way: dict[tuple[int, int, str], asyncio.Task[Sent]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        UNDER_WAY.set_function(lambda: len(self._tasks))
        self._later_tasks: set[asyncio.Task[Any]] = set()
        self._logger = logs.get("ingress")
        self._skewed = Seldom()

    def next_id(self) -> int:
        """A snowflake. Raises: RefusedError: none can be made now."""
        try:
            return self._ids.next_id()
        except (NoWorkerNumberError, ClockSkewError) as error:
            raise RefusedError(str(error)) from error

    async def send(
        self, user: int, nonce: str, channel: int, make: Make, deadline: float, *, ident: int = 0
    ) -> Sent:
        """Send a message.

        Args:
            user: who sends it.
            nonce: names this send; empty: it has no retries.
            channel: where to.
            make: makes its record.
            deadline: when to answer at the latest, in the loop's time.
            ident: without a nonce, the message's id, made just now; 0: it is made here.

        Raises:
            RefusedError: it was not handed over.
            UnknownOutcomeError: it was, and nothing is known.

        """
        if not nonce:
            ident = ident or self.next_id()
            record = make(ident)
            posted = self._post(record)
            sending = self._start(self._land_plain(posted, record, ident))
        else:
            sending = self._under_way.get((user, channel, nonce)) or self._begin(
                user, nonce, channel, make, deadline
            )
        sent: Sent = await self._answer(sending, deadline)
        return sent

    async def change(self, record: Record, seen: list[int], body: bytes, deadline: float) -> None:
        """Produce a change of messages that exist.

        Args:
            record: the event.
            seen: ids of the messages changed.
            body: what they look like afterwards; empty: deleted.
            deadline: when to answer at the latest, in the loop's time.

        Raises:
            RefusedError: it was not handed over.
            UnknownOutcomeError: it was, and nothing is known.

        """

        def note(pipe: Pipeline, offset: int) -> None:
            for ident in seen:
                recent.put(pipe, Seen(record.channel, ident, offset, body))

        # Otherwise the cache would show the old state for long.
        await self.produce(record, note if seen else None, deadline)

    async def produce(
        self, record: Record, note: Callable[[Pipeline, int], None] | None, deadline: float
    ) -> None:
        """Produce a record that can be no repetition, and take note of it.

        Args:
            record: the event.
            note: queues what Redis is to know of it, given its offset; tried until Redis is back.
            deadline: when to answer at the latest, in the loop's time.

        Raises:
            RefusedError: it was not handed over.
            UnknownOutcomeError: it was, and nothing is known.

        """
        posted = self._post(record)

        async def land() -> None:
            position = await _acknowledged(posted)
            if note is None:
                return

            def queue(pipe: Pipeline) -> None:
                note(pipe, position.offset)

            await self._note(queue, queue)

        await self._answer(self._start(land()), deadline)

    async def close(self) -> None:
        """Stop waiting. What was handed over may still be accepted; other nodes settle its nonces."""
        while tasks := [*self._tasks, *self._later_tasks]:
            await end(tasks)

    def _post(self, record: Record) -> _Posted:
        try:
            base = self._log.base_now(CHAT_EVENTS)
            return _Posted(self._log.post(CHAT_EVENTS, record, key=record.channel), base)
        except NotHandedOverError as error:
            raise RefusedError(str(error), error.retry_after_s) from error
        except UnknownTopicError as error:
            raise RefusedError(str(error)) from error

    def _start(self, work: "Coroutine[Any, Any, Any]") -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work, name="sending")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ApiError):
            self._logger.error("a send failed", action=Action.REQUEST_FAILED, exc_info=error)

    @staticmethod
    async def _answer(sending: "asyncio.Task[Any]", deadline: float) -> Any:
        """The outcome of a sending; *unknown* if there is none by the deadline."""
        left = deadline - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait((sending,), timeout=max(left, 0))
        if not done or sending.cancelled():
            _UNKNOWN.inc()
            raise UnknownOutcomeError("Kafka has not acknowledged it yet")
        error = sending.exception()
        unknown = isinstance(error, UnknownOutcomeError)
        (_ACCEPTED if error is None else _UNKNOWN if unknown else _REFUSED).inc()
        return sending.result()

    async def _land_plain(self, posted: _Posted, record: Record, ident: int) -> Sent:
        position = await _acknowledged(posted)
        seen = Seen(record.channel, ident, position.offset, record.payload)
        await self._note(lambda pipe: recent.put(pipe, seen, new=True), None)
        return Sent(ident, record.channel, record.payload)

    def _begin(
        self, user: int, nonce: str, channel: int, make: Make, deadline: float
    ) -> "asyncio.Task[Sent]":
        key = (user, channel, nonce)
        sending = self._start(self._send_once(user, nonce, channel, make, deadline))
        self._under_way[key] = sending
        sending.add_done_callback(lambda _: self._under_way.pop(key, None))
        return sending

    async def _send_once(self, user: int, nonce: str, channel: int, make: Make, deadline: float) -> Sent:
        """The one send of a nonce at this node: claim it and produce, or find out what became of it."""
        pause = _POLL_FIRST_S
        wanted = self._nonces.mine(self.next_id(), channel)
        try:
            claim: Claim | None = await self._nonces.claim(user, nonce, wanted, deadline - _HAND_OVER_S)
        except BaseException:
            await self._free(user, nonce, wanted)
            raise
        while claim is not None and claim != wanted:
            if claim.accepted:
                return Sent(claim.id, claim.channel, b"")
            with suppress(RedisError):
                # A try under way in this node's name has ended: this is the only task of the nonce here.
                alive = claim.node != self._node
                if alive:
                    claim, alive = await self._nonces.look(user, channel, nonce, claim.node)
                if claim is not None and not claim.accepted and not alive:
                    taken = await self._nonces.take_over(user, nonce, claim)
                    if taken is not None:
                        return await self._go_on(user, nonce, taken, make)
                if claim is None or claim.accepted:
                    continue
            if asyncio.get_running_loop().time() + pause > deadline:
                raise UnknownOutcomeError("the first try with this nonce is still under way")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST_S)
        if claim is None:
            # The first try was refused and gave the nonce up.
            return await self._send_once(user, nonce, channel, make, deadline)
        return await self._produce(user, nonce, wanted, make)

    async def _go_on(self, user: int, nonce: str, mine: Claim, make: Make) -> Sent:
        """Finish what another try began: under its id, and not again where it is known to be in the log."""
        if await self._exists(mine.channel, mine.id):
            accepted = Claim(mine.id, mine.channel)
            await self._note(lambda pipe: self._nonces.settle(pipe, user, nonce, accepted), None)
            return Sent(mine.id, mine.channel, b"")
        _check_in_time(mine.id)
        return await self._produce(user, nonce, mine, make)

    async def _produce(self, user: int, nonce: str, mine: Claim, make: Make) -> Sent:
        try:
            record = make(mine.id)
            sent_s = now_s()
            posted = self._post(record)
        except BaseException:
            await self._free(user, nonce, mine)
            raise
        try:
            position = await _acknowledged(posted)
            self._check_kept(position, mine.id, sent_s)
        except RefusedError:
            await self._free(user, nonce, mine)
            raise
        accepted = Claim(mine.id, record.channel, "", position.offset)
        seen = Seen(record.channel, mine.id, position.offset, record.payload)

        def settle(pipe: Pipeline) -> None:
            self._nonces.settle(pipe, user, nonce, accepted)

        def note(pipe: Pipeline) -> None:
            settle(pipe)
            recent.put(pipe, seen, new=True)

        answers = await self._note(note, settle)
        stands = Claim.parse(answers[0]) if answers else accepted
        if stands.id != mine.id:
            # Redis lost the nonce while two tries were under way, and the other one stands first in the log.
            return Sent(stands.id, stands.channel, b"")
        return Sent(mine.id, record.channel, record.payload)

    def _check_kept(self, position: Position, ident: int, sent_s: float) -> None:
        """After the acknowledgement: whether the workers take the record, too.

        They drop a message that was appended long after its id was made, by the clock of the broker alone. So a broker
        whose clock is far ahead would swallow every message, each of which was answered as accepted.

        Raises:
            RefusedError: they drop it.
            UnknownOutcomeError: it took so long that they may.

        """
        ahead_s = self._log.ahead_s(position)
        outcome = outcome_of(
            ident, sent_ms=sent_s * 1000, acknowledged_ms=now_s() * 1000, ahead_ms=ahead_s * 1000
        )
        if outcome is Outcome.UNKNOWN:
            raise UnknownOutcomeError("Kafka took the message at the end of its nonce's window")
        if outcome is Outcome.DROPPED and ahead_s > CLOCK_SKEW_S:
            said = f"the clock of the broker that leads {position.topic}/{position.partition} is {ahead_s:.0f} s ahead"
            if self._skewed.now(time.monotonic()):
                self._logger.error("a message is dropped", action=Action.CLOCK, why=said)
            raise RefusedError(f"{said}: what is sent now is dropped")
        _check_in_time(ident)

    async def _note(
        self, note: Callable[[Pipeline], None], again: Callable[[Pipeline], None] | None
    ) -> list[Any] | None:
        """Take note in Redis for a moment; if that fails, go on trying `again` beside the answer."""
        try:
            async with _NOTE.each():
                return await self._batch.run(note)
        except (RedisError, TimeoutError):
            UNNOTED.inc()
            if again is not None:
                self._later(again)
            return None

    async def _free(self, user: int, nonce: str, mine: Claim) -> None:
        """Give a nonce up; if Redis is away, beside the answer."""
        try:
            async with asyncio.timeout(_FREE_S):
                await self._nonces.free(user, nonce, mine)
        except (RedisError, TimeoutError):
            self._later(lambda pipe: self._nonces.release(pipe, user, nonce, mine))

    def _later(self, queue: Callable[[Pipeline], None]) -> None:
        """Try until Redis is back, for as long as it matters."""
        if len(self._later_tasks) >= _LATER:
            return

        async def work() -> None:
            until = time.monotonic() + NONCE_WINDOW_S
            backoff = Backoff()
            while time.monotonic() < until:
                await backoff.wait()
                with suppress(RedisError):
                    await self._batch.run(queue)
                    return

        task = asyncio.get_running_loop().create_task(work(), name="note later")
        self._later_tasks.add(task)
        task.add_done_callback(self._later_tasks.discard)


async def _acknowledged(posted: _Posted) -> Position:
    """Where a record stands; of two of a channel the later one has the higher offset, also where partitions changed.

    Raises:
        RefusedError: it will never appear.
        UnknownOutcomeError: Kafka did not take it.

    """
    await asyncio.wait((posted.done,))
    if not posted.done.cancelled() and isinstance(error := posted.done.exception(), NotHandedOverError):
        raise RefusedError(str(error), error.retry_after_s)
    if posted.done.cancelled() or posted.done.exception() is not None:
        raise UnknownOutcomeError("Kafka has not acknowledged the message")
    position = posted.done.result()
    return position._replace(offset=position.offset + posted.base)


def _check_in_time(ident: int) -> None:
    """Raises: UnknownOutcomeError: it took so long that the fan-out may have dropped it."""
    if now_s() * 1000 - snowflake_ms(ident) > NONCE_WINDOW_S * 1000 / 2:
        raise UnknownOutcomeError("Kafka took the message too late")
