"""Alerts and dashboards ask for metrics that exist, and every alert fires in a test and is explained."""

import json
import re
import subprocess

import promql_parser
import pytest
import yaml

import archiver.worker
import fanout.worker
import gateway.node
import notifier.worker
from deploy.alerts import ALERTS, DRAIN_EACH_S, DRAIN_SPARE_S, FOREIGN
from deploy.dashboards import DASHBOARDS
from deploy.kubernetes import ROOT
from deploy.promtool import promtool
from fanfare.service import FAILED_DRAIN_S
from fanfare.telemetry.metrics import REGISTRY
from tests.k8s.manifests import pod

assert all((archiver.worker, fanout.worker, gateway.node, notifier.worker))  # they define their metrics

EXPRESSIONS = [one.expression for one in ALERTS] + [
    expression for panels in DASHBOARDS.values() for panel in panels for expression, _ in panel.queries
]


def known():
    """The series that our processes expose, with the labels that they have of their own."""
    found = {}
    for collector, names in REGISTRY._collector_to_names.items():
        labels = set(getattr(collector, "_labelnames", ()))
        for name in names:
            found[name] = labels
    return found


def selectors(expression):
    """The (metric, labels asked for) of an expression."""
    found = []

    def walk(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {one.name for one in node.matchers.matchers}))
        for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
            inner = getattr(node, name, None)
            if inner is not None and not isinstance(inner, str):
                walk(inner)
        for inner in getattr(node, "args", None) or ():
            walk(inner)

    walk(promql_parser.parse(expression))
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_what_exists(expression):
    series = known()
    found = selectors(expression)
    assert found
    grouped = {
        label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")
    } - {"le"}
    for name, asked in found:
        if name in FOREIGN:
            continue
        base = name.removesuffix("_bucket")
        assert name in series or base in series, name
        wanted = asked | grouped
        assert wanted <= series.get(name, set()) | series.get(base, set()) | {"instance", "job"}, (
            name,
            wanted,
        )


def test_what_is_wrong_in_an_expression_is_found():
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse("sum by (group (fanfare_lag_records)")
    with pytest.raises(AssertionError):
        test_every_expression_asks_for_what_exists("fanfare_lag_recordz > 0")
    with pytest.raises(AssertionError):
        test_every_expression_asks_for_what_exists("sum by (grp) (fanfare_lag_records)")
    with pytest.raises(AssertionError):
        test_every_expression_asks_for_what_exists('sum(fanfare_lag_records{grp="x"})')


def test_every_alert_fires_in_a_test_and_is_explained():
    tried = yaml.safe_load((ROOT / "tests/k8s/rules_test.yaml").read_text())["tests"]
    fired = {one["alertname"] for test in tried for one in test["alert_rule_test"] if one["exp_alerts"]}
    silent = {one["alertname"] for test in tried for one in test["alert_rule_test"] if not one["exp_alerts"]}
    names = {one.name for one in ALERTS}
    assert fired == silent == names
    written = set(re.findall(r"^### (Fanfare\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))
    assert written == names
    assert {one.severity for one in ALERTS} == {"page", "ticket"}


def test_an_overrun_is_seen_before_kubelet_kills(manifests):
    """An alert that comes after the grace never comes: the process is gone by then."""
    settings = manifests.settings()
    until_s = settings.unready_s + settings.drain_s
    grace_s = pod(manifests.ours()["gateway"])["terminationGracePeriodSeconds"]
    assert until_s + DRAIN_SPARE_S + DRAIN_EACH_S < until_s + FAILED_DRAIN_S < grace_s


def test_the_alerts_fire_as_promtool_says():
    program = promtool()
    if program is None:
        pytest.skip(
            "THE ALERTS WERE NOT FIRED: promtool is not built; `make k8s` builds it where there is Go"
        )
    for words in (
        ("check", "rules", "--lint-fatal", str(ROOT / "deploy/prometheus/rules.yaml")),
        ("check", "config", "--syntax-only", str(ROOT / "deploy/prometheus/prometheus.yml")),
        ("test", "rules", str(ROOT / "tests/k8s/rules_test.yaml")),
    ):
        done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards_fit_their_grid():
    for path in (ROOT / "deploy/grafana/dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]
        assert len(set(places)) == len(places) > 0
        assert len({one["id"] for one in board["panels"]}) == len(places)
