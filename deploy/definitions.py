"""Definitions of custom resources for a cluster without operators, made of the closed schemas in k8s/schemas. Pure.

They are the definitions of the operators again, as far as `k8s/` may use them: enough for an API server that refuses
what it does not know.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["definitions", "structural"]

_KEPT: Final = frozenset({
    "type", "properties", "items", "required", "enum", "pattern", "format", "nullable", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "x-kubernetes-preserve-unknown-fields",
})  # fmt: skip


def definitions(folder: Path) -> Iterator[dict[str, Any]]:
    """A CustomResourceDefinition for each schema in a folder."""
    for path in sorted(folder.glob("*.json")):
        schema = json.loads(path.read_text())
        group, version = schema["properties"]["apiVersion"]["const"].split("/")
        kind = schema["properties"]["kind"]["const"]
        plural = kind.lower() + "s"
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.{group}",
                # The groups of Kubernetes' own projects want a reference to the review of their API.
                "annotations": {"api-approved.kubernetes.io": "unapproved, a copy for tests"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "plural": plural,
                    "singular": kind.lower(),
                    "listKind": f"{kind}List",
                },
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": structural(schema)},
                    }
                ],
            },
        }


def structural(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in the form in which an API server takes it: each part has a type, and what is open says so."""
    if schema.get("type") == ["string", "integer"]:
        return {"x-kubernetes-int-or-string": True}
    found = {name: value for name, value in schema.items() if name in _KEPT}
    if "properties" in found:
        found["properties"] = {name: structural(inner) for name, inner in found["properties"].items()}
        found["type"] = "object"
    elif isinstance(inner := schema.get("additionalProperties"), dict):
        found["additionalProperties"] = structural(inner)
        found["type"] = "object"
    if "items" in found:
        found["items"] = structural(found["items"])
    if "const" in schema:
        found["type"] = "string"
    if "type" not in found:
        found["x-kubernetes-preserve-unknown-fields"] = True
    return found
