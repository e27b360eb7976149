"""Whether a Kafka is fit to be ours: what is asked, and what follows from the answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fanfare.bus.client import KafkaAwayError, tls_problem
from fanfare.bus.errors import IncompatibleBrokerVersion, KafkaError
from fanfare.bus.names import Names
from fanfare.bus.questions import (
    Broker,
    Cluster,
    Topic,
    ask_cluster,
    ask_configs,
    ask_group,
    unreachable,
)
from fanfare.bus.topics import DELIVERIES_OF, INSTALLATION, TopicSpec, specs
from fanfare.checks.findings import Finding, Level, error, waits, warning
from fanfare.checks.rights import KAFKA, PARQUET_GROUP
from fanfare.constants import NONCE_WINDOW_S, RESUME_WINDOW_S
from fanfare.settings import Settings

__all__ = ["check_kafka", "judge_brokers", "judge_configs", "judge_rights", "judge_timeouts", "judge_topics"]

_ABOUT: Final = "Kafka"
_RIGHTS: Final = "`fanfare rights kafka` prints the rights that are needed"
# Codes of org.apache.kafka.common.acl.AclOperation.
_READ, _WRITE, _DESCRIBE, _DESCRIBE_CONFIGS = 3, 4, 8, 10
_MESSAGE_BYTES: Final = 1_048_588


async def check_kafka(settings: Settings, roles: Sequence[str]) -> list[Finding]:
    """Ask the configured Kafka."""
    names = Names(settings)
    wanted = {topic for role in roles for topic in (*KAFKA[role].read, *KAFKA[role].write)}
    try:
        cluster = await ask_cluster(settings, [names.kafka(topic) for topic in sorted(wanted)])
        lost = await unreachable(cluster.brokers)
        found = judge_brokers(cluster.brokers, lost)
        found += judge_rights(names, roles, {topic.name: topic for topic in cluster.topics})
        found += judge_topics(names, specs(settings), cluster)
        if len(lost) < len(cluster.brokers):
            found += await _further(settings, names, roles, cluster)
    except (KafkaAwayError, OSError, TimeoutError) as away:
        return await _away(settings, str(away))
    except (NotImplementedError, IncompatibleBrokerVersion):
        return [
            error(_ABOUT, "the brokers are older than Kafka 2.3, which is the oldest that Fanfare works on")
        ]
    except KafkaError as said:
        found = [_refused(said)]
        return await _away(settings, found[0].said) if found[0].level is Level.WAITS else found
    return found


async def _away(settings: Settings, said: str) -> list[Finding]:
    """No broker could be asked: because of TLS, which is a wrong setting, or for now."""
    why = await tls_problem(settings)
    return [error(_ABOUT, why) if why else waits(_ABOUT, said)]


def _refused(said: KafkaError) -> Finding:
    kind = type(said).__name__
    if "Authentication" in kind or "Sasl" in kind or "Mechanism" in kind:
        return error(_ABOUT, f"it does not take FANFARE_KAFKA_SASL_USERNAME and its password: {said}")
    return (
        waits(_ABOUT, str(said)) if said.retriable or "no broker" in str(said) else error(_ABOUT, str(said))
    )


async def _further(settings: Settings, names: Names, roles: Sequence[str], cluster: Cluster) -> list[Finding]:
    """What has to be asked of the brokers themselves."""
    found: list[Finding] = []
    for role in roles:
        rights = KAFKA[role]
        # What an option needs is asked for where it is in use.
        wanted = [group for group in rights.groups if settings.parquet or group != PARQUET_GROUP]
        asked = [(group, _READ, "READ") for group in wanted]
        for group, code, right in (*asked, (rights.watched, _DESCRIBE, "DESCRIBE")):
            if group and code not in await ask_group(settings, names.kafka(group)):
                found.append(
                    error(_ABOUT, f"we have no right to {right} group {names.kafka(group)}: {_RIGHTS}")
                )
    seen = [
        topic.name for topic in cluster.topics if _DESCRIBE_CONFIGS in topic.operations and not topic.error
    ]
    configs = await ask_configs(settings, "TOPIC", seen)
    every = specs(settings)
    for topic in cluster.topics:
        if topic.name in configs:
            found += judge_configs(
                topic, every[names.ours(topic.name)], configs[topic.name], len(cluster.brokers)
            )
    if _DESCRIBE_CONFIGS in cluster.operations:
        brokers = await ask_configs(settings, "BROKER", [str(broker.node) for broker in cluster.brokers[:1]])
        for config in brokers.values():
            found += judge_timeouts(settings, config)
    return found


def judge_brokers(brokers: Sequence[Broker], lost: Mapping[Broker, str]) -> list[Finding]:
    """Whether the addresses that brokers give can be used from here."""
    said = [
        f"broker {broker.node} says that it is at {broker.host}:{broker.port} (its advertised.listeners), "
        f"which cannot be reached from here: {why}"
        for broker, why in lost.items()
    ]
    grade = waits if len(lost) == len(brokers) else warning
    return [grade(_ABOUT, text) for text in said]


def judge_rights(names: Names, roles: Sequence[str], topics: Mapping[str, Topic]) -> list[Finding]:
    """Whether each topic is there, and we may do with it what the roles have to."""
    found = []
    missing = []
    needs = {
        (topic, code, right)
        for role in roles
        for code, right, wanted in ((_READ, "READ", KAFKA[role].read), (_WRITE, "WRITE", KAFKA[role].write))
        for topic in wanted
    }
    for ours, code, right in sorted(needs):
        name = names.kafka(ours)
        topic = topics.get(name)
        if topic is None or topic.error == "UnknownTopicOrPartitionError":
            if ours != INSTALLATION and name not in missing:  # it came with a later version
                missing.append(name)
        elif topic.error == "TopicAuthorizationFailedError" or code not in topic.operations:
            found.append(error(_ABOUT, f"we have no right to {right} topic {name}: {_RIGHTS}"))
    if missing:
        found.append(
            waits(
                _ABOUT,
                f"no topic {', '.join(missing)} (or no right to DESCRIBE it): `fanfare topics create` makes them",
            )
        )
    return found


def judge_topics(names: Names, every: Mapping[str, TopicSpec], cluster: Cluster) -> list[Finding]:
    """Whether the topics are cut as they have to be."""
    found = []
    there = {topic.name: topic for topic in cluster.topics if not topic.error}
    for source, target in DELIVERIES_OF.items():
        one, two = there.get(names.kafka(source)), there.get(names.kafka(target))
        if one and two and one.partitions != two.partitions:
            found.append(
                error(
                    _ABOUT,
                    f"topic {one.name} has {one.partitions} partitions and {two.name} {two.partitions}: a delivery "
                    "goes to the partition of its event, so give both the larger number",
                )
            )
        if one and one.partitions != every[source].partitions:
            found.append(
                warning(
                    _ABOUT,
                    f"topic {one.name} has {one.partitions} partitions instead of {every[source].partitions}, as the "
                    "settings say; changing that moves channels to other partitions, so stop everything before",
                )
            )
    if len(cluster.brokers) >= 3:
        found += [
            warning(_ABOUT, f"topic {topic.name} has {topic.replicas} replicas, and there are three brokers")
            for topic in there.values()
            if topic.replicas < 3
        ]
    return found


def judge_configs(topic: Topic, spec: TopicSpec, config: Mapping[str, str], brokers: int) -> list[Finding]:
    """Whether a topic's settings fit: an error where messages would be lost or held, else a warning."""
    found = []

    def wrong(grade: Callable[[str, str], Finding], name: str, why: str) -> None:
        found.append(grade(_ABOUT, f"topic {topic.name} has {name}={config.get(name)}: {why}"))

    if "compact" in config.get("cleanup.policy", "delete") and spec.name != INSTALLATION:
        wrong(error, "cleanup.policy", "all but the newest record of a channel would vanish")
    if spec.log_append_time and config.get("message.timestamp.type") == "CreateTime":
        wrong(
            error,
            "message.timestamp.type",
            "set it to LogAppendTime: Fanfare needs that time to drop repeated sends",
        )
    if config.get("unclean.leader.election.enable") == "true":
        wrong(warning, "unclean.leader.election.enable", "accepted messages may be lost")
    in_sync = int(config.get("min.insync.replicas", "1"))
    if in_sync > topic.replicas:
        wrong(error, "min.insync.replicas", f"it has {topic.replicas} replicas, so nothing can be written")
    elif in_sync < 2 and brokers >= 3:
        wrong(
            warning,
            "min.insync.replicas",
            "set it to 2: with three brokers, a record is then kept when one of them is lost",
        )
    _sizes(spec, config, wrong)
    return found


def _sizes(
    spec: TopicSpec,
    config: Mapping[str, str],
    wrong: Callable[[Callable[[str, str], Finding], str, str], None],
) -> None:
    """What a topic keeps, and takes."""
    keep_ms = int(config.get("retention.ms", "-1"))
    least_s = 2 * NONCE_WINDOW_S if spec.log_append_time else RESUME_WINDOW_S
    if 0 <= keep_ms < least_s * 1000:
        wrong(error, "retention.ms", f"records have to be kept for at least {least_s:.0f} s")
    elif 0 <= keep_ms < spec.retention_ms:
        wrong(warning, "retention.ms", f"`fanfare topics create` makes it {spec.retention_ms}")
    if int(config.get("retention.bytes", "-1")) >= 0:
        wrong(warning, "retention.bytes", "a burst may delete what has not been read yet")
    if int(config.get("max.message.bytes", str(_MESSAGE_BYTES))) < _MESSAGE_BYTES:
        wrong(
            warning,
            "max.message.bytes",
            f"a larger record holds its partition; Kafka's default is {_MESSAGE_BYTES}",
        )


def judge_timeouts(settings: Settings, config: Mapping[str, str]) -> list[Finding]:
    """Whether the settings of a broker fit."""
    found = []
    least = int(config.get("group.min.session.timeout.ms", "0"))
    most = int(config.get("group.max.session.timeout.ms", "1800000"))
    if not least <= settings.session_timeout_ms <= most:
        found.append(
            error(
                _ABOUT,
                f"FANFARE_SESSION_TIMEOUT_MS is {settings.session_timeout_ms}, and the brokers take {least} "
                f"(group.min.session.timeout.ms) to {most}",
            )
        )
    if config.get("auto.create.topics.enable") == "true":
        found.append(
            warning(
                _ABOUT,
                "auto.create.topics.enable is true: a topic made by chance has wrong settings; let only "
                "`fanfare topics create` make ours, before anything else runs",
            )
        )
    return found
