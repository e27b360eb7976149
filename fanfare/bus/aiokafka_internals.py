"""Every name of aiokafka that is private to it and that we reach into, in one place.

aiokafka offers no other way to each of these. A name may go with any of its versions, so pyproject.toml bounds the
version, and `tests/unit/test_internals.py` looks for each name in the version that is installed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError

__all__ = [
    "ask",
    "consumer_tasks",
    "fail_producer",
    "is_member",
    "look_for_partitions",
    "partition_counts",
    "partitions_of",
    "producer_tasks",
    "replace_send",
]

Send = Callable[..., Awaitable[Any]]
"""Sends a request to a broker, by its id."""

_SENDER_S: Final = 1.0


def producer_tasks(producer: Any) -> Mapping[str, Any]:
    """A producer's own tasks, which are to live as long as it does; None for one that is not started yet."""
    return {"metadata": producer.client._sync_task, "sender": producer._sender.sender_task}  # noqa: SLF001


def consumer_tasks(consumer: Any) -> Mapping[str, Any]:
    """The same for a consumer that has joined its group."""
    return {
        "metadata": consumer._client._sync_task,  # noqa: SLF001
        "coordination": consumer._coordinator._coordination_task,  # noqa: SLF001
        "fetches": consumer._fetcher._fetch_task,  # noqa: SLF001
    }


def is_member(consumer: Any) -> bool:
    """Whether the group still counts this consumer among its members; once it does not, its partitions are lost."""
    return bool(consumer._coordinator.generation >= 0)  # noqa: SLF001


async def partition_counts(producer: Any, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions topics have now, by Kafka's names; the producer takes records for each from then on.

    Raises:
        KafkaError: Kafka is away.

    """
    if not await producer.client.force_metadata_update():
        raise KafkaError("no broker answers")
    return {topic: len(producer.client.cluster.partitions_for_topic(topic) or ()) for topic in topics}


async def look_for_partitions(consumer: Any, topic: str) -> int:
    """How many partitions a topic has now, by Kafka's name; a member of a group joins anew where there are more."""
    await consumer._client.force_metadata_update()  # noqa: SLF001
    return len(consumer._client.cluster.partitions_for_topic(topic) or ())  # noqa: SLF001


async def partitions_of(consumer: Any, topic: str) -> set[int]:
    """The partitions of a topic, by Kafka's name, which the consumer need not have asked for before.

    Raises:
        KafkaError: Kafka is away, or has no such topic.

    """
    return set(await consumer._client._wait_on_metadata(topic))  # noqa: SLF001


def replace_send(consumer: Any, make: Callable[[Send], Send]) -> None:
    """Replace the function by which a consumer sends requests: `make` gets the present one, and returns the new one."""
    client = consumer._client  # noqa: SLF001
    client.send = make(client.send)


async def ask(admin: Any, request: Any, *, node: int | None = None) -> Any:
    """A broker's answer to a request that the admin client has no method for; of any broker, or of the one named.

    Raises:
        KafkaError: Kafka is away.

    """
    if node is None:
        return await admin._send_request(request)  # noqa: SLF001
    return await admin._send_request_to_node(node, request)  # noqa: SLF001


async def fail_producer(producer: Any, error: Exception) -> None:
    """End a producer whose own `stop` waits for Kafka for ever; what it still holds fails with the error.

    These are the steps that `stop` would do next. The first of them may wait for ever, too.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(producer._sender.close(), _SENDER_S)  # noqa: SLF001
    producer._message_accumulator.fail_all(error)  # noqa: SLF001
    await producer.client.close()
