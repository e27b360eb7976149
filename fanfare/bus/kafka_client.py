"""The aiokafka producer beneath ours: connected, handed records, and replaced by another one when it is dead.

A client is dead when Kafka refused a record for good, when its own tasks ended, or when it does not get on though Kafka
takes records. Until another client is connected, nothing is handed over, so that order is kept.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from fanfare.bus.aiokafka_internals import fail_producer, partition_counts
from fanfare.bus.client import admin, bootstrap, connection
from fanfare.bus.lanes import Raw
from fanfare.bus.names import Names
from fanfare.bus.outage import Backoff, is_outage
from fanfare.bus.stuck import PROBE_S, Stuck
from fanfare.settings import Settings
from fanfare.tasks import end
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.trouble import Trouble

__all__ = ["KafkaClient", "StoppedError", "UnknownTopicError"]

# Records of one partition that wait while its last request is under way go out together, up to this.
_BATCH_BYTES: Final = 512 * 1024
_STOP_S: Final = 5.0
# A connection that hangs is given up after this, and its records go out over another connection.
_REQUEST_MS: Final = 10_000


class UnknownTopicError(Exception):
    """The topic was not there when the producer started: `fanfare topics create` makes it."""

    trouble: Final = Trouble.MISSING


class StoppedError(KafkaError):  # type: ignore[misc] # aiokafka is untyped
    """The record was handed over, and its acknowledgement will not come: it may stand in the log or not."""

    retriable = True

    def __init__(self) -> None:
        """The message is the same each time."""
        super().__init__("the producer was stopped")


class KafkaClient:
    """One aiokafka producer at a time."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], overdue: Callable[[], Collection[tuple[str, int]]]
    ) -> None:
        """Make a client; `start` connects.

        Args:
            settings: where Kafka is.
            topics: what will be produced to.
            overdue: (topic's name in Kafka, partition) of those whose oldest record waits for longer than it ever
                should.

        """
        self._settings = settings
        self._topics = topics
        self._overdue = overdue
        self._names = Names(settings)
        self._log = logs.get("producer")
        self._client: Any = None
        self._renewing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.counts: dict[str, int] = {}
        """Partitions of each topic, as far as is known."""
        self._problem = ""
        """What keeps it from connecting again, and does not pass by itself; or ''."""

    @property
    def connected(self) -> bool:
        """Whether records can be handed over."""
        return self._client is not None

    async def start(self) -> None:
        """Connect; waits as long as Kafka is away or the topics are not there, and says so once.

        Raises:
            SettingsError: there is no address, or a certificate cannot be read.
            KafkaError: Kafka refuses us for good, such as for a wrong password.

        """
        backoff = Backoff()
        while True:
            try:
                await self._find_topics()
                self._client = await self._connect()
            except UnknownTopicError as error:
                why = str(error)
            except (KafkaError, OSError) as error:
                if not is_outage(error):
                    raise
                why = f"no broker answers at {bootstrap(self._settings)}"
            else:
                break
            if backoff.first():
                self._log.warning("waiting for Kafka", action=Action.KAFKA_AWAY, why=why)
            await backoff.wait()
        if not backoff.first():
            self._log.info("Kafka is there", action=Action.KAFKA_BACK)
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="producer watch")

    @property
    def problem(self) -> str:
        """Why records will not get on, though Kafka is there; '' if they do."""
        if self._watching is not None and self._watching.done():
            return "the producer is watched no more, as the task that does it has ended: restart the process"
        if self._watching is not None and self._client is None and self._renewing is None:
            return "the producer has no connection, and nothing makes one: restart the process"
        return self._problem

    async def leave_be(self) -> None:
        """Replace the client no more, whatever it does."""
        if self._watching is not None:
            await end((self._watching,))
        if self._renewing is not None:
            await end((self._renewing,))

    async def close(self) -> None:
        """Disconnect; what Kafka has not taken after 5 s is given up."""
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def hand_over(self, name: str, partition: int, records: Sequence[Raw]) -> asyncio.Future[Any]:
        """Give records to aiokafka, at least one; waits where its buffer for the partition is full.

        Args:
            name: of the topic, in Kafka.
            partition: which.
            records: they stand in the log in this order.

        Returns:
            The future of what aiokafka says of the first record, once it has said it of all.

        Raises:
            StoppedError: the client was replaced meanwhile.
            KafkaError: aiokafka does not take them.

        """
        client = self._client
        if client is None:
            raise StoppedError
        try:
            if len(records) == 1:
                # Alone: aiokafka puts it into the batch that waits, where there is one.
                (one,) = records
                sent: asyncio.Future[Any] = await client.send(
                    name, value=one.value, key=one.key, partition=partition, headers=list(one.headers)
                )
                return sent
            return await _send_batches(client, name, partition, records)
        except ProducerClosed:
            raise StoppedError from None

    def failed(self, topic: str, error: BaseException) -> None:
        """Kafka refused a record: it misses one of aiokafka's sequence numbers, and would refuse all that follow."""
        if self._client is not None and self._renewing is None:
            self._log.error(
                "Kafka refused a record", action=Action.KAFKA_AWAY, topic=topic, error=repr(error)
            )
            self._replace()

    async def count(self) -> None:
        """Look how many partitions the topics have by now; records for new ones are taken from then on.

        Raises:
            KafkaError: Kafka is away.

        """
        if self._client is None:
            raise StoppedError
        found = await partition_counts(self._client, [self._names.kafka(name) for name in self._topics])
        self.counts = {name: max(self.counts[name], found[self._names.kafka(name)]) for name in self._topics}

    async def _find_topics(self) -> None:
        async with admin(self._settings) as client:
            found = {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}
        if missing := [name for name in map(self._names.kafka, self._topics) if not found.get(name)]:
            raise UnknownTopicError(f"no topic {', '.join(missing)}: `fanfare topics create` makes them")
        self.counts = {name: found[self._names.kafka(name)] for name in self._topics}

    async def _connect(self) -> Any:
        client = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            retry_backoff_ms=50,
            request_timeout_ms=_REQUEST_MS,
            client_id=f"fanfare-{self._settings.process or 'producer'}",
        )
        try:
            await client.start()
            for name in self._topics:  # known from now on, so that send() need not wait
                await client.partitions_for(self._names.kafka(name))
        except BaseException:
            await _close(client)
            raise
        return client

    async def _watch(self) -> None:
        """Replace a client that does not get on though it could."""
        stuck = Stuck(self._settings)
        while True:
            await asyncio.sleep(PROBE_S)
            client = self._client
            if client is None:
                stuck.replaced()
                continue
            try:
                why = await stuck.look(client, self._overdue())
            except Exception as error:  # noqa: BLE001 - if the watching task died, nothing would be watched
                self._log.error("the producer cannot be watched", action=Action.KAFKA_AWAY, error=repr(error))
                continue
            if why and client is self._client:
                self._log.error("the producer is stuck", action=Action.KAFKA_AWAY, why=why)
                self._replace()

    def _replace(self) -> None:
        """Put another client in the place of the present one."""
        client, self._client = self._client, None
        self._renewing = asyncio.get_running_loop().create_task(self._renew(client), name="producer renewal")

    async def _renew(self, old: Any) -> None:
        """Start with a new producer id.

        `start` waits while Kafka is away. Whatever else keeps it is said, and tried again: nobody else would notice.
        """
        backoff = Backoff()
        try:
            await _close(old)
            while True:
                try:
                    await self.start()
                except Exception as error:  # noqa: BLE001 - see above
                    self._problem = f"the producer cannot connect again: {error!r}"
                    if backoff.first():
                        self._log.error("not connected again", action=Action.KAFKA_AWAY, error=repr(error))
                    await backoff.wait()
                else:
                    self._problem = ""
                    return
        finally:
            self._renewing = None


async def _send_batches(
    client: Any, name: str, partition: int, records: Sequence[Raw]
) -> asyncio.Future[Any]:
    """Put records into batches of aiokafka's, as few as they fit into, and those into its queue."""
    parts = []
    builder = client.create_batch()
    for record in records:
        fields = {"timestamp": None, "key": record.key, "value": record.value}
        headers = list(record.headers)
        if builder.append(headers=headers, **fields) is None:  # it is full
            parts.append(await client.send_batch(builder, name, partition=partition))
            builder = client.create_batch()
            builder.append(headers=headers, **fields)
    builder.close()  # the sender may take it at any time
    parts.append(await client.send_batch(builder, name, partition=partition))
    return asyncio.ensure_future(_first(parts))


async def _first(parts: Sequence[asyncio.Future[Any]]) -> Any:
    """What was said of the first, when something was said of all."""
    return (await asyncio.gather(*parts))[0]


async def _close(client: Any) -> None:
    """Stop an aiokafka producer; what Kafka has not taken after 5 s is given up."""
    try:
        await asyncio.wait_for(client.stop(), _STOP_S)
    except TimeoutError:
        await fail_producer(client, StoppedError())
