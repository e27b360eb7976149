"""Topics of a handful of records in one partition: read as a whole, and appended to one at a time."""

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from fanfare.bus.client import connection
from fanfare.bus.names import Names
from fanfare.settings import Settings

__all__ = ["append", "read_whole"]

_LIMIT_S: Final = 10.0


async def read_whole(settings: Settings, topic: str) -> list[bytes] | None:
    """The values of all records of a topic, oldest first; None if there is no such topic, or we may not see it.

    Raises:
        KafkaError: Kafka is away, or does not let us read.
        TimeoutError: Kafka is away.

    """
    reader: Any = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        # Not `seek_to_beginning`: aiokafka's own reset to the end may be under way already, and would win.
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    partition = Names(settings).partition((topic, 0))
    try:
        async with asyncio.timeout(_LIMIT_S):
            await reader.start()
            if partition.topic not in await reader.topics():
                return None
            reader.assign([partition])
            end = (await reader.end_offsets([partition]))[partition]
            found: list[bytes] = []
            while await reader.position(partition) < end:
                for messages in (await reader.getmany(timeout_ms=100)).values():
                    found += [message.value or b"" for message in messages]
            return found
    finally:
        await reader.stop()


async def append(settings: Settings, topic: str, value: bytes) -> None:
    """Append a record, and wait until all replicas have it.

    Raises:
        KafkaError: Kafka is away, or does not let us write.
        TimeoutError: Kafka is away.

    """
    producer: Any = AIOKafkaProducer(**connection(settings), acks="all", request_timeout_ms=5000)
    try:
        async with asyncio.timeout(_LIMIT_S):
            await producer.start()
            await producer.send_and_wait(Names(settings).kafka(topic), value, partition=0)
    finally:
        await producer.stop()
