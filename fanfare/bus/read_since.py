"""Reading the end of a topic once, outside any group."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from fanfare.bus.batches import Incoming, readable
from fanfare.bus.careful import Careful
from fanfare.bus.client import connection
from fanfare.bus.names import Names
from fanfare.settings import Settings
from fanfare.tasks import uninterrupted

__all__ = ["nonces_since", "read_since"]

_FETCH_MS: Final = 100
_START_S: Final = 2.0


async def nonces_since(settings: Settings, topic: str, since_ms: int) -> set[str]:
    """The nonces of all records appended since then. Arguments and errors as of `read_since`."""
    return {
        incoming.record.nonce
        async for batch in read_since(settings, topic, since_ms)
        for incoming in batch
        if incoming.record.nonce
    }


async def read_since(settings: Settings, topic: str, since_ms: int) -> AsyncGenerator[list[Incoming], None]:
    """All records appended since then, up to the end that the topic has now; each partition in its order.

    Records that cannot be decoded are left out: the workers set them aside.

    Args:
        settings: where Kafka is.
        topic: which one; it exists.
        since_ms: ms since 1970, by the brokers' clock.

    Raises:
        KafkaError: Kafka is away.

    """
    names = Names(settings)
    # Without a group a consumer has all partitions of its topic.
    client: Any = AIOKafkaConsumer(
        names.kafka(topic),
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        fetch_max_wait_ms=_FETCH_MS,
        max_partition_fetch_bytes=1024 * 1024,
    )
    try:
        # If this were cancelled in the middle, aiokafka would leave a connection open.
        await uninterrupted(client.start(), _START_S)
        partitions = sorted(client.assignment())
        if not partitions:
            raise KafkaError(f"no topic {topic}")
        ends = await client.end_offsets(partitions)
        starts = await client.offsets_for_times(dict.fromkeys(partitions, since_ms))
        begins = {}
        for partition in partitions:
            start = starts[partition]
            if start is not None and start.offset < ends[partition]:
                client.seek(partition, start.offset)
                begins[partition] = start.offset
            else:
                client.pause(partition)
        reader, open_ = Careful(client), set(begins)
        reader.begin(begins)
        while open_:
            fetched = await reader.getmany(*open_, timeout_ms=_FETCH_MS)
            for partition, messages in fetched.items():
                known = names.back(partition)
                end = ends[partition]
                yield readable(known, (message for message in messages if message.offset < end))
            for partition in list(open_):
                if await client.position(partition) >= ends[partition]:
                    open_.discard(partition)
                    client.pause(partition)
    finally:
        await client.stop()
