"""What KEDA is to be told so that it scales workers in Kubernetes by the same numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from fanfare.autoscale.decide import Aim
from fanfare.capacity.model import BUSY
from fanfare.capacity.units import Service

__all__ = ["Scaled", "lag_threshold", "manifest", "usual_rate"]


@dataclass(frozen=True)
class Scaled:
    """A group that KEDA is to scale."""

    role: str
    group: str
    """As Kafka knows it."""
    topics: Mapping[str, int]
    """Its topics as Kafka knows them, with their partitions."""
    per_worker: float
    """Records a second that a worker does."""
    how: str
    """Where that number comes from."""


def usual_rate(unit: Service, batch_records: int) -> float:
    """Records a second that a worker does while it has a backlog, and so is as busy as a plan lets it be.

    Args:
        unit: its unit costs; of each record goes one append to one inbox.
        batch_records: of a backlog each batch is a full one.

    """
    each_us = unit.message_us + unit.append_us + unit.batch_us / batch_records
    return (BUSY * 1e6 - unit.idle_us) / each_us


def lag_threshold(scaled: Scaled, aim: Aim) -> int:
    """KEDA's `lagThreshold`: it wants lag / lagThreshold workers.

    A worker does `per_worker` records in a second, so its part of a lag is done in `drain_s` if that part is
    `per_worker * drain_s`.
    """
    return max(round(scaled.per_worker * aim.drain_s), 1)


def manifest(scaled: Scaled, servers: str, aim: Aim) -> str:
    """A ScaledObject in YAML.

    KEDA sees the lag alone, not the rates: so it adds workers for a backlog only, as `decide` does, but does not know
    whether they help.
    """
    most = min(max(scaled.topics.values(), default=1), aim.most)
    threshold = lag_threshold(scaled, aim)
    triggers = "".join(
        f"""
    - type: kafka
      metadata:
        bootstrapServers: {servers}
        consumerGroup: {scaled.group}
        topic: {topic}
        lagThreshold: "{threshold}"
        offsetResetPolicy: earliest
        allowIdleConsumers: "false"
        excludePersistentLag: "true"  # what is held by a store that is away is not helped by more"""
        for topic in scaled.topics
    )
    return f"""\
# {scaled.per_worker:.0f} records/s a worker ({scaled.how}), a backlog done in {aim.drain_s:.0f} s.
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: fanfare-{scaled.role}
spec:
  scaleTargetRef:
    name: fanfare-{scaled.role}
  minReplicaCount: {aim.least}
  maxReplicaCount: {most}  # the partitions of its largest topic
  pollingInterval: 5
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          stabilizationWindowSeconds: 0
          policies:
            - type: Pods
              value: 1
              periodSeconds: {aim.settle_s:.0f}
        scaleDown:
          stabilizationWindowSeconds: {aim.calm_s:.0f}
          policies:
            - type: Pods
              value: 1
              periodSeconds: {aim.calm_s:.0f}
  triggers:{triggers}
"""
