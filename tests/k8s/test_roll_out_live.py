"""Services are replaced under load, as the manifests have it, while the checker looks on: nothing is lost.

How long the longest gap was at each step is told, not asserted; docs/operations.md has what was measured.
"""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.kubernetes import ROOT
from tests.k8s.manifests import SERVICES, Manifests, pod
from torture.history import History
from torture.pods import Cluster
from torture.roll_out import Deployment, RollOut, Version
from torture.run import Row, Wanted, run_one
from torture.system import Scale, seeded
from torture.world import World, make_world

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(900)]

SCALE = Scale(brokers=1, gateway=2, fanout=2, notifier=2, archiver=2)
NOW = Version("now", ROOT)
# The last commit before there were manifests: an installation of then is brought to now, and back.
BEFORE = "3765aceabe333b5440660be1cb2e2eca4bcef0fe"


def deployments(manifests: Manifests) -> list[Deployment]:
    """How the manifests replace each service."""
    found = []
    for role in SERVICES:
        spec = manifests.ours()[role]["spec"]
        strategy = spec["strategy"]["rollingUpdate"]
        assert strategy["maxUnavailable"] == 0
        surge = str(strategy["maxSurge"])
        share = int(surge.removesuffix("%"))
        found.append(
            Deployment(
                role,
                surge=math.ceil(share / 100 * getattr(SCALE, role)) if surge.endswith("%") else share,
                min_ready_s=spec["minReadySeconds"],
                grace_s=pod(manifests.ours()[role])["terminationGracePeriodSeconds"],
            )
        )
    return found


def variables(manifests: Manifests) -> dict[str, str]:
    """The settings of which it depends how a pod stops."""
    names = ("FANFARE_UNREADY_S", "FANFARE_DRAIN_S", "FANFARE_SESSION_TIMEOUT_MS")
    return {name: manifests.variables()[name] for name in names}


def noticed_s(manifests: Manifests) -> float:
    """How late the cluster sees by its probe that a pod takes nothing more."""
    probe = pod(manifests.ours()["gateway"])["containers"][0]["readinessProbe"]
    return float(probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"])


async def run(cluster: Cluster, world: World, fault: RollOut, file: Path) -> Row:
    """With load, and with what it showed told."""
    said: list[str] = []
    with file.open("wb") as lines:
        history = History(lines)
        row = await run_one(cluster, world, fault, Wanted(14, 0, 30, 60, 0, said.append), history, "roll")
    verdict = row.verdict
    print(*said, sep="\n")
    for times, gap_s in zip(history.faults, verdict.gaps_s, strict=True):
        print(f"{times.detail}: longest gap {gap_s:.2f} s")
    print(f"{verdict.accepted} accepted, {verdict.delivered} deliveries, longest gap {verdict.gap_s:.2f} s")
    assert row.passed, [*verdict.violations, *row.trails]
    return row


async def test_an_update_in_the_steps_of_the_manifests_loses_nothing(tmp_path):
    manifests = Manifests("dev")
    settings = variables(manifests)
    async with Cluster(
        tmp_path, SCALE, code=ROOT, settings=settings, notice_s=noticed_s(manifests)
    ) as cluster:
        world = await make_world(cluster.settings, 30, seeded(14, "world"))
        before = {one.name for role in SERVICES for one in cluster.pods(role)}
        row = await run(cluster, world, RollOut(deployments(manifests), [NOW]), tmp_path / "history.jsonl")
        after = {one.name for role in SERVICES for one in cluster.pods(role)}
        assert len(after) == len(before)
        assert not after & before
        assert sum(map(len, row.resumes)) > 0, "nobody moved from one gateway to another"


@pytest.fixture
def before(tmp_path) -> Iterator[Path]:
    """The tree of an older commit."""
    there = subprocess.run(
        ["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if there.returncode:
        pytest.skip(f"THE UPGRADE WAS NOT TRIED: this clone has no commit {BEFORE}; get its whole history")
    tree = tmp_path / "before"
    tree.mkdir()
    packed = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed.stdout, check=True)
    # The same jars: that commit has the same lock, or fetches what it lacks.
    (tree / ".jgo").symlink_to(ROOT / ".jgo")
    return tree


MAKE_WORLD = """
import asyncio, sys, msgspec
from fanfare.environment import load_settings
from torture.system import seeded
from torture.world import make_world
made = asyncio.run(make_world(load_settings(), 30, seeded(14, "world")))
sys.stdout.write(msgspec.json.encode(made).decode())
"""


def older_world(cluster: Cluster) -> World:
    """Made by the older code, in its tables."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE_WORLD],
        cwd=cluster.folder,
        env=cluster.environment | cluster.variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return msgspec.json.decode(done.stdout, type=World)


def environment_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


async def test_an_upgrade_and_the_way_back_lose_nothing(before, tmp_path):
    """What one version writes (records, inboxes, keys, rows), the other one reads, while both run."""
    quick = [Deployment(role, surge=1, min_ready_s=1, grace_s=30) for role in SERVICES]
    settings = {"FANFARE_UNREADY_S": "2", "FANFARE_DRAIN_S": "2"}
    old = Version("before", before, jobs=False)
    async with Cluster(tmp_path, SCALE, code=before, settings=settings, notice_s=1) as cluster:
        world = older_world(cluster)
        await run(cluster, world, RollOut(quick, [NOW, old]), tmp_path / "history.jsonl")
        for role in SERVICES:
            for one in cluster.pods(role):
                assert f"PYTHONPATH={before}" in environment_of(one.child.pid)
