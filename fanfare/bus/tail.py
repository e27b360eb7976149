"""Following a topic, for people who want to see what goes through it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from fanfare.bus.aiokafka_internals import partitions_of
from fanfare.bus.careful import Careful
from fanfare.bus.client import KafkaAwayError, bootstrap, connection
from fanfare.bus.names import Names
from fanfare.bus.topics import TopicsError, list_topics
from fanfare.settings import Settings

__all__ = ["Seen", "tail"]


class Seen(NamedTuple):
    """One record as it stands in the log."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: list[tuple[str, bytes]]
    value: bytes | None


async def tail(
    settings: Settings,
    topic: str,
    *,
    from_beginning: bool = False,
    group: str | None = None,
    partition: int | None = None,
) -> AsyncGenerator[Seen, None]:
    """The records of a topic, for ever. Never commits for anybody but `group`.

    Args:
        settings: where Kafka is.
        topic: which one.
        from_beginning: not only what comes from now on. With a group it holds where the group has no commit.
        group: share the partitions with every process that tails with the same group; without a group, each process
            sees all records.
        partition: only this one; not with a group.

    Raises:
        KafkaAwayError: no broker answers.
        TopicsError: there is no such topic or partition.

    """
    names = Names(settings)
    if names.asked(topic) not in await list_topics(settings):
        raise TopicsError(f"there is no topic {topic}: `fanfare topics list` shows them")
    reader = AIOKafkaConsumer(
        **connection(settings),
        group_id=group and names.kafka(group),
        client_id=settings.process or "fanfare-tail",
        auto_offset_reset="earliest" if from_beginning else "latest",
        enable_auto_commit=group is not None,
        auto_commit_interval_ms=1000,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        # People stop a tail with Ctrl-C and start it again: their partitions should not wait for long.
        session_timeout_ms=max(settings.session_timeout_ms, 6000),
        heartbeat_interval_ms=500,
        fetch_max_wait_ms=100,
    )
    try:
        begins = await _begin(
            reader, settings, names.kafka(names.asked(topic)), group, partition, from_beginning=from_beginning
        )
        careful = Careful(reader)
        careful.begin(begins)
        while True:
            fetched = await careful.getmany(timeout_ms=1000)
            for messages in fetched.values():
                for message in messages:
                    yield _seen(message)
            # With a full buffer nothing above waits, and heartbeats have to be sent.
            await asyncio.sleep(0)
    finally:
        await reader.stop()


def _seen(message: Any) -> Seen:
    return Seen(
        message.partition,
        message.offset,
        message.timestamp,
        message.key,
        list(message.headers),
        message.value,
    )


async def _begin(
    reader: Any,
    settings: Settings,
    topic: str,
    group: str | None,
    partition: int | None,
    *,
    from_beginning: bool,
) -> dict[KafkaPartition, int]:
    """Connect, and stand at the right place of each partition before returning; where that is, without a group."""
    if group is not None:
        reader.subscribe([topic])
    try:
        await reader.start()
        if group is not None:
            return {}
        numbers = await partitions_of(reader, topic)
        if partition is not None and partition not in numbers:
            raise TopicsError(f"topic {topic} has no partition {partition}, only 0 to {max(numbers)}")
        chosen = [KafkaPartition(topic, number) for number in sorted(numbers) if partition in (None, number)]
        reader.assign(chosen)
        await (reader.seek_to_beginning(*chosen) if from_beginning else reader.seek_to_end(*chosen))
        return {each: await reader.position(each) for each in chosen}
    except (KafkaError, OSError) as error:
        raise KafkaAwayError(f"no Kafka broker answers at {bootstrap(settings)}: {error}") from None
