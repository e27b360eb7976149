"""The fan-out's work: a batch of events in, their deliveries out, in order and in the same partition."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from prometheus_client import Counter

from fanfare.bus.consumer import Incoming, TopicPartition
from fanfare.bus.producer import Producer, Raw
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.constants import NONCE_WINDOW_S
from fanfare.presence import keys
from fanfare.presence.client import Redis
from fanfare.presence.loss_token import LossToken
from fanfare.presence.scripts import SWAP, Script
from fanfare.record import Position
from fanfare.retries import First, first_of
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY
from fanout.plan import Decision, decide, delivery_headers, first_key

__all__ = ["FanOut", "NoncesLostError"]

DECISIONS: Final = Counter(
    "fanfare_fanout_events", "Events, by what became of them.", ["topic", "decision"], registry=REGISTRY
)
# A position is remembered for longer than a nonce, so that it outlives each send that carries that nonce.
_FIRST_TTL_S: Final = int(2 * NONCE_WINDOW_S)
_CLAIM: Final = Script("claim")


class NoncesLostError(ConnectionError):
    """Redis has lost writes, perhaps first positions of nonces: records wait until the gateways bring them back."""

    def __init__(self) -> None:
        super().__init__("Redis has lost writes: the gateways read the nonces from the log again")


class FanOut:
    """Handles batches of `*.events`."""

    def __init__(
        self,
        redis: Redis,
        loss: LossToken,
        producer: Producer,
        deliveries_of: Mapping[str, str] = DELIVERIES_OF,
    ) -> None:
        """Prepare.

        Args:
            redis: Redis.
            loss: of that client.
            producer: Kafka.
            deliveries_of: where the deliveries of an events topic go; both have the same partitions.

        """
        self._redis = redis
        self._producer = producer
        self._deliveries_of = deliveries_of
        self._loss = loss
        self._log = logs.get("fanout")

    async def handle(self, partition: TopicPartition, batch: Sequence[Incoming]) -> None:
        """Write the deliveries of a batch; returns when Kafka has them all.

        After an error the whole batch comes again. What was written before it is then written twice, which
        the inboxes drop: a position that is not above the highest one they have.
        """
        standing = await self._claim(batch)
        topic = self._deliveries_of[partition.topic]
        delivered = []
        dropped = []
        decided: dict[Decision, int] = {}
        for incoming, first in zip(batch, standing, strict=True):
            record = incoming.record
            decision = decide(record, incoming.appended_ms, first)
            decided[decision] = decided.get(decision, 0) + 1
            if decision is not Decision.DELIVER:
                dropped.append(f"{record.position} {decision}")
                continue
            headers = delivery_headers(incoming.headers, record.position)
            delivered.append(Raw(headers, record.payload, incoming.key))
        for decision, count in decided.items():
            DECISIONS.labels(partition.topic, decision).inc(count)
        if dropped:
            self._log.info("events dropped", action=Action.DROP, count=len(dropped), such_as=dropped[0])
        if delivered:
            await self._producer.has(topic, partition.partition)
            await self._producer.post_batch(topic, delivered, partition=partition.partition)

    async def _claim(self, batch: Sequence[Incoming]) -> list[Position | None]:
        """For each record with a nonce, the position that stands for it: its own if it comes first."""
        claims = [first_key(incoming.record) for incoming in batch]
        if not any(claims):
            return [None] * len(batch)
        pairs = zip(claims, batch, strict=True)
        claimed = [(key, First.of(incoming.record).packed) for key, incoming in pairs if key is not None]
        found = iter(await self._first_of(claimed))
        known: dict[str, First] = {}
        standing: list[Position | None] = []
        used_again: Any = self._redis.pipeline(transaction=False)
        for key, incoming in zip(claims, batch, strict=True):
            if key is None:
                standing.append(None)
                continue
            value = next(found)
            before = known.get(key) or (First.parse(value) if value else None)
            first = known[key] = first_of(incoming.record, before)
            standing.append(first.position)
            if before is not None and first != before and first.id > before.id:
                used_again.set(key, first.packed, ex=_FIRST_TTL_S)
        if used_again.command_stack:
            await used_again.execute()
        return standing

    async def _first_of(self, claimed: list[tuple[str, str]]) -> list[bytes]:
        """Note for each (key, position) that it comes first, where nothing stands there; answers what stood there.

        Raises:
            NoncesLostError: an earlier position may be missing in Redis.

        """
        token = await self._loss.of(self._redis)
        # One call and one answer: as many commands in a pipeline cost this process three times as much.
        names = [keys.nonces_ready(), *(key for key, _ in claimed)]
        answer: Any = await _CLAIM.run(
            self._redis, names, [token, _FIRST_TTL_S, *(value for _, value in claimed)]
        )
        if answer == b"lost":
            raise NoncesLostError
        if await self._loss.of(self._redis) != token:
            # Connected anew meanwhile, to a server that may have gone back to when the nonces were complete.
            await self._free([pair for pair, there in zip(claimed, answer, strict=True) if not there])
            raise NoncesLostError
        return list(answer)

    async def _free(self, claims: list[tuple[str, str]]) -> None:
        """Take claims back: an earlier position may have to stand there."""
        await SWAP.load(self._redis)
        pipe: Any = self._redis.pipeline(transaction=False)
        for key, value in claims:
            SWAP.queue(pipe, [key], [value, ""])
        await pipe.execute()
