"""The overlays as they are rendered, and what tests ask of them."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from deploy.kubernetes import OVERLAYS, ROOT, Object, render, settings_of
from fanfare.settings import Settings

SERVICES = ("gateway", "fanout", "notifier", "archiver")
JOBS = ("migrate", "topics")


@cache
def _rendered(overlay: str) -> str:
    return json.dumps(render(ROOT / "k8s/overlays" / overlay))


class Manifests:
    """One overlay."""

    def __init__(self, overlay: str) -> None:
        assert overlay in OVERLAYS
        self.overlay = overlay
        self.objects: list[Object] = json.loads(_rendered(overlay))

    def all(self, *kinds: str) -> list[Object]:
        """The objects of some kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        """The one of that kind and name; names of generated ones end in a hash."""
        found = [one for one in self.all(kind) if one["metadata"]["name"] == name]
        found = found or [one for one in self.all(kind) if one["metadata"]["name"].rpartition("-")[0] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    def workloads(self) -> list[Object]:
        """What makes pods."""
        return self.all("Deployment", "StatefulSet", "Job")

    def ours(self) -> dict[str, Object]:
        """The workloads that run our image, by role."""
        return {role: self.named("Deployment", f"fanfare-{role}") for role in SERVICES} | {
            role: self.named("Job", f"fanfare-{role}") for role in JOBS
        }

    def variables(self) -> dict[str, str]:
        """The data of the ConfigMap of settings."""
        data: dict[str, str] = self.named("ConfigMap", "fanfare-settings")["data"]
        return data

    def settings(self) -> Settings:
        """The settings of all pods."""
        return settings_of(self.variables())


def pod(workload: Object) -> Any:
    """The spec of the pods of a workload."""
    return workload["spec"]["template"]["spec"]


def labels(workload: Object) -> dict[str, str]:
    """The labels of its pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Any, given: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    exact = all(given.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())
    return exact and all(
        {"In": given.get(one["key"]) in one.get("values", ())}[one["operator"]]
        for one in selector.get("matchExpressions", ())
    )


def bytes_of(text: str) -> int:
    """A quantity of memory."""
    for unit, factor in (("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * factor
    return int(text)


def references(value: Any, kind: str) -> Iterator[tuple[str, str]]:
    """The (name, key) of each Secret or ConfigMap that is named somewhere inside; '' for all keys."""
    if isinstance(value, list):
        for each in value:
            yield from references(each, kind)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in {f"{kind}Ref", f"{kind}KeyRef"}:
                yield inner["name"], inner.get("key", "")
            elif name == kind and isinstance(inner, dict):
                yield inner.get("secretName") or inner["name"], ""
            else:
                yield from references(inner, kind)
