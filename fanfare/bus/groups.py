"""Consumer groups: their members, the partitions of each member, and how far behind it is."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError

from fanfare.bus.client import KafkaAwayError, admin, connection
from fanfare.bus.names import Names
from fanfare.settings import Settings

__all__ = ["GroupReader", "committed_offsets", "describe_groups", "end_offsets"]

Bounds = dict[tuple[str, int], tuple[int, int]]


class GroupReader:
    """Asks Kafka for its groups again and again, over connections that stay: `async with GroupReader(settings)`.

    After a KafkaAwayError make another one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = Names(settings)
        self._stack = AsyncExitStack()
        self._admin: Any = None
        self._reader: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            KafkaAwayError: no broker answers.

        """
        async with AsyncExitStack() as stack:
            self._admin = await stack.enter_async_context(admin(self._settings))
            self._reader = await stack.enter_async_context(_reader(self._settings))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def groups(self) -> dict[str, dict[str, Any]]:
        """The same as `describe_groups`."""
        kafka, client = self._names, self._admin
        try:
            ours = kafka.listed({name for name, *_ in await client.list_consumer_groups()})
            names = [kafka.kafka(name) for name in ours]
            # One by one: aiokafka 0.14 reads answers about several groups wrongly (it takes version 3 for 2).
            answers = await asyncio.gather(*(client.describe_consumer_groups([name]) for name in names))
            described = {kafka.ours(group[1]): group for (answer,) in answers for group in answer.groups}
            found = await asyncio.gather(*(committed_offsets(self._settings, client, name) for name in ours))
        except (KafkaError, OSError) as error:
            raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
        committed = dict(zip(ours, found, strict=True))
        members = {name: _members(kafka, described[name][5]) for name in ours if name in described}
        known = {partition for offsets in committed.values() for partition in offsets}
        known |= {has for each in members.values() for member in each for has in member["has"]}
        bounds = await _bounds(kafka, self._reader, known)
        return {
            name: _group(str(described[name][2]), members[name], committed[name], bounds) for name in members
        }

    async def cluster(self) -> dict[str, int]:
        """How Kafka itself is: the numbers of its `brokers`, and of the `partitions` of this installation's topics.

        Returns:
            Also how many of these partitions are `behind` (a replica is not in sync) and have `no_leader`.

        Raises:
            KafkaAwayError: no broker answers.

        """
        try:
            brokers = (await self._admin.describe_cluster())["brokers"]
            topics = await self._admin.describe_topics()
        except (KafkaError, OSError) as error:
            raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
        parts = [
            part for topic in topics if self._names.is_ours(topic["topic"]) for part in topic["partitions"]
        ]
        return {
            "brokers": len(brokers),
            "partitions": len(parts),
            "behind": sum(len(part["isr"]) < len(part["replicas"]) for part in parts),
            "no_leader": sum(part["leader"] < 0 for part in parts),
        }


async def describe_groups(settings: Settings) -> dict[str, dict[str, Any]]:
    """All consumer groups of this installation, by name.

    Returns:
        For each group `{"state", "members": [{"id", "client", "host", "partitions": ["topic/0"]}], "lag",
        "partitions": {"topic/0": {"committed", "end", "lag", "member"}}}`. `committed` is None where nothing
        was committed yet; the lag is then all that is in the log. `member` is the client's name, None where
        nobody has the partition.

    Raises:
        KafkaAwayError: no broker answers.

    """
    async with GroupReader(settings) as reader:
        return await reader.groups()


async def committed_offsets(settings: Settings, client: Any, group: str) -> dict[tuple[str, int], int]:
    """What a group has committed, per partition of this installation.

    Args:
        settings: where Kafka is.
        client: an admin client.
        group: which.

    Raises:
        KafkaError: Kafka did not answer.

    """
    names = Names(settings)
    found = await client.list_consumer_group_offsets(names.kafka(group))
    return {
        names.back(partition): at.offset
        for partition, at in found.items()
        if at.offset >= 0 and names.is_ours(partition.topic)
    }


async def end_offsets(
    settings: Settings, partitions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """For each partition the offset that its next record will get.

    Raises:
        KafkaAwayError: no broker answers.

    """
    async with _reader(settings) as reader:
        found = await _bounds(Names(settings), reader, partitions)
    return {partition: end for partition, (_, end) in found.items()}


def _members(kafka: Names, rows: Iterable[Any]) -> list[dict[str, Any]]:
    found = []
    for member_id, client, host, _, assignment, *_ in rows:
        has: list[tuple[str, int]] = []
        if assignment:
            for topic, partitions in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment:
                if kafka.is_ours(topic):
                    has += [(kafka.ours(topic), partition) for partition in partitions]
        found.append({"id": member_id, "client": client, "host": host.lstrip("/"), "has": sorted(has)})
    return sorted(found, key=lambda member: (member["client"], member["id"]))


def _group(
    state: str, members: list[dict[str, Any]], offsets: Mapping[tuple[str, int], int], bounds: Bounds
) -> dict[str, Any]:
    owners = {partition: member["client"] for member in members for partition in member["has"]}
    partitions = {}
    lag = 0
    for topic, number in sorted({*owners, *offsets}):
        begin, end = bounds.get((topic, number), (0, 0))  # (0, 0): the topic is gone
        done = offsets.get((topic, number))
        behind = max(end - (begin if done is None else max(done, begin)), 0)
        lag += behind
        member = owners.get((topic, number))
        partitions[f"{topic}/{number}"] = {"committed": done, "end": end, "lag": behind, "member": member}
    return {
        "state": state,
        "members": [
            {
                "id": member["id"],
                "client": member["client"],
                "host": member["host"],
                "partitions": [f"{topic}/{number}" for topic, number in member["has"]],
            }
            for member in members
        ],
        "lag": lag,
        "partitions": partitions,
    }


async def _bounds(names: Names, reader: Any, partitions: Iterable[tuple[str, int]]) -> Bounds:
    """First and next offset of each partition that exists."""
    try:
        there = await reader.topics()
        every = [names.partition(partition) for partition in partitions]
        wanted = [partition for partition in every if partition.topic in there]
        if not wanted:
            return {}
        begins, ends = await asyncio.gather(reader.beginning_offsets(wanted), reader.end_offsets(wanted))
    except KafkaError as error:
        raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
    return {names.back(tp): (begins[tp], ends[tp]) for tp in wanted}


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[Any]:
    """A consumer without a group."""
    reader = AIOKafkaConsumer(**connection(settings))
    try:
        try:
            await reader.start()
        except (KafkaError, OSError) as error:
            raise KafkaAwayError(f"no Kafka broker answers: {error}") from None
        yield reader
    finally:
        await reader.stop()
