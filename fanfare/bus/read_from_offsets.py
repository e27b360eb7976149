"""Reading partitions from known offsets on, outside any group."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError

from fanfare.bus.batches import Incoming, TopicPartition, readable
from fanfare.bus.careful import Careful
from fanfare.bus.client import connection
from fanfare.bus.names import Names
from fanfare.settings import Settings

__all__ = ["RetentionPassedError", "read_from_offsets"]

_WAIT_MS: Final = 200


class RetentionPassedError(Exception):
    """Records from these offsets on are not kept any more."""


async def read_from_offsets(
    settings: Settings, starts: Mapping[TopicPartition, int]
) -> AsyncGenerator[tuple[TopicPartition, list[Incoming]], None]:
    """The records of the partitions from these offsets on, each partition in its order, without end.

    Records that cannot be decoded are left out: the workers set them aside.

    Args:
        settings: where Kafka is.
        starts: offset of the first record wanted, per partition.

    Raises:
        RetentionPassedError: records are missing at the start.
        KafkaError: Kafka is away.

    """
    client: Any = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=_WAIT_MS,
    )
    names = Names(settings)
    wanted = {names.partition(partition): offset for partition, offset in starts.items()}
    try:
        await client.start()
        client.assign(list(wanted))
        kept = await client.beginning_offsets(list(wanted))
        if any(kept[partition] > offset for partition, offset in wanted.items()):
            raise RetentionPassedError
        for partition, offset in wanted.items():
            client.seek(partition, offset)
        reader = Careful(client)
        reader.begin(wanted)
        while True:
            try:
                fetched = await reader.getmany(timeout_ms=_WAIT_MS)
            except OffsetOutOfRangeError:
                raise RetentionPassedError from None
            for partition, messages in fetched.items():
                at = names.back(partition)
                yield at, readable(at, messages)
    finally:
        await client.stop()
