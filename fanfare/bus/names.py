"""What our topics and groups are called in Kafka: the names of docs/design.md, behind the prefix of the installation.

Only the modules that talk to Kafka know the prefix. Everything else (positions in inboxes and headers, metrics, logs,
commands) has the names without it. So data can be moved to an installation with another prefix, and a dashboard fits
each installation.
"""

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import TopicPartition as KafkaPartition
from typing_extensions import override

from fanfare.settings import Settings

__all__ = ["Names", "TopicPartition"]


class TopicPartition(NamedTuple):
    """A partition."""

    topic: str
    partition: int

    @override
    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Names:
    """Translates both ways."""

    __slots__ = ("_before", "_skip")

    def __init__(self, settings: Settings) -> None:
        self._before = f"{settings.prefix}." if settings.prefix else ""
        self._skip = len(self._before)

    def kafka(self, name: str) -> str:
        """A topic's or a group's name in Kafka."""
        return self._before + name

    def ours(self, name: str) -> str:
        """The name without the prefix, which it has: it is one of those that we asked for."""
        return name[self._skip :]

    def is_ours(self, name: str) -> bool:
        """Whether a name in Kafka can be one of this installation. Without a prefix, each can."""
        return name.startswith(self._before)

    def asked(self, name: str) -> str:
        """The name without the prefix; a person may have written it with the prefix or without."""
        return name.removeprefix(self._before)

    def listed(self, names: Iterable[str]) -> list[str]:
        """Our names for those in Kafka that can be this installation's; not Kafka's own."""
        return sorted(self.ours(name) for name in names if self.is_ours(name) and not name.startswith("__"))

    def partition(self, partition: tuple[str, int]) -> KafkaPartition:
        """A partition as aiokafka knows it."""
        return KafkaPartition(self._before + partition[0], partition[1])

    def back(self, partition: KafkaPartition) -> TopicPartition:
        """A partition as we know it."""
        return TopicPartition(partition.topic[self._skip :], partition.partition)
