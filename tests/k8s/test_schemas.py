"""Every object is one that Kubernetes and the operators take: a typing error in a field is found before a cluster is.

The API server itself drops a field that it does not know, or refuses the whole file, at night.
"""

import copy
import json

import jsonschema
import kubernetes_validate
import pytest

from deploy.kubernetes import ROOT
from tests.k8s.manifests import Manifests

# The oldest that is looked after, and the newest.
VERSIONS = ("1.34", "1.37")
SCHEMAS = ROOT / "k8s/schemas"


def schema_of(one):
    group = one["apiVersion"].partition("/")[0]
    path = SCHEMAS / f"{one['kind']}.{group}.json"
    return json.loads(path.read_text()) if path.exists() else None


def is_foreign(one):
    """Whether an operator, and not Kubernetes, defines it."""
    group = one["apiVersion"].partition("/")[0] if "/" in one["apiVersion"] else ""
    return ("." in group and not group.endswith(".k8s.io")) or group == "gateway.networking.k8s.io"


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(manifests, version):
    for one in manifests.objects:
        if not is_foreign(one):
            kubernetes_validate.validate(one, version, strict=True)


def test_operators_take_every_object(manifests):
    foreign = [one for one in manifests.objects if is_foreign(one)]
    assert foreign
    for one in foreign:
        schema = schema_of(one)
        assert schema is not None, f"no closed schema for {one['kind']}: see k8s/schemas/README.md"
        jsonschema.validate(one, schema, cls=jsonschema.Draft202012Validator)


def test_a_typing_error_is_found():
    """In a field of Kubernetes', in one of an operator's, and in a name of an operator's choice."""
    manifests = Manifests("prod")
    gateway = copy.deepcopy(manifests.named("Deployment", "fanfare-gateway"))
    gateway["spec"]["minReadySecond"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(gateway, VERSIONS[-1], strict=True)
    for kind, path, value in (
        ("ScaledObject", ("spec", "maxReplicaCnt"), 3),
        ("KafkaUser", ("spec", "authentication", "type"), "tsl"),
        ("KafkaNodePool", ("spec", "storage", "deleteClaims"), False),
        ("Cluster", ("spec", "instance"), 3),
        ("HTTPRoute", ("spec", "hostname"), ["x"]),
        ("Certificate", ("spec", "dnsName"), "x"),
        ("PodMonitor", ("spec", "selectors"), {}),
    ):
        one = copy.deepcopy(manifests.all(kind)[0])
        place = one
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(one, schema_of(one), cls=jsonschema.Draft202012Validator)
