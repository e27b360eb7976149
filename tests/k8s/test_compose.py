"""deploy/compose.yaml and the Dockerfile say what the code says. What the image does, tests/image tries."""

import re

import pytest
import yaml

from deploy.kubernetes import ROOT, settings_of
from fanfare.service import FAILED_DRAIN_S
from fanfare.settings import PREFIX, Settings

SERVICES = ("gateway", "fanout", "notifier", "archiver")
JOBS = {"migrate": ["migrate"], "topics": ["topics", "create"]}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())


def seconds(text):
    return int(text.removesuffix("s"))


def test_each_role_runs_by_its_command_with_settings_that_exist(compose):
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for role in (*SERVICES, *JOBS):
        service = compose["services"][role]
        assert service["command"] == JOBS.get(role, [role])
        assert service["environment"].keys() <= known
        assert ("FANFARE_SECRET" in service["environment"]) == (role == "gateway")
        settings = settings_of({n: v for n, v in service["environment"].items() if n != "FANFARE_SECRET"})
        assert settings.public_url.startswith("ws://127.0.0.1:8081/")
        grace_s = seconds(service["stop_grace_period"])
        assert grace_s >= settings.unready_s + settings.drain_s + FAILED_DRAIN_S + 5
        stores = {settings.kafka.partition(":")[0]} | {
            re.split(r"[@/:]+", getattr(settings, name).get_secret_value())[at]
            for name, at in (("redis", 1), ("postgres", 3))
        }
        assert stores <= compose["services"].keys()


def test_services_have_as_few_rights_as_on_kubernetes(compose):
    for role in (*SERVICES, *JOBS):
        service = compose["services"][role]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_listens_beyond_this_machine(compose):
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_it_comes_up_in_an_order_that_works(compose):
    for name, service in compose["services"].items():
        for other, how in (service.get("depends_on") or {}).items():
            needed = compose["services"][other]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in needed, (name, other)
            else:
                assert other in JOBS
    for name in {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", ())}:
        assert name in compose["volumes"] or (ROOT / "deploy" / name).is_dir(), name


def test_prometheus_asks_what_runs(compose):
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    found = next(one for one in scrape if one["job_name"] == "fanfare")["dns_sd_configs"][0]
    assert set(found["names"]) == set(SERVICES)
    assert found["port"] == Settings().internal_port


def test_the_image_starts_each_role_and_runs_as_nobody_known():
    entry = (ROOT / "deploy/entrypoint.sh").read_text()
    assert re.search(r"^ {4}(.*)\) exec python -m", entry, re.MULTILINE)[1].split(" | ") == list(SERVICES)
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert (
        sum(line.startswith("FROM ${BASE}") for line in lines) == 2 == sum("FROM" in line for line in lines)
    )
    assert any(re.fullmatch(r"USER [1-9]\d{4,}:\d+", line) for line in lines)
    settings = Settings()
    assert f"EXPOSE {settings.rest_port} {settings.gateway_port} {settings.internal_port}" in lines
    assert all(
        "--require-hashes" in part for part in "\n".join(lines).split("RUN")[1].split("&&") if "-r " in part
    )
    # What .dockerignore leaves in is what the wheel and the build need.
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert {one.strip('" ') for one in packages.split(",")} <= kept
