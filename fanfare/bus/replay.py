"""Reading the end of a topic once, outside any group."""

from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from fanfare.bus.batches import Incoming, TopicPartition, decode
from fanfare.bus.client import connection
from fanfare.record import BadRecordError
from fanfare.settings import Settings

__all__ = ["replay"]

_FETCH_MS: Final = 500


async def replay(settings: Settings, topic: str, since_ms: int) -> AsyncIterator[list[Incoming]]:
    """All records appended since then, up to the end that the topic has now; each partition in its order.

    Records that cannot be decoded are left out: the workers set them aside.

    Args:
        settings: where Kafka is.
        topic: which one; it exists.
        since_ms: ms since 1970, by the brokers' clock.

    Raises:
        KafkaError: Kafka is away.

    """
    client: Any = AIOKafkaConsumer(
        **connection(settings), group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=1024 * 1024
    )
    try:
        await client.start()
        client.subscribe([topic])  # fetches the metadata of a topic that no group reads here
        numbers = await _partitions(client, topic)
        client.unsubscribe()
        partitions = [KafkaPartition(topic, number) for number in numbers]
        client.assign(partitions)
        ends = await client.end_offsets(partitions)
        starts = await client.offsets_for_times(dict.fromkeys(partitions, since_ms))
        open_ = set()
        for partition in partitions:
            start = starts[partition]
            if start is not None and start.offset < ends[partition]:
                client.seek(partition, start.offset)
                open_.add(partition)
            else:
                client.pause(partition)
        while open_:
            fetched = await client.getmany(*open_, timeout_ms=_FETCH_MS)
            for partition, messages in fetched.items():
                known = TopicPartition(partition.topic, partition.partition)
                yield [
                    found
                    for message in messages
                    if message.offset < ends[partition] and (found := _decoded(known, message)) is not None
                ]
            for partition in list(open_):
                if await client.position(partition) >= ends[partition]:
                    open_.discard(partition)
                    client.pause(partition)
    finally:
        await client.stop()


async def _partitions(client: Any, topic: str) -> list[int]:
    found = client.partitions_for_topic(topic)
    if not found:
        await client.topics()
        found = client.partitions_for_topic(topic)
    return sorted(found or ())


def _decoded(partition: TopicPartition, message: Any) -> Incoming | None:
    try:
        return decode(partition, message)
    except BadRecordError:
        return None
