"""A smoke run of the workers' benchmarks: the numbers mean nothing, but each is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    ["append", "workers", "archive", "rebalance", "huge_guild", "everyone", "capacity_check", "growth"],
)
def test_it_runs(name):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "NO C COMPILER" in done.stderr and not done.stdout:
        pytest.skip("no C compiler")
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["benchmark"] == name
    assert said["results"]
    for result in said["results"]:
        assert result["value"] > 0, result
        assert result["baseline"] is None or result["baseline"] > 0, result
