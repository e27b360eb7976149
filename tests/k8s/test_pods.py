"""What each pod may do, how long it has to stop, and how its health is asked."""

from fanfare.service import FAILED_DRAIN_S
from fanfare.settings import PREFIX, Settings
from fanfare.telemetry.internal import STUCK_S
from tests.k8s.manifests import JOBS, SERVICES, labels, pod, references, selects


def test_pod_security_is_restricted(manifests):
    """The namespace refuses anything else, so the pods would not come up at all."""
    namespace = manifests.named("Namespace", "fanfare")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in manifests.workloads():
        spec = pod(workload)
        whole = spec["securityContext"]
        assert whole["runAsNonRoot"] is True
        assert whole["runAsUser"] >= 10_000
        assert whole["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all({"configMap", "secret", "emptyDir"} & volume.keys() for volume in spec.get("volumes", ()))
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in own
            assert not any("hostPort" in port for port in container.get("ports", ()))


def test_no_pod_can_ask_the_cluster(manifests):
    """A token in a pod is a way on for whoever breaks in; service links look like settings."""
    accounts = {one["metadata"]["name"]: one for one in manifests.all("ServiceAccount")}
    for workload in manifests.workloads():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False
    assert not manifests.all("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def test_each_role_runs_its_own_command(manifests):
    for role, workload in manifests.ours().items():
        arguments = pod(workload)["containers"][0]["args"]
        expected = {"migrate": ["migrate", "--grant", "fanfare-{role}"], "topics": ["topics", "create"]}
        assert arguments == expected.get(role, [role])
        assert pod(workload)["serviceAccountName"] == f"fanfare-{role}"


def test_there_is_time_to_stop(manifests):
    """A pod that is killed while it drains cuts its clients off without a word."""
    settings = manifests.settings()
    longest_s = settings.unready_s + settings.drain_s + FAILED_DRAIN_S
    for role in SERVICES:
        grace_s = pod(manifests.ours()[role])["terminationGracePeriodSeconds"]
        assert longest_s + 5 <= grace_s <= longest_s + 30, role
        # Taking the pod out of the Service is what FANFARE_UNREADY_S is for; nothing else delays the signal.
        assert "lifecycle" not in pod(manifests.ours()[role])["containers"][0]


def test_a_node_that_leaves_is_seen_before_it_closes(manifests):
    probe = pod(manifests.ours()["gateway"])["containers"][0]["readinessProbe"]
    seen_s = probe["periodSeconds"] * (probe["failureThreshold"] + 1) + probe["timeoutSeconds"]
    assert manifests.settings().unready_s > seen_s


def test_probes_tell_dead_from_busy(manifests):
    """Liveness asks only whether the loop turns: a store that is away must not restart all gateways at once."""
    settings = manifests.settings()
    for role in SERVICES:
        container = pod(manifests.ours()[role])["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["internal"] == settings.internal_port
        for name, path in (
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ):
            assert container[name]["httpGet"] == {"path": path, "port": "internal"}
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] > 4 * STUCK_S
    assert settings.internal_host == "0.0.0.0"  # else kubelet cannot ask
    for role in JOBS:
        assert "livenessProbe" not in pod(manifests.ours()[role])["containers"][0]


def test_ports_are_those_of_the_settings(manifests):
    settings = manifests.settings()
    assert settings.host == "0.0.0.0"
    container = pod(manifests.ours()["gateway"])["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "internal": settings.internal_port,
        "rest": settings.rest_port,
        "gateway": settings.gateway_port,
    }
    service = manifests.named("Service", "fanfare-gateway")
    assert {one["name"]: (one["port"], one["targetPort"]) for one in service["spec"]["ports"]} == {
        "rest": (settings.rest_port, "rest"),
        "gateway": (settings.gateway_port, "gateway"),
    }
    assert selects({"matchLabels": service["spec"]["selector"]}, labels(manifests.ours()["gateway"]))
    for route in manifests.all("HTTPRoute"):
        backends = {
            rule["matches"][0]["path"]["value"]: rule["backendRefs"][0]["port"]
            for rule in route["spec"]["rules"]
        }
        assert backends == {"/api": settings.rest_port, "/gateway": settings.gateway_port}
        assert settings.public_url == f"wss://{route['spec']['hostnames'][0]}/gateway/"


def test_every_variable_is_a_setting(manifests):
    """An unknown one ends the process at its start."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert manifests.variables().keys() <= known
    for workload in manifests.ours().values():
        for variable in pod(workload)["containers"][0].get("env", ()):
            assert variable["name"] in known
    for secret in manifests.all("Secret"):
        name = secret["metadata"]["name"]
        if "-stores-" in name:
            keys = secret.get("data", secret.get("stringData", {})).keys()
            assert keys <= known, name


def test_mounted_files_are_where_the_settings_say(manifests):
    for role, workload in manifests.ours().items():
        container = pod(workload)["containers"][0]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        volumes = {volume["name"] for volume in pod(workload)["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes, role
        for variable in container.get("env", ()):
            if str(variable.get("value", "")).startswith("/"):
                assert any(variable["value"].startswith(f"{place}/") for place in mounts), (role, variable)
        assert str(manifests.settings().home).startswith("/tmp/")


def test_every_secret_is_made_by_somebody(manifests):
    """By the overlay, by an operator, or by whoever installs it: then docs/operations.md names it."""
    there = {one["metadata"]["name"] for one in manifests.all("Secret")}
    there |= {one["metadata"]["name"] for one in manifests.all("KafkaUser")}
    there |= {f"{one['metadata']['name']}-cluster-ca-cert" for one in manifests.all("Kafka")}
    there |= {f"{one['metadata']['name']}-ca" for one in manifests.all("Cluster")}
    there |= {one["spec"]["secretName"] for one in manifests.all("Certificate")}
    if manifests.overlay != "dev":
        there |= {f"fanfare-{role}-stores" for role in (*SERVICES, *JOBS)} | {"fanfare-valkey-users"}
    for workload in manifests.workloads():
        for name, _ in references(pod(workload), "secret"):
            assert name in there, name
        maps = {one["metadata"]["name"] for one in manifests.all("ConfigMap")}
        for name, _ in references(pod(workload), "configMap"):
            assert name in maps, name
