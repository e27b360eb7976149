"""Topics, users and networks: each process reaches what it needs, and nothing else."""

from fanfare.bus.topics import INSTALLATION, specs
from fanfare.checks.rights import KAFKA, POSTGRES, ROLES
from tests.k8s.manifests import JOBS, SERVICES, labels, pod, selects


def test_topics_are_those_of_the_code(manifests):
    """`fanfare topics create` finds nothing to do and nothing to say."""
    every = specs(manifests.settings())
    brokers = next(one for one in manifests.all("KafkaNodePool") if "broker" in one["spec"]["roles"])
    found = {one["metadata"]["name"]: one["spec"] for one in manifests.all("KafkaTopic")}
    assert found.keys() == every.keys()
    for name, spec in found.items():
        assert spec["partitions"] == every[name].partitions
        assert spec["replicas"] == min(3, brokers["spec"]["replicas"])
        assert spec["config"] == every[name].config(spec["replicas"])


def allowed(manifests, role):
    user = manifests.named("KafkaUser", f"fanfare-{role}")
    assert user["spec"]["authentication"] == {"type": "tls"}
    return {
        (one["resource"]["type"], one["resource"]["name"], operation)
        for one in user["spec"]["authorization"]["acls"]
        for operation in one["operations"]
    }


def test_users_of_kafka_have_their_least_rights(manifests):
    for role in ROLES:
        rights = KAFKA[role]
        found = allowed(manifests, role)
        assert {name for kind, name, op in found if (kind, op) == ("topic", "Read")} == set(rights.read)
        assert {name for kind, name, op in found if (kind, op) == ("topic", "Write")} == set(rights.write)
        assert {(name, op) for kind, name, op in found if kind == "group"} == {
            *((group, "Read") for group in rights.groups),
            *([(rights.watched, "Describe")] if rights.watched else []),
        }
        assert {op for _, _, op in found} <= {"Read", "Write", "Describe"}
    writes = {name for kind, name, op in allowed(manifests, "topics") if op == "Write"}
    assert writes == {INSTALLATION}
    assert {op for _, _, op in allowed(manifests, "keda")} == {"Describe"}


def test_brokers_do_what_the_design_says(manifests):
    config = manifests.named("Kafka", "fanfare-kafka")["spec"]["kafka"]["config"]
    assert config["auto.create.topics.enable"] is False
    assert config["unclean.leader.election.enable"] is False
    assert config["group.min.session.timeout.ms"] <= manifests.settings().session_timeout_ms
    assert manifests.settings().kafka == "fanfare-kafka-kafka-bootstrap:9093"


def test_users_of_postgres(manifests):
    cluster = manifests.named("Cluster", "fanfare-postgres")["spec"]
    assert {one["name"] for one in cluster["managed"]["roles"]} == {f"fanfare-{role}" for role in POSTGRES}
    assert cluster["bootstrap"]["initdb"]["owner"] == "fanfare-migrate"
    if manifests.overlay != "dev":
        assert cluster["instances"] >= 3
        assert cluster["postgresql"]["synchronous"]["dataDurability"] == "required"


def ports_out(manifests, given):
    """The ports that pods with these labels may connect to."""
    found = set()
    for policy in manifests.all("NetworkPolicy"):
        spec = policy["spec"]
        if selects(spec["podSelector"], given) and "Egress" in spec["policyTypes"]:
            for rule in spec.get("egress", ()):
                assert rule.get("ports"), "a rule without ports allows all"
                found |= {port["port"] for port in rule["ports"]}
    return found


def test_networks_are_closed_but_for_what_is_needed(manifests):
    default = manifests.named("NetworkPolicy", "fanfare-default-deny")["spec"]
    assert sorted(default["policyTypes"]) == ["Egress", "Ingress"]
    assert not {"ingress", "egress"} & default.keys()
    kafka, redis, postgres, dns = {9092, 9093}, {6379}, {5432}, {53}
    wanted = {
        "gateway": kafka | redis | postgres | dns,
        "fanout": kafka | redis | dns,
        "notifier": kafka | redis | dns,
        "archiver": kafka | redis | postgres | dns,
        "topics": kafka | redis | postgres | dns,
        "migrate": postgres | dns,
    }
    for role, workload in manifests.ours().items():
        assert selects(default["podSelector"], labels(workload))
        assert ports_out(manifests, labels(workload)) == wanted[role]
    for role in (*SERVICES[1:], *JOBS):
        assert ports_in(manifests, labels(manifests.ours()[role])) == {"internal"}, "only metrics"
    assert ports_in(manifests, labels(manifests.ours()["gateway"])) == {"internal", "rest", "gateway"}


def ports_in(manifests, given):
    """The ports of pods with these labels that others may connect to."""
    return {
        port["port"]
        for policy in manifests.all("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], given)
        for rule in policy["spec"].get("ingress", ())
        for port in rule["ports"]
    }


def test_only_who_has_to_holds_a_secret(manifests):
    """The secret that signs tokens is the gateways'; who has it can be anybody."""
    for role, workload in manifests.ours().items():
        text = str(pod(workload))
        for other in (*SERVICES, *JOBS):
            if other != role:
                assert f"'fanfare-{other}-stores" not in text
    if manifests.overlay == "dev":
        for secret in manifests.all("Secret"):
            name = secret["metadata"]["name"]
            has = "FANFARE_SECRET" in secret.get("data", {})
            assert has == name.startswith("fanfare-gateway-stores"), name
