"""Roll-out, spread, scaling and sizes: what the numbers in the manifests are derived from."""

import json
import math

from deploy.kubernetes import ROOT
from fanfare.bus.topics import DELIVERIES_OF, specs
from fanfare.capacity.units import load_units
from fanfare.constants import HEADS_BYTES, RING_BYTES, UNACKNOWLEDGED_BYTES
from tests.k8s.manifests import SERVICES, Manifests, bytes_of, labels, pod, selects

# Connections of a node for which it is sized, and by which it is scaled.
CONNECTIONS = 8000


def resumes_per_cpu_s():
    """Resumes on another node than before, measured."""
    rows = [json.loads(line) for line in (ROOT / "docs/benchmarks/results.jsonl").read_text().splitlines()]
    found = {
        one["case"]: one["value"] for row in rows for one in row["results"] if row["benchmark"] == "storm"
    }
    return found["moved 5000"]


def test_nodes_leave_slowly_enough_for_those_that_stay(manifests):
    """All at once is a storm of resumes, in which each of them waits for seconds."""
    settings = manifests.settings()
    strategy = manifests.ours()["gateway"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0
    share = int(strategy["maxSurge"].removesuffix("%")) / 100
    for nodes in range(2, 200):
        leaving = math.ceil(nodes * share)
        per_node = leaving * CONNECTIONS / settings.drain_s / nodes
        if manifests.overlay != "dev":
            assert per_node < resumes_per_cpu_s() / 4, nodes


def test_workers_are_replaced_without_a_gap(manifests):
    for role in ("fanout", "notifier", "archiver"):
        strategy = manifests.ours()[role]["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_pods_are_spread_and_protected(manifests):
    priorities = {one["metadata"]["name"]: one["value"] for one in manifests.all("PriorityClass")}
    assert priorities["fanfare-gateway"] > priorities["fanfare-worker"]
    budgets = manifests.all("PodDisruptionBudget")
    for role in SERVICES:
        workload = manifests.ours()[role]
        assert selects(workload["spec"]["selector"], labels(workload))
        mine = [one for one in budgets if selects(one["spec"]["selector"], labels(workload))]
        assert len(mine) == 1, role
        assert mine[0]["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert (
            "maxUnavailable" in mine[0]["spec"]
        )  # minAvailable would hold up a drain of one replica for ever
        keys = [one["topologyKey"] for one in pod(workload)["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        for constraint in pod(workload)["topologySpreadConstraints"]:
            assert selects(constraint["labelSelector"], labels(workload))
        assert pod(workload)["priorityClassName"] in priorities


def test_only_one_counts_replicas(manifests):
    """Where something scales a Deployment, a number in the file would undo it at each `kubectl apply`."""
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in manifests.all("HorizontalPodAutoscaler", "ScaledObject")
    }
    names = [
        one["spec"]["scaleTargetRef"]["name"]
        for one in manifests.all("HorizontalPodAutoscaler", "ScaledObject")
    ]
    assert len(names) == len(scaled)
    for deployment in manifests.all("Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)


def test_workers_are_scaled_by_the_lag_of_what_they_read(manifests):
    every = specs(manifests.settings())
    reads = {
        "fanout": set(DELIVERIES_OF),
        "notifier": set(DELIVERIES_OF.values()),
        "archiver": set(DELIVERIES_OF),
    }
    for one in manifests.all("ScaledObject"):
        role = one["spec"]["scaleTargetRef"]["name"].removeprefix("fanfare-")
        given = [trigger["metadata"] for trigger in one["spec"]["triggers"]]
        assert {each["topic"] for each in given} == reads[role]
        assert {each["consumerGroup"] for each in given} == {role}
        assert all(each["bootstrapServers"].startswith("fanfare-kafka-kafka-bootstrap") for each in given)
        most = max(every[each["topic"]].partitions for each in given)
        assert 2 <= one["spec"]["minReplicaCount"] <= one["spec"]["maxReplicaCount"] <= most
        assert one["spec"]["fallback"]["replicas"] <= one["spec"]["maxReplicaCount"]


def test_memory_is_what_was_measured(manifests):
    units = load_units().gateway
    resources = pod(manifests.ours()["gateway"])["containers"][0]["resources"]
    needs = (
        units.base_bytes + CONNECTIONS * units.session_bytes + RING_BYTES + UNACKNOWLEDGED_BYTES + HEADS_BYTES
    )
    assert needs <= bytes_of(resources["requests"]["memory"]) <= 2 * needs
    for one in manifests.all("HorizontalPodAutoscaler"):
        target = {
            metric["pods"]["metric"]["name"]: metric["pods"]["target"] for metric in one["spec"]["metrics"]
        }
        assert target["fanfare_gateway_connections"]["averageValue"] == str(CONNECTIONS)
    for workload in manifests.workloads():
        for container in pod(workload)["containers"]:
            resources = container["resources"]
            assert bytes_of(resources["limits"]["memory"]) >= bytes_of(resources["requests"]["memory"])
            assert "cpu" in resources["requests"]
            assert "cpu" not in resources["limits"]  # a loop that is throttled is late for everybody


def test_prod_runs_what_was_chosen():
    for workload in Manifests("prod").workloads():
        for container in pod(workload)["containers"]:
            assert "@sha256:" in container["image"], container["image"]
        if workload["kind"] == "Deployment":
            assert pod(workload)["hostUsers"] is False
