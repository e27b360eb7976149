"""Repairs the node after its inbox was lost: the I/O around the decisions of gateway.recovery.repair_rules."""

import asyncio
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from fanfare.bus.batches import TopicPartition
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
from fanfare.settings import Settings
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.delivery.session import Session
from gateway.protocol.codes import CloseCode
from gateway.recovery import path_store
from gateway.recovery.fences import Fences
from gateway.recovery.path import Moved
from gateway.recovery.repair_rules import LEAP, RepairError, Replay, SafeOffsets, move_to
from gateway.registrations import PresenceWriter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Repairer"]

_NOTIFIER_GROUP: Final = "notifier"
_TRACK_S: Final = 3.0
_POLL_S: Final = 0.05
_RETRY_S: Final = 0.2
_PAGE: Final = 500
_AWAY: Final = (RedisError, KafkaError, OSError, NotHandedOverError, TimeoutError)


class Repairer:
    """Knows from where the deliveries are safe to read, and repairs."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        producer: Producer,
        fences: Fences,
        *,
        hub: Hub,
        inbox: NodeInbox,
        presence: PresenceWriter,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._producer = producer
        self._fences = fences
        self._hub = hub
        self._inbox = inbox
        self._presence = presence
        self._safe = SafeOffsets({})
        self.give_up: Callable[[], None] = lambda: None
        """Tell every session that it is not whole. The node replaces it."""
        self._log = logs.get("repair")

    async def start(self) -> None:
        """Take the deliveries' ends as safe: nobody is registered yet."""
        while True:
            try:
                ends = await end_offsets(self._settings, self._partitions())
            except (KafkaAwayError, KafkaError):
                await asyncio.sleep(_RETRY_S)
            else:
                break
        self._safe = SafeOffsets({f"{topic}/{partition}": end for (topic, partition), end in ends.items()})

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
        self._safe.lost()
        self._log.error("the inbox is lost", action=Action.INBOX_LOST, inbox=self._inbox.name)
        for session in self._hub.roster.away():
            self._hub.forget(session)
        while True:
            try:
                await self._attempt()
            except RetentionPassedError:
                self._log.error("the missed events are not kept any more", action=Action.INBOX_LOST)
                self.give_up()
                await self.start()
            except InboxGoneError:
                continue
            except (*_AWAY, RepairError) as error:
                self._log.info("repair has to wait", action=Action.HOLD, error=repr(error))
                await asyncio.sleep(_RETRY_S)
            else:
                self._log.info("repaired", action=Action.INBOX_LOST, inbox=self._inbox.name)
                return

    async def _attempt(self) -> None:
        hub = self._hub
        newest = dict(hub.progress.newest)
        first_s = await self._inbox.create(hub.s + LEAP, newest=newest, is_open=False)
        hub.progress.begin(self._inbox.name)
        await self._presence.move(self._inbox.name)
        await self._move_sessions()
        name = secrets.token_hex(8)
        f = await self._fences.send(name, {self._inbox.name})
        replay = Replay(
            fence=name,
            f=f,
            safe=self._safe.offsets,
            high=hub.progress.high,
            last_s=hub.s,
            first_s=first_s,
            scopes=self._presence.scopes(),
        )
        await self._replay(replay)
        await self._inbox.whole()
        await inboxes.open_up(self._redis, self._inbox.name, cut=replay.cut, newest=hub.progress.newest)
        self._safe.replayed(replay.reached)
        hub.progress.replaced(first_s, cut=replay.cut, high=replay.high)

    async def _replay(self, replay: Replay) -> None:
        starts = {_partition(name): offset for name, offset in replay.reached.items()}
        async with aclosing(read_from_offsets(self._settings, starts)) as batches:
            async for partition, records in batches:
                for incoming in records:
                    entry = replay.take(str(partition), incoming.offset, incoming.record)
                    if entry is not None:
                        self._hub.take(entry)
                self._hub.settle()
                if replay.done:
                    return

    async def _move_sessions(self) -> None:
        """Write where the sessions are now; close those that live elsewhere."""
        sessions = self._hub.roster.connected()
        for start in range(0, len(sessions), _PAGE):
            page = [(one, moved) for one in sessions[start : start + _PAGE] if (moved := self._move(one))]
            written = await path_store.rewrite(
                self._redis, [(session.key, session.version, moved) for session, moved in page]
            )
            for (session, moved), ours in zip(page, written, strict=True):
                if ours:
                    session.version, session.hops = moved.version, moved.hops
                else:
                    self._hub.close(session, CloseCode.UNKNOWN_ERROR, "resumed on another node")
                    self._hub.forget(session)

    def _move(self, session: Session) -> Moved | None:
        move = move_to(self._inbox.name, session.hops, session.version, None)
        return move.moved if move is not None else None

    async def _probe(self, client: Any) -> None:
        """Fetch what the notifiers have committed; it is safe once the inbox is read to the end it has now."""
        committed = await committed_offsets(self._settings, client, _NOTIFIER_GROUP)
        offsets = {f"{topic}/{partition}": offset for (topic, partition), offset in committed.items()}
        self._safe.probe(offsets, await inboxes.last_s(self._redis, self._inbox.name))
        while self._safe.probing and not self._safe.covered(self._hub.s):
            await asyncio.sleep(_POLL_S)
        read = self._hub.s
        await self._inbox.whole()
        self._safe.settle(read, whole=True)

    def _partitions(self) -> list[tuple[str, int]]:
        return [
            (deliveries, partition)
            for events, deliveries in DELIVERIES_OF.items()
            for partition in range(self._producer.partitions(events))
        ]


def _partition(name: str) -> TopicPartition:
    topic, partition = name.rsplit("/", 1)
    return TopicPartition(topic, int(partition))
