"""KEDA scales a cluster by the numbers that `fanfare autoscale` decides by."""

import yaml

from deploy.keda_objects import scaled_groups
from deploy.kubernetes import ROOT, settings_of
from fanfare.autoscale.decide import Aim
from fanfare.autoscale.keda import manifest


def triggers(spec):
    names = ("consumerGroup", "topic", "lagThreshold", "excludePersistentLag", "allowIdleConsumers")
    return [[one["metadata"][name] for name in names] for one in spec["triggers"]]


def test_the_manifests_say_what_is_printed():
    """Else a cluster would be scaled by other numbers: k8s/ once said 500 where the command printed 693,031."""
    settings = settings_of((ROOT / "k8s/base/settings.env").read_text())
    made = list(yaml.safe_load_all((ROOT / "k8s/components/keda/workers.yaml").read_text()))
    printed = [yaml.safe_load(manifest(each, "kafka:9093", Aim())) for each in scaled_groups(settings)]
    for one, other in zip(made, printed, strict=True):
        assert one["metadata"] == other["metadata"]
        assert triggers(one["spec"]) == triggers(other["spec"])
        assert one["spec"]["maxReplicaCount"] == other["spec"]["maxReplicaCount"]
