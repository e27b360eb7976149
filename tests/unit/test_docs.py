"""The documents say what the code says."""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.main import get_command

from fanfare.cli import build
from fanfare.settings import PREFIX, Settings
from fanfare.telemetry.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "k8s").rglob("*.md")]
FOLDERS = (
    "fanfare",
    "gateway",
    "fanout",
    "notifier",
    "archiver",
    "torture",
    "benchmarks",
    "deploy",
    "k8s",
    "tests",
    "requirements",
    "web",
)
# What `fanfare up` hands to its children is nobody's to set.
INTERNAL = {"process", "control", "rest_fd", "gateway_fd"}


@functools.cache
def the_command() -> Any:
    """The command line."""
    return get_command(build())


def settings_table() -> str:
    """The table of settings in docs/operations.md."""
    rows = ["| variable | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if name not in INTERNAL:
            default = (
                field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
            )
            shown = "" if default in {"", None} else f"`{default}`"
            rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_the_table_of_settings():
    text = (ROOT / "docs/operations.md").read_text()
    written = text.partition("<!-- settings -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert written == settings_table(), f"it has to be:\n{settings_table()}"


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(document):
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)#\s]+\.md)", text):
        assert (document.parent / target).exists(), target
    for target in re.findall(r"\bdocs/[\w./-]+\.md\b", text):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_that_documents_name_exists(document):
    if document.name == "CHANGELOG.md":
        return  # tells of what was
    for target in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]*)`", document.read_text()):
        assert any(ROOT.glob(target.rstrip("/"))), target


def test_documents_that_the_code_names_exist():
    for path in ROOT.glob("*/**/*.py"):
        if ".venv" not in path.parts:
            for target in re.findall(r"\bdocs/[\w./-]+\.md\b", path.read_text()):
                assert (ROOT / target).exists(), f"{path}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_settings_exist(document):
    text = document.read_text()
    command = the_command()
    for words in re.findall(
        r"(?:`|bin/|^ {4})fanfare ((?:[a-z]+(?:-[a-z]+)*)(?: [a-z]+)?)", text, re.MULTILINE
    ):
        first, _, second = words.partition(" ")
        known = getattr(command, "commands", {})
        assert first in known, f"fanfare {words}"
        if second and (group := getattr(known[first], "commands", None)):
            assert second in group, f"fanfare {words}"
    for name in re.findall(r"\bFANFARE_[A-Z_]+[A-Z]\b", text):
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document):
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:`|^ {4})make ([a-z0-9-]+)", document.read_text(), re.MULTILINE):
        assert target in targets, target


def test_metrics_that_are_to_be_looked_at_exist():
    import archiver.worker
    import fanout.budget
    import fanout.worker
    import gateway.node
    import notifier.worker

    assert archiver.worker
    assert fanout.budget
    assert fanout.worker
    assert gateway.node
    assert notifier.worker
    known = {name.removesuffix("_total") for names in REGISTRY._collector_to_names.values() for name in names}
    named = re.findall(r"\bfanfare_[a-z_]+\b", (ROOT / "docs/operations.md").read_text())
    assert named
    for name in named:
        assert name.removesuffix("_total") in known, name


def test_the_packages_of_the_layout_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"`{package}/`" in contributing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lines_are_short_enough_for_a_diff(document):
    if document.parent.name == "benchmarks":
        return  # written by `make bench`
    long = [
        line for line in document.read_text().splitlines() if len(line) > 110 and not line.startswith("|")
    ]
    assert long == []
