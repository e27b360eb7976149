"""Consumer groups: who is in them, what each member has, and how far behind it is."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError

from fanfare.bus.client import KafkaAwayError, admin, connection
from fanfare.settings import Settings

__all__ = ["describe_groups", "end_offsets"]

Bounds = dict[tuple[str, int], tuple[int, int]]


async def describe_groups(settings: Settings) -> dict[str, dict[str, Any]]:
    """All consumer groups, by name.

    Returns:
        For each group `{"state", "members": [{"id", "client", "host", "partitions": ["topic/0"]}], "lag",
        "partitions": {"topic/0": {"committed", "end", "lag", "member"}}}`. `committed` is None where nothing
        was committed yet; the lag is then all that is in the log. `member` is the client's name, None where
        nobody has the partition.

    Raises:
        KafkaAwayError: no broker answers.

    """
    async with admin(settings) as client:
        try:
            names = sorted({name for name, *_ in await client.list_consumer_groups()})
            # One by one: aiokafka 0.14 reads answers about several groups wrongly (it takes version 3 for 2).
            answers = await asyncio.gather(*(client.describe_consumer_groups([name]) for name in names))
            described = {group[1]: group for (answer,) in answers for group in answer.groups}
            committed = dict(
                zip(names, await asyncio.gather(*map(client.list_consumer_group_offsets, names)), strict=True)
            )
        except KafkaError as error:
            raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
    members = {name: _members(described[name][5]) for name in names if name in described}
    known = {(tp.topic, tp.partition) for offsets in committed.values() for tp in offsets}
    known |= {has for each in members.values() for member in each for has in member["has"]}
    bounds = await _bounds(settings, known)
    return {name: _group(str(described[name][2]), members[name], committed[name], bounds) for name in members}


async def end_offsets(
    settings: Settings, partitions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """For each partition the offset that its next record will get.

    Raises:
        KafkaAwayError: no broker answers.

    """
    return {partition: end for partition, (_, end) in (await _bounds(settings, partitions)).items()}


def _members(rows: Iterable[Any]) -> list[dict[str, Any]]:
    found = []
    for member_id, client, host, _, assignment, *_ in rows:
        has: list[tuple[str, int]] = []
        if assignment:
            for topic, partitions in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment:
                has += [(topic, partition) for partition in partitions]
        found.append({"id": member_id, "client": client, "host": host.lstrip("/"), "has": sorted(has)})
    return sorted(found, key=lambda member: (member["client"], member["id"]))


def _group(state: str, members: list[dict[str, Any]], committed: Any, bounds: Bounds) -> dict[str, Any]:
    owners = {partition: member["client"] for member in members for partition in member["has"]}
    offsets = {(tp.topic, tp.partition): found.offset for tp, found in committed.items() if found.offset >= 0}
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


async def _bounds(settings: Settings, partitions: Iterable[tuple[str, int]]) -> Bounds:
    """First and next offset of each partition that exists."""
    async with _reader(settings) as reader:
        try:
            there = await reader.topics()
            wanted = [KafkaPartition(*partition) for partition in partitions if partition[0] in there]
            if not wanted:
                return {}
            begins, ends = await asyncio.gather(reader.beginning_offsets(wanted), reader.end_offsets(wanted))
        except KafkaError as error:
            raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
    return {(tp.topic, tp.partition): (begins[tp], ends[tp]) for tp in wanted}


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
