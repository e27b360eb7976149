"""The topics (docs/design.md, section 3): what there is, and how it is made."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from fanfare.bus.client import KafkaAwayError, admin
from fanfare.bus.names import Names
from fanfare.settings import Settings

__all__ = [
    "APP_EVENTS",
    "CHAT_DELIVERIES",
    "CHAT_EVENTS",
    "DELIVERIES_OF",
    "GROWTH",
    "GUILD_DELIVERIES",
    "GUILD_EVENTS",
    "INSTALLATION",
    "LOCATION_DELIVERIES",
    "LOCATION_EVENTS",
    "PUSH_OUTBOX",
    "PartitionInfo",
    "TopicInfo",
    "TopicSpec",
    "TopicsError",
    "create_topics",
    "dead_letters_of",
    "describe",
    "differences",
    "list_topics",
    "specs",
]

CHAT_EVENTS: Final = "chat.events"
GUILD_EVENTS: Final = "guild.events"
LOCATION_EVENTS: Final = "location.events"
CHAT_DELIVERIES: Final = "chat.deliveries"
GUILD_DELIVERIES: Final = "guild.deliveries"
LOCATION_DELIVERIES: Final = "location.deliveries"
PUSH_OUTBOX: Final = "push.outbox"
APP_EVENTS: Final = "app.events"
"""What happens to entities, for the app to read: see fanfare.location.happenings."""
GROWTH: Final = "growth"
"""How far pairs of topics are that get more partitions: see fanfare.bus.growth_rules."""
INSTALLATION: Final = "installation"
"""Says whose topics these are: see fanfare.checks.installation."""

# Where the fan-out puts what comes from an events topic.
DELIVERIES_OF: Final = {
    CHAT_EVENTS: CHAT_DELIVERIES,
    GUILD_EVENTS: GUILD_DELIVERIES,
    LOCATION_EVENTS: LOCATION_DELIVERIES,
}

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_WAIT_S: Final = 60.0


class TopicsError(Exception):
    """Topics could not be made or described; the message says which and why."""


class TopicSpec(NamedTuple):
    """One topic as it should be."""

    name: str
    partitions: int
    retention_ms: int
    log_append_time: bool = False

    def config(self, replication: int) -> dict[str, str]:
        """Its settings in Kafka."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            # Only closed segments are deleted; a quiet topic would keep its records for a week.
            "segment.ms": str(max(self.retention_ms // 6, _HOUR_MS // 6)),
            "min.insync.replicas": "2" if replication >= 3 else "1",
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
        }


class PartitionInfo(NamedTuple):
    """One partition as it is."""

    partition: int
    leader: int
    replicas: list[int]
    in_sync: list[int]


class TopicInfo(NamedTuple):
    """One topic as it is."""

    name: str
    partitions: list[PartitionInfo]
    config: dict[str, str]
    """The settings that were made for the topic."""


def dead_letters_of(topic: str) -> str:
    """Where records of a topic go that cannot be processed."""
    return f"{topic}.dead-letters"


def specs(settings: Settings) -> dict[str, TopicSpec]:
    """Every topic, by name."""
    events = {
        CHAT_EVENTS: (settings.chat_partitions, 7 * _DAY_MS),
        GUILD_EVENTS: (settings.guild_partitions, 7 * _DAY_MS),
        LOCATION_EVENTS: (settings.location_partitions, _DAY_MS),
    }
    found = [TopicSpec(name, count, keep, log_append_time=True) for name, (count, keep) in events.items()]
    # The same partition count: a delivery goes to the partition of its event.
    found += [TopicSpec(DELIVERIES_OF[name], count, _HOUR_MS) for name, (count, _) in events.items()]
    found.append(TopicSpec(PUSH_OUTBOX, settings.chat_partitions, _DAY_MS))
    found += [TopicSpec(dead_letters_of(spec.name), 1, 30 * _DAY_MS) for spec in found]
    found.append(TopicSpec(APP_EVENTS, settings.location_partitions, 7 * _DAY_MS, log_append_time=True))
    found.append(TopicSpec(INSTALLATION, 1, -1))
    found.append(TopicSpec(GROWTH, 1, -1, log_append_time=True))
    return {spec.name: spec for spec in found}


async def create_topics(settings: Settings, wanted: Iterable[TopicSpec] | None = None) -> list[str]:
    """Make the topics that do not exist, and wait until each partition has a leader.

    Args:
        settings: where Kafka is, and partition counts; waits for `settings.brokers` brokers first.
        wanted: instead of all of `specs`.

    Returns:
        The names of those made now. Those that exist are left as they are: see `differences`.

    Raises:
        KafkaAwayError: no broker answers.
        TopicsError: Kafka refused, or a partition has no leader after a minute.

    """
    every = list(wanted) if wanted is not None else list(specs(settings).values())
    names = Names(settings)
    async with admin(settings) as client:
        try:
            replication = min(3, await _brokers(client, settings.brokers))
            there = set(await client.list_topics())
            missing = [spec for spec in every if names.kafka(spec.name) not in there]
            made = await _create(client, names, missing, replication)
            await _leaders(client, [names.kafka(spec.name) for spec in every])
        except KafkaError as error:
            raise KafkaAwayError(f"Kafka did not answer: {error!r}") from None
    return made


async def _brokers(client: Any, least: int) -> int:
    """The number of brokers, once there are enough."""
    for _ in range(int(_WAIT_S / 0.25)):
        count = len((await client.describe_cluster())["brokers"])
        if count >= least:
            return int(count)
        await asyncio.sleep(0.25)
    raise TopicsError(f"only {count} of {least} brokers came up")


async def _create(client: Any, names: Names, missing: list[TopicSpec], replication: int) -> list[str]:
    if not missing:
        return []
    answer = await client.create_topics(
        [
            NewTopic(
                names.kafka(spec.name), spec.partitions, replication, topic_configs=spec.config(replication)
            )
            for spec in missing
        ]
    )
    made = []
    for name, code, *message in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            continue  # somebody else was faster
        if code:
            raise TopicsError(f"topic {name}: {for_code(code).__name__} {message[0] if message else ''}")
        made.append(names.ours(name))
    return made


async def _leaders(client: Any, names: list[str]) -> None:
    """Wait until every partition has a leader."""
    for _ in range(int(_WAIT_S / 0.1)):
        found = await client.describe_topics(names)
        if all(topic["partitions"] and all(p["leader"] >= 0 for p in topic["partitions"]) for topic in found):
            return
        await asyncio.sleep(0.1)
    raise TopicsError(f"after {_WAIT_S:.0f} s not every partition of {', '.join(names)} has a leader")


async def list_topics(settings: Settings) -> list[str]:
    """The names of all topics but Kafka's own; with a prefix, of those that have it, without it."""
    async with admin(settings) as client:
        return Names(settings).listed(await client.list_topics())


async def describe(settings: Settings, names: Iterable[str]) -> list[TopicInfo]:
    """Partitions and settings of some topics.

    Raises:
        TopicsError: there is no such topic.

    """
    kafka = Names(settings)
    wanted = [kafka.kafka(kafka.asked(name)) for name in names]
    async with admin(settings) as client:
        configs: dict[str, dict[str, str]] = {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        for answer in await client.describe_configs(resources):
            for _, _, _, name, entries in answer.resources:
                # Source 1: set for this topic, not a default of the broker.
                configs[name] = {entry[0]: entry[1] for entry in entries if entry[3] == 1}
        found = []
        for topic in await client.describe_topics(wanted):
            if topic["error_code"]:
                raise TopicsError(f"topic {topic['topic']}: {for_code(topic['error_code']).__name__}")
            partitions = [
                PartitionInfo(p["partition"], p["leader"], list(p["replicas"]), list(p["isr"]))
                for p in topic["partitions"]
            ]
            name = topic["topic"]
            found.append(TopicInfo(kafka.ours(name), sorted(partitions), configs.get(name, {})))
        return found


def differences(info: TopicInfo, spec: TopicSpec) -> list[str]:
    """How a topic differs from what it should be, in words.

    Fanfare does not change any of this: another partition count would break the order of what is in the log, and an
    operator may have changed settings on purpose.
    """
    said = []
    # More of them is what `fanfare topics grow` makes.
    if len(info.partitions) < spec.partitions:
        said.append(f"{len(info.partitions)} partitions instead of {spec.partitions}")
    replication = min((len(p.replicas) for p in info.partitions), default=0)
    for name, value in spec.config(replication).items():
        if (there := info.config.get(name)) != value:
            said.append(f"{name}={there} instead of {value}")
    return said
