"""Topics and users of Kafka as objects for the Strimzi operator, made from the code that uses them. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from fanfare.bus.names import Names
from fanfare.bus.topics import INSTALLATION, specs
from fanfare.checks.rights import KAFKA, ROLES
from fanfare.settings import Settings

__all__ = ["CLUSTER", "topics", "users"]

CLUSTER: Final = "fanfare-kafka"
_API: Final = "kafka.strimzi.io/v1"
# An operator's names are those of Kubernetes objects: no dots beyond the first label are needed to tell them apart.
_LABELS: Final = {"strimzi.io/cluster": CLUSTER}


def topics(settings: Settings, replicas: int = 3) -> Iterator[dict[str, Any]]:
    """A KafkaTopic for each topic, as `fanfare topics create` would make it."""
    names = Names(settings)
    for spec in specs(settings).values():
        yield {
            "apiVersion": _API,
            "kind": "KafkaTopic",
            "metadata": {"name": names.kafka(spec.name), "labels": dict(_LABELS)},
            "spec": {
                "partitions": spec.partitions,
                "replicas": replicas,
                "config": spec.config(replicas),
            },
        }


def users(settings: Settings) -> Iterator[dict[str, Any]]:
    """A KafkaUser for each process with its least rights, for the job that makes topics, and for who scales by lag."""
    names = Names(settings)
    every = [names.kafka(name) for name in specs(settings)]
    for role in ROLES:
        rights = KAFKA[role]
        acls = [_acl("topic", names.kafka(topic), "Read", "Describe") for topic in rights.read]
        acls += [_acl("topic", names.kafka(topic), "Write", "Describe") for topic in rights.write]
        acls += [_acl("group", names.kafka(group), "Read") for group in rights.groups]
        if rights.watched:
            acls.append(_acl("group", names.kafka(rights.watched), "Describe"))
        yield _user(role, acls)
    mark = names.kafka(INSTALLATION)
    made = [_acl("topic", name, "Create", "Describe", "DescribeConfigs") for name in every]
    yield _user("topics", [*made, _acl("topic", mark, "Read", "Write")])
    groups = sorted({names.kafka(group) for rights in KAFKA.values() for group in rights.groups})
    seen = [_acl("topic", name, "Describe") for name in every]
    yield _user("keda", [*seen, *(_acl("group", name, "Describe") for name in groups)])


def _acl(kind: str, name: str, *operations: str) -> dict[str, Any]:
    resource = {"type": kind, "name": name, "patternType": "literal"}
    return {"resource": resource, "operations": list(operations)}


def _user(role: str, acls: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": _API,
        "kind": "KafkaUser",
        "metadata": {"name": f"fanfare-{role}", "labels": dict(_LABELS)},
        "spec": {
            "authentication": {"type": "tls"},
            "authorization": {"type": "simple", "acls": acls},
        },
    }
