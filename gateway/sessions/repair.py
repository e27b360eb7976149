"""Repairs the node after its inbox was lost: the I/O that gateway.sessions.repair_steps wishes for."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.bus.client import KafkaAwayError, admin
from fanfare.bus.errors import KafkaError
from fanfare.bus.groups import committed_offsets, end_offsets
from fanfare.bus.producer import NotHandedOverError, Producer
from fanfare.bus.read_from_offsets import RetentionPassedError, read_from_offsets
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.presence import inboxes
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.inboxes import InboxGoneError
from fanfare.record import Record
from fanfare.settings import Settings
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.protocol.codes import CloseCode
from gateway.recovery import path_store
from gateway.recovery.crossing import LastS, SendFence
from gateway.recovery.fences import Fences
from gateway.recovery.repair_rules import Offsets, SafeOffsets
from gateway.recovery.wishes import Now, Wish, fulfil, nothing_at_once
from gateway.registrations import PresenceWriter
from gateway.sessions import repair_steps as steps
from gateway.sessions.session_wishes import CheckWhole, Close, Forget

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Repairer"]

_NOTIFIER_GROUP: Final = "notifier"
_TRACK_S: Final = 3.0
_POLL_S: Final = 0.05
_RETRY_S: Final = 0.2
_AWAY: Final = (RedisError, KafkaError, OSError, NotHandedOverError, TimeoutError)


class Repairer:
    """Knows from where the deliveries are safe to read, and repairs."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis: Redis,
        producer: Producer,
        fences: Fences,
        hub: Hub,
        inbox: NodeInbox,
        presence: PresenceWriter,
        give_up: Callable[[], None],
    ) -> None:
        """Args: give_up: tells every session that it is not whole."""
        self._settings = settings
        self._redis = redis
        self._producer = producer
        self._fences = fences
        self._hub = hub
        self._inbox = inbox
        self._presence = presence
        self._safe = SafeOffsets({})
        self._reading: AsyncGenerator[tuple[TopicPartition, list[Incoming]], None] | None = None
        self._give_up = give_up
        self._log = logs.get("repair")

    async def start(self) -> None:
        """Take the deliveries' ends as safe: nobody is registered yet."""
        self._safe.restart(await self._ends())

    async def _ends(self) -> Offsets:
        while True:
            try:
                ends = await end_offsets(self._settings, self._partitions())
            except (KafkaAwayError, KafkaError):
                await asyncio.sleep(_RETRY_S)
            else:
                return {f"{topic}/{partition}": end for (topic, partition), end in ends.items()}

    async def track(self) -> None:
        """Follow what becomes safe; a supervised task."""
        while True:
            try:
                async with admin(self._settings) as client:
                    while True:
                        await asyncio.sleep(_TRACK_S)
                        await self._probe(client)
            except (*_AWAY, InboxGoneError):
                await asyncio.sleep(_TRACK_S)

    async def repair(self) -> None:
        """Put another inbox in the place of the lost one, and dispatch what was missed."""
        self._log.error("the inbox is lost", action=Action.INBOX_LOST, inbox=self._inbox.name)
        try:
            await fulfil(steps.repair(self._hub, self._safe), self._do, self._ask)
        finally:
            await self._stop_reading()
        self._log.info("repaired", action=Action.INBOX_LOST, inbox=self._inbox.name)

    def _do(self, wish: Now[Any]) -> Any:
        """Fulfil what the repair wishes for and is done at once."""
        match wish:
            case steps.Dispatch(entries):
                for entry in entries:
                    self._hub.take(entry)
                self._hub.settle()
            case Forget(session):
                self._hub.forget(session)
            case Close(session, reason):
                self._hub.close(session, CloseCode.UNKNOWN_ERROR, reason)
            case steps.Scopes():
                return self._presence.scopes()
            case steps.GiveUp():
                self._log.error("the missed events are not kept any more", action=Action.INBOX_LOST)
                self._give_up()
            case _:
                raise NotImplementedError(wish)
        return None

    async def _ask(self, wish: Wish[Any]) -> Any:
        """Fulfil what the repair wishes for and takes time."""
        if not isinstance(wish, steps.NextDeliveries):
            await self._stop_reading()
        try:
            return await self._answer(wish)
        except RetentionPassedError as error:
            raise steps.NotKeptError from error
        except _AWAY as error:
            raise steps.StoreAwayError(repr(error)) from error

    async def _answer(self, wish: Wish[Any]) -> Any:
        answer: Any = None
        match wish:
            case steps.CreateInbox(floor, newest):
                first_s = await self._inbox.create(floor, newest=newest, is_open=False)
                answer = self._inbox.name, first_s
            case steps.RegisterAll(inbox):
                await self._presence.move(inbox)
            case steps.RewriteMoves(moves):
                answer = await path_store.rewrite(self._redis, moves)
            case SendFence(targets):
                answer = await self._fences.send(targets)
            case steps.NextDeliveries(starts):
                answer = await self._next_deliveries(starts)
            case CheckWhole():
                await self._inbox.whole()
            case steps.OpenUp(inbox, cut, newest):
                await inboxes.open_up(self._redis, inbox, cut=cut, newest=newest)
            case steps.DeliveryEnds():
                answer = await self._ends()
            case steps.Pause(why):
                self._log.info("repair has to wait", action=Action.HOLD, error=str(why))
                await asyncio.sleep(_RETRY_S)
            case _:
                raise NotImplementedError(wish)
        return answer

    async def _next_deliveries(self, starts: Offsets) -> tuple[str, list[tuple[int, Record]]]:
        """The next batch of the deliveries, from a reader that is kept while nothing else is wished for."""
        if self._reading is None:
            self._reading = read_from_offsets(
                self._settings, {_partition(name): offset for name, offset in starts.items()}
            )
        partition, records = await anext(self._reading)
        return str(partition), [(incoming.offset, incoming.record) for incoming in records]

    async def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.aclose()

    async def _probe(self, client: Any) -> None:
        """Find out once what has become safe."""

        async def answer(wish: Wish[Any]) -> Any:
            match wish:
                case steps.Committed():
                    committed = await committed_offsets(self._settings, client, _NOTIFIER_GROUP)
                    return {
                        f"{topic}/{partition}": offset for (topic, partition), offset in committed.items()
                    }
                case LastS(inbox):
                    return await inboxes.last_s(self._redis, inbox)
                case steps.ReadSome():
                    return await asyncio.sleep(_POLL_S)
                case CheckWhole():
                    return await self._inbox.whole()
                case _:
                    raise NotImplementedError(wish)

        await fulfil(steps.track(self._hub, self._safe), nothing_at_once, answer)

    def _partitions(self) -> list[tuple[str, int]]:
        return [
            (deliveries, partition)
            for events, deliveries in DELIVERIES_OF.items()
            for partition in range(self._producer.partitions(events))
        ]


def _partition(name: str) -> TopicPartition:
    topic, partition = name.rsplit("/", 1)
    return TopicPartition(topic, int(partition))
