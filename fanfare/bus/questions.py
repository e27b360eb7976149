"""Questions to Kafka that aiokafka's admin client does not ask: over a bootstrap connection, as nothing else may work.

With version 8 of Metadata and version 3 of DescribeGroups a broker says which operations the asking user is authorized
to (KIP-430).
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, UnknownError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String
from typing_extensions import override

from fanfare.bus.aiokafka_internals import ask
from fanfare.bus.client import admin, connection
from fanfare.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Broker", "Cluster", "Topic", "ask_cluster", "ask_configs", "ask_group", "unreachable"]

_TRY_S: Final = 3.0
_COORDINATOR_TRIES: Final = 20
_PAUSE_S: Final = 0.1


class _MetadataResponse(Response):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = list(topics)

    @override
    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self._topics, False, True, True)


class _GroupsStruct(DescribeGroupsRequest_v3):  # type: ignore[misc] # aiokafka is untyped
    # aiokafka 0.14 reads the answer as one of version 2.
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _Groups(Request[_GroupsStruct]):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    @override
    def build(self, request_struct_class: type[_GroupsStruct]) -> _GroupsStruct:
        return request_struct_class([self._group], True)


class Broker(NamedTuple):
    """A broker, where it says that it is (its advertised listener)."""

    node: int
    host: str
    port: int


class Topic(NamedTuple):
    """A topic, with what we may see of it."""

    name: str
    error: str
    """Name of Kafka's error, or ''."""
    partitions: int
    replicas: int
    """Of the partition that has the fewest."""
    operations: frozenset[int]
    """Codes of Kafka's AclOperation for what we may do."""


class Cluster(NamedTuple):
    """What a broker said."""

    id: str
    brokers: Sequence[Broker]
    topics: Sequence[Topic]
    operations: frozenset[int]


def _operations(bits: int) -> frozenset[int]:
    return frozenset(code for code in range(31) if bits >> code & 1)


@asynccontextmanager
async def _bootstrap(settings: Settings) -> "AsyncIterator[Any]":
    """A connection to the first bootstrap server that takes one.

    Raises:
        KafkaError: one refused us, or none answers; the message names each.

    """
    options = connection(settings)
    failed = []
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            conn = await create_conn(host, port, request_timeout_ms=int(_TRY_S * 1000), **options)
        except (KafkaError, OSError, TimeoutError) as error:
            if isinstance(error, KafkaError) and not error.retriable:
                raise
            failed.append(f"{host}:{port} ({error})")
            continue
        try:
            yield conn
        finally:
            conn.close()
        return
    raise UnknownError(f"no broker answers at {', '.join(failed)}")


async def ask_cluster(settings: Settings, topics: Collection[str]) -> Cluster:
    """Brokers, topics by their names in Kafka, and what we may do with them.

    Raises:
        KafkaError: one refused us, or none answers; the message names each.

    """
    async with _bootstrap(settings) as conn:
        answer = await conn.send(_Metadata(topics))
    found = answer.to_object()
    return Cluster(
        found["cluster_id"],
        [Broker(one["node_id"], one["host"], one["port"]) for one in found["brokers"]],
        [
            Topic(
                one["topic"],
                for_code(one["error_code"]).__name__ if one["error_code"] else "",
                len(one["partitions"]),
                min((len(part["replicas"]) for part in one["partitions"]), default=0),
                _operations(one["operations"]),
            )
            for one in found["topics"]
        ],
        _operations(found["operations"]),
    )


async def unreachable(brokers: Sequence[Broker]) -> dict[Broker, str]:
    """The brokers to which no connection can be made from here, and why."""

    async def try_it(broker: Broker) -> str:
        try:
            async with asyncio.timeout(_TRY_S):
                _, writer = await asyncio.open_connection(broker.host, broker.port)
        except (OSError, TimeoutError) as error:
            return str(error) or "no answer"
        writer.close()
        return ""

    said = await asyncio.gather(*map(try_it, brokers))
    return {broker: why for broker, why in zip(brokers, said, strict=True) if why}


async def ask_group(settings: Settings, group: str) -> frozenset[int]:
    """The operations on a group, by its name in Kafka, that we may carry out; none if we may not even see the group.

    Raises:
        KafkaError: Kafka is away.

    """
    async with admin(settings) as client:
        for _ in range(_COORDINATOR_TRIES):
            try:
                return await _ask_group(client, group)
            except GroupAuthorizationFailedError:
                return frozenset()
            except KafkaError as error:
                if not error.retriable:
                    raise
                why = (
                    error  # the coordinator of a new cluster, or of one that was moved, is not there at once
                )
            await asyncio.sleep(_PAUSE_S)
        raise why


async def _ask_group(client: Any, group: str) -> frozenset[int]:
    found = await ask(client, FindCoordinatorRequest(group, 0))
    if found.error_code:
        raise for_code(found.error_code)
    answer = await ask(client, _Groups(group), node=found.coordinator_id)
    (one,) = answer.to_object()["groups"]
    if one["error_code"]:
        raise for_code(one["error_code"])
    return _operations(one["authorized_operations"])


async def ask_configs(settings: Settings, kind: str, names: Collection[str]) -> dict[str, dict[str, str]]:
    """The settings that hold for topics, or for brokers by their numbers; of those that we may see.

    Raises:
        KafkaError: Kafka is away.

    """
    resources = [ConfigResource(ConfigResourceType[kind], name) for name in names]
    async with admin(settings) as client:
        answers = await client.describe_configs(resources) if resources else []
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for code, _, _, name, entries in answer.resources
        if not code
    }
