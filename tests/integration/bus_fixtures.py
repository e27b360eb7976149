"""Topics and groups of a test's own, on the Kafka of the shared stores."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from fanfare.bus.aiokafka_internals import partitions_of
from fanfare.bus.client import connection
from fanfare.bus.consumer import Consumer
from fanfare.bus.topics import TopicSpec, create_topics, dead_letters_of
from fanfare.settings import Settings

HOUR_MS = 3_600_000
SOON_S = 60


def unique(kind: str) -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}.{kind}"


async def own_topic(settings: Settings, kind: str = "events", partitions: int = 4) -> str:
    """A new topic and its dead letters."""
    name = unique(kind)
    specs = [TopicSpec(name, partitions, HOUR_MS, log_append_time=kind == "events")]
    await create_topics(settings, [*specs, TopicSpec(dead_letters_of(name), 1, HOUR_MS)])
    return name


async def until(true: Callable[[], Any]) -> None:
    """Wait until it is true; the test's patience is the limit."""
    async with asyncio.timeout(SOON_S):
        while not true():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(*consumers: Consumer) -> AsyncIterator[list[asyncio.Event]]:
    """Consumers at work; setting one's event stops it. What one died of is raised."""
    stops = [asyncio.Event() for _ in consumers]
    async with asyncio.TaskGroup() as tasks:
        for consumer, stop in zip(consumers, stops, strict=True):
            tasks.create_task(consumer.run(stop))
        try:
            yield stops
        finally:
            for stop in stops:
                stop.set()


async def read(settings: Settings, topic: str, count: int) -> list[Any]:
    """The first `count` records of a topic, in order within each partition."""
    reader = AIOKafkaConsumer(**connection(settings), auto_offset_reset="earliest", fetch_max_wait_ms=50)
    await reader.start()
    try:
        found: list[Any] = []
        numbers = await partitions_of(reader, topic)
        reader.assign([TopicPartition(topic, number) for number in numbers])
        async with asyncio.timeout(SOON_S):
            while len(found) < count:
                for messages in (await reader.getmany(timeout_ms=100)).values():
                    found += messages
        return found
    finally:
        await reader.stop()
