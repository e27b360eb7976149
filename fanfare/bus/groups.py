"""Consumer groups: their members, the partitions of each member, and how far behind it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError, NotCoordinatorForGroupError

from fanfare.bus.client import KafkaAwayError, admin, connection
from fanfare.bus.names import Names
from fanfare.settings import Settings

__all__ = ["GroupReader", "committed_offsets", "describe_groups", "end_offsets"]

_KNOWN_S: Final = 5.0

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
        self._known: _Known | None = None
        self._asking = asyncio.Lock()

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
        """The same as `describe_groups`; a group or topic that is new may be missing for 5 s."""
        kafka, client = self._names, self._admin
        try:
            known = await self._known_now()
            # One by one: aiokafka 0.14 reads answers about several groups wrongly (it takes version 3 for 2).
            answers = await asyncio.gather(
                *(
                    client.describe_consumer_groups([kafka.kafka(name)], at)
                    for name, at in known.groups.items()
                )
            )
            found = await asyncio.gather(
                *(committed_offsets(self._settings, client, name, at) for name, at in known.groups.items())
            )
        except (KafkaError, OSError) as error:
            raise _away(error) from None
        described = {kafka.ours(group[1]): group for (answer,) in answers for group in answer.groups}
        if any(group[0] == NotCoordinatorForGroupError.errno for group in described.values()):
            raise KafkaAwayError("the coordinator of a group has moved to another broker")
        committed = dict(zip(known.groups, found, strict=True))
        members = {name: _members(kafka, described[name][5]) for name in known.groups if name in described}
        partitions = {partition for offsets in committed.values() for partition in offsets}
        partitions |= {has for each in members.values() for member in each for has in member["has"]}
        bounds = await self._bounds(known, partitions)
        return {
            name: _group(str(described[name][2]), members[name], committed[name], bounds) for name in members
        }

    async def cluster(self) -> dict[str, int]:
        """How Kafka itself is, or was up to 5 s ago.

        Returns:
            The numbers of its `brokers`, and of the `partitions` of this installation's topics; how many of these are
            `behind` (a replica is not in sync) and have `no_leader`.

        Raises:
            KafkaAwayError: no broker answers.

        """
        try:
            return (await self._known_now()).cluster
        except (KafkaError, OSError) as error:
            raise _away(error) from None

    async def _known_now(self) -> "_Known":
        """What changes seldom, asked for every 5 s: answers about each topic there is take the most time to read."""
        async with self._asking:
            if self._known is None or time.monotonic() > self._known.until:
                client, names = self._admin, self._names
                topics = await client.describe_topics()
                brokers = (await client.describe_cluster())["brokers"]
                listed = names.listed({name for name, *_ in await client.list_consumer_groups()})
                at = await asyncio.gather(*(client.find_coordinator(names.kafka(name)) for name in listed))
                parts = [
                    part for topic in topics if names.is_ours(topic["topic"]) for part in topic["partitions"]
                ]
                self._known = _Known(
                    until=time.monotonic() + _KNOWN_S,
                    groups=dict(zip(listed, at, strict=True)),
                    topics=frozenset(topic["topic"] for topic in topics),
                    cluster={
                        "brokers": len(brokers),
                        "partitions": len(parts),
                        "behind": sum(len(part["isr"]) < len(part["replicas"]) for part in parts),
                        "no_leader": sum(part["leader"] < 0 for part in parts),
                    },
                )
            return self._known

    async def _bounds(self, known: "_Known", partitions: Iterable[tuple[str, int]]) -> Bounds:
        """First and next offset of each partition that exists; the first one as it was up to 5 s ago."""
        wanted = [tp for tp in map(self._names.partition, partitions) if tp.topic in known.topics]
        new = [tp for tp in wanted if tp not in known.begins]
        try:
            if new:
                known.begins |= await self._reader.beginning_offsets(new)
            ends = await self._reader.end_offsets(wanted) if wanted else {}
        except KafkaError as error:
            raise _away(error) from None
        return {self._names.back(tp): (known.begins[tp], ends[tp]) for tp in wanted}


@dataclass(slots=True)
class _Known:
    """What is asked for now and then."""

    until: float
    """By the monotonic clock."""
    groups: dict[str, int]
    """Of this installation, and the broker that coordinates each."""
    topics: frozenset[str]
    cluster: dict[str, int]
    begins: dict[Any, int] = field(default_factory=dict)
    """The first offset of each partition that was asked for."""


def _away(error: Exception) -> KafkaAwayError:
    return KafkaAwayError(f"Kafka did not answer: {error!r}")


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


async def committed_offsets(
    settings: Settings, client: Any, group: str, coordinator: int | None = None
) -> dict[tuple[str, int], int]:
    """What a group has committed, per partition of this installation.

    Args:
        settings: where Kafka is.
        client: an admin client.
        group: which.
        coordinator: the broker that coordinates it, where that is known.

    Raises:
        KafkaError: Kafka did not answer.

    """
    names = Names(settings)
    found = await client.list_consumer_group_offsets(names.kafka(group), coordinator)
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
    names = Names(settings)
    async with _reader(settings) as reader:
        try:
            there = await reader.topics()
            wanted = [tp for tp in map(names.partition, partitions) if tp.topic in there]
            found = await reader.end_offsets(wanted) if wanted else {}
        except KafkaError as error:
            raise _away(error) from None
    return {names.back(tp): end for tp, end in found.items()}


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
