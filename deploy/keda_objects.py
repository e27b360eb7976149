"""ScaledObjects for KEDA, made from the numbers by which `fanfare autoscale` decides. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from deploy.kafka_objects import CLUSTER
from fanfare.autoscale.decide import Aim
from fanfare.autoscale.keda import Scaled, lag_threshold, usual_rate
from fanfare.bus.names import Names
from fanfare.bus.topics import specs
from fanfare.capacity.units import load_units
from fanfare.checks.rights import KAFKA
from fanfare.settings import Settings

__all__ = ["scaled_groups", "scaled_objects"]

_ROLES: Final = ("fanout", "notifier", "archiver")
_SERVERS: Final = f"{CLUSTER}-kafka-bootstrap.fanfare.svc:9093"
# One may be away, for an update or with its machine.
_LEAST: Final = 2
# Where Kafka does not answer KEDA: as many as a busy day needs.
_FALLBACK: Final = 4


def scaled_groups(settings: Settings) -> Iterator[Scaled]:
    """The groups that KEDA scales, with what a worker of each does by its unit costs."""
    names, every, units = Names(settings), specs(settings), load_units()
    for role in _ROLES:
        # Of the topics that it reads, those that it shares with others: a dead letter or a mark is for itself.
        topics = {names.kafka(name): every[name].partitions for name in KAFKA[role].read if _is_shared(name)}
        rate = usual_rate(getattr(units, role), settings.batch_records)
        yield Scaled(role, names.kafka(role), topics, rate, f"by unit costs of {units.machine}")


def scaled_objects(settings: Settings) -> Iterator[dict[str, Any]]:
    """A ScaledObject for each of them."""
    for scaled in scaled_groups(settings):
        name = f"fanfare-{scaled.role}"
        yield {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"name": name},
                "pollingInterval": 10,
                "cooldownPeriod": 300,
                "minReplicaCount": _LEAST,
                "maxReplicaCount": max(scaled.topics.values()),
                "fallback": {"failureThreshold": 3, "replicas": _FALLBACK},
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": _down()}}},
                "triggers": [_trigger(scaled, topic) for topic in scaled.topics],
            },
        }


def _is_shared(topic: str) -> bool:
    return topic.endswith((".events", ".deliveries"))


def _down() -> dict[str, Any]:
    # Each step stops the partitions of a group for a moment: down slowly.
    return {
        "stabilizationWindowSeconds": 600,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    }


def _trigger(scaled: Scaled, topic: str) -> dict[str, Any]:
    return {
        "type": "kafka",
        "metadata": {
            "bootstrapServers": _SERVERS,
            "consumerGroup": scaled.group,
            "topic": topic,
            "lagThreshold": str(lag_threshold(scaled, Aim())),
            "offsetResetPolicy": "earliest",
            "allowIdleConsumers": "false",
            "scaleToZeroOnInvalidOffset": "false",
            # What is held by a store that is away is not helped by more.
            "excludePersistentLag": "true",
            "tls": "enable",
        },
        "authenticationRef": {"name": CLUSTER},
    }
