"""The definitions of custom resources that `make k8s-live` gives its API server."""

from deploy.definitions import definitions, structural
from deploy.kubernetes import ROOT


def test_each_schema_becomes_a_definition():
    made = {one["spec"]["names"]["kind"]: one for one in definitions(ROOT / "k8s/schemas")}
    assert len(made) == len(list((ROOT / "k8s/schemas").glob("*.json")))
    topic = made["KafkaTopic"]
    assert topic["metadata"]["name"] == "kafkatopics.kafka.strimzi.io"
    (version,) = topic["spec"]["versions"]
    assert version["name"] == "v1"
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"]["partitions"] == {"type": "integer", "minimum": 1}
    assert spec["properties"]["config"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_a_schema_says_what_each_part_is():
    """An API server takes no other form: types everywhere, and no `additionalProperties: false`."""
    assert structural({"type": ["string", "integer"]}) == {"x-kubernetes-int-or-string": True}
    assert structural({}) == {"x-kubernetes-preserve-unknown-fields": True}
    assert structural({"const": "v1"}) == {"type": "string"}
    assert structural(
        {
            "properties": {"many": {"type": "array", "items": {"type": "string", "pattern": "a"}}},
            "additionalProperties": False,
            "anyOf": [{"required": ["many"]}],
        }
    ) == {
        "type": "object",
        "properties": {"many": {"type": "array", "items": {"type": "string", "pattern": "a"}}},
    }
    assert structural({"additionalProperties": {"type": "string"}}) == {
        "type": "object",
        "additionalProperties": {"type": "string"},
    }
