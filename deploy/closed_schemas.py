"""Closed schemas of Kubernetes' custom resources: what is not named in them is an error.

Kubernetes itself drops what a resource definition does not know, or only warns of it. From definitions as a cluster
gives them:

    kubectl get crd kafkatopics.kafka.strimzi.io -o yaml | python -m deploy.closed_schemas k8s/schemas
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["close", "main", "write"]

# What no check needs, or is large and not used here: who uses it is told by the check that fails.
_LEFT_OUT: Final = frozenset({
    "description", "title", "template", "cruiseControl", "kafkaExporter", "logging", "tieredStorage", "jmxOptions",
    "configuration", "examples", "x-kubernetes-validations", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
    "x-kubernetes-map-type",
})  # fmt: skip


def close(schema: Any) -> Any:
    """A schema that allows no property which it does not name."""
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties":
            closed[name] = {key: close(inner) for key, inner in value.items() if key not in _LEFT_OUT}
        elif name in {"items", "additionalProperties"}:
            closed[name] = close(value)
        elif name == "pattern":
            closed[name] = value.replace("^(?i)", "(?i)^")  # Go's way to write it
        elif name not in _LEFT_OUT:
            closed[name] = value
    if closed.pop("x-kubernetes-int-or-string", False):
        closed.pop("type", None)
        closed.pop("anyOf", None)
        closed["type"] = ["string", "integer"]
    if "properties" in closed and not closed.pop("x-kubernetes-preserve-unknown-fields", False):
        closed.setdefault("additionalProperties", False)
    return closed


def write(folder: Path, group: str, version: str, kind: str, schema: Any) -> None:
    """Keep the schema of a kind where the check looks for it."""
    closed = close(schema)
    properties = closed["properties"]
    properties.pop("status", None)
    properties |= {
        "apiVersion": {"const": f"{group}/{version}"},
        "kind": {"const": kind},
        "metadata": {"type": "object"},
    }
    path = folder / f"{kind}.{group}.json"
    path.write_text(json.dumps(closed, sort_keys=True, indent=1) + "\n")


def main() -> None:
    """Read definitions from standard input, write one schema for each kind, of the version that is stored."""
    for document in yaml.safe_load_all(sys.stdin):
        for one in document.get("items", [document]) if document else ():
            spec = one["spec"]
            version = next(each for each in spec["versions"] if each["storage"])
            schema = version["schema"]["openAPIV3Schema"]
            write(Path(sys.argv[1]), spec["group"], version["name"], spec["names"]["kind"], schema)


if __name__ == "__main__":
    main()
