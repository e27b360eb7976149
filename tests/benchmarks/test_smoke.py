"""Every benchmark runs, in its smallest size: the numbers mean nothing, but each case has one that was measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.long]
_ROOT = Path(__file__).parents[2]
_CASES = {
    "last_hop": {"50", "50 burst", "50 zlib", "50 mixed"},
    "memory": {"100 plain", "100 zlib"},
    "latency": {
        *(
            f"{what}: {p}"
            for what in ("delivered", "accepted")
            for p in ("p50", "p95", "p99", "p99.9", "most")
        ),
        *(f"chain of bare libraries: {p}" for p in ("p50", "p99")),
    },
    "storm": {
        "storm 50",
        "moved 50",
        "moved: fence records",
        *(
            f"{way}, {node} node: {p}"
            for way in ("alone", "storm")
            for node in ("same", "other")
            for p in ("p50", "p99")
        ),
    },
    "ingest": {"REST", "op 128"},
}
"""The cases that a benchmark must show; of the others it is enough that they show any."""
_OPTIONS = {"last_hop": ["--all"]}
_OTHERS = [
    "append", "workers", "archive", "positions", "location", "rebalance", "huge_guild", "everyone", "capacity_check",
    "growth", "live_view",
]  # fmt: skip


@pytest.mark.parametrize("name", [*_CASES, *_OTHERS])
def test_a_benchmark_runs(name):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json", *_OPTIONS.get(name, [])],
        cwd=_ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("FANFARE_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "NO C COMPILER" in done.stderr and not done.stdout:
        pytest.skip("no C compiler")
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["benchmark"] == name
    assert said["environment"]["cores"] == os.cpu_count()
    found = {result["case"]: result for result in said["results"]}
    assert found
    assert len(found) == len(said["results"])
    assert found.keys() == _CASES.get(name, found.keys())
    for result in found.values():
        assert result["value"] > 0, result
        assert result["unit"], result
        assert result["baseline"] is None or result["baseline"] > 0, result
