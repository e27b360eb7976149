"""`make k8s-live`: every overlay applied to a real control plane, updated and taken back.

What it shows beyond `make k8s`: the API server takes each object as it is, with admission and restricted pod security;
the scheduler finds places; Deployments roll in their steps and lose no ready pod; jobs end. What it does not show: no
image is run, no probe asked, no network policy enforced, and no operator acts.
"""

import copy
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deploy.control_plane import ControlPlane, ControlPlaneError, build
from deploy.definitions import definitions
from deploy.kubernetes import OVERLAYS, ROOT, Object, render

__all__ = ["main"]

_SERVICES: Final = ("gateway", "fanout", "notifier", "archiver")
_NODES: Final = 6
_LOOK_S: Final = 0.5
_ROLL_S: Final = 300.0


def main() -> None:
    """Do all of it, and say what came out."""
    try:
        programs = build()
    except ControlPlaneError as error:
        sys.exit(f"THE MANIFESTS WERE NOT APPLIED: {error}")
    with tempfile.TemporaryDirectory() as folder, ControlPlane(programs, Path(folder)) as plane:
        version = json.loads(plane.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        plane.apply(definitions(ROOT / "k8s/schemas"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        plane.apply(_nodes())
        _say(f"Kubernetes {version}, {_NODES} nodes that kwok plays")
        for overlay in OVERLAYS:
            _try(plane, overlay)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _try(plane: ControlPlane, overlay: str) -> None:
    began = time.monotonic()
    objects = render(ROOT / "k8s/overlays" / overlay)
    namespace = [one for one in objects if one["kind"] == "Namespace"]
    plane.apply(namespace)
    refused = sum(_is_refused(plane, one) for one in _broken(objects))
    plane.apply(objects)
    _rolled(plane)
    _jobs_done(plane)
    pods = plane.get("pods")
    _say(f"{overlay}: {len(objects)} objects applied, {refused} broken ones refused, {len(pods)} pods run")
    first = {one["metadata"]["uid"] for one in _of_services(pods)}
    least = _update(plane, objects)
    second = {one["metadata"]["uid"] for one in _of_services(plane.get("pods"))}
    if first & second:
        raise ControlPlaneError(f"{overlay}: {len(first & second)} pods of the old version are left")
    _say(f"{overlay}: updated; ready at the least: {least}")
    for role in _SERVICES:
        plane.kubectl("-n", "fanfare", "rollout", "undo", f"deployment/fanfare-{role}")
    _rolled(plane)
    _say(f"{overlay}: and back; {time.monotonic() - began:.0f} s in all")
    plane.kubectl("delete", "namespace", "fanfare", "--wait", "--timeout=120s")


def _update(plane: ControlPlane, objects: list[Object]) -> str:
    """Apply the next version; how many pods of each service were ready at the least."""
    wanted = {role: _ready(plane, role) for role in _SERVICES}
    least = dict(wanted)
    with suppress(ControlPlaneError):  # gone already
        plane.kubectl("-n", "fanfare", "delete", "job", "fanfare-migrate", "fanfare-topics")
    plane.apply(_next_version(objects))
    until = time.monotonic() + _ROLL_S
    while not all(_is_rolled(one) for one in plane.get("deployments")):
        for role in _SERVICES:
            least[role] = min(least[role], _ready(plane, role))
        if time.monotonic() > until:
            raise ControlPlaneError("the update does not end")
        time.sleep(_LOOK_S)
    if least != wanted:
        raise ControlPlaneError(f"of {wanted} pods, {least} were ready")
    return ", ".join(f"{number} of {wanted[role]} {role}" for role, number in least.items())


def _ready(plane: ControlPlane, role: str) -> int:
    found = next(one for one in plane.get("deployments") if one["metadata"]["name"] == f"fanfare-{role}")
    return int(found["status"].get("readyReplicas", 0))


def _is_rolled(deployment: Object) -> bool:
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted == status.get("availableReplicas", 0)
        and status.get("replicas", 0) == wanted
    )


def _rolled(plane: ControlPlane) -> None:
    for kind in ("deployment", "statefulset"):
        for one in plane.get(kind):
            name = f"{kind}/{one['metadata']['name']}"
            plane.kubectl("-n", "fanfare", "rollout", "status", name, f"--timeout={_ROLL_S:.0f}s")


def _jobs_done(plane: ControlPlane) -> None:
    with suppress(ControlPlaneError):  # they delete themselves
        plane.kubectl("-n", "fanfare", "wait", "--for=condition=Complete", "job", "--all", "--timeout=60s")


def _of_services(pods: list[Object]) -> Iterator[Object]:
    for one in pods:
        if one["metadata"]["labels"].get("app.kubernetes.io/name") in _SERVICES:
            yield one


def _next_version(objects: list[Object]) -> list[Object]:
    changed = copy.deepcopy(objects)
    for one in changed:
        if one["kind"] in {"Deployment", "Job"}:
            for container in one["spec"]["template"]["spec"]["containers"]:
                container["image"] = container["image"].partition("@")[0].partition(":")[0] + ":next"
    return changed


def _broken(objects: list[Object]) -> Iterator[Object]:
    """Objects with one mistake each."""
    mistakes: tuple[tuple[str, tuple[str, ...], Any], ...] = (
        ("Deployment", ("spec", "minReadySecond"), 5),
        ("PodDisruptionBudget", ("spec", "unhealthyPodEvictionPolicy"), "Nope"),
        ("NetworkPolicy", ("spec", "podSelecter"), {}),
        ("KafkaTopic", ("spec", "partition"), 3),
        ("KafkaUser", ("spec", "authentication", "type"), "tsl"),
        ("Cluster", ("spec", "instance"), 3),
        ("ScaledObject", ("spec", "maxReplicaCnt"), 3),
        ("PrometheusRule", ("spec", "group"), []),
    )
    for kind, path, value in mistakes:
        found = next((one for one in objects if one["kind"] == kind), None)
        if found is not None:
            one = copy.deepcopy(found)
            place = one
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = value
            yield one


def _is_refused(plane: ControlPlane, one: Object) -> bool:
    try:
        plane.apply([one], "--dry-run=server")
    except ControlPlaneError:
        return True
    raise ControlPlaneError(f"a broken {one['kind']} was taken")


def _nodes() -> Iterator[Object]:
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    for number in range(_NODES):
        name = f"node-{number}"
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "topology.kubernetes.io/zone": f"zone-{number % 3}",
                },
            },
            "status": {"allocatable": room, "capacity": room},
        }
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "kwok-volume",  # the only one for which kwok makes volumes
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kwok.x-k8s.io/volume",
        "volumeBindingMode": "Immediate",
    }


if __name__ == "__main__":
    main()
