"""The benchmarks of the gateway run: tiny sizes, no thresholds, every case with numbers that were measured."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("cc") is None, reason="the baselines are compiled: no cc"),
]

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "options", "cases"),
    [
        ("last_hop", ["--all"], ["50", "50 burst", "50 zlib", "50 mixed"]),
        ("memory", [], ["100 plain", "100 zlib"]),
        (
            "latency",
            [],
            [
                *(
                    f"{what}: {p}"
                    for what in ("delivered", "accepted")
                    for p in ("p50", "p95", "p99", "p99.9", "most")
                ),
                *(f"chain of bare libraries: {p}" for p in ("p50", "p99")),
            ],
        ),
        (
            "storm",
            [],
            [
                "storm 50",
                "moved 50",
                "moved: fence records",
                *(
                    f"{way}, {node} node: {p}"
                    for way in ("alone", "storm")
                    for node in ("same", "other")
                    for p in ("p50", "p99")
                ),
            ],
        ),
        ("ingest", [], ["REST", "op 128"]),
    ],
)
def test_a_benchmark_runs(name, options, cases):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json", *options],
        cwd=_ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("FANFARE_")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["benchmark"] == name
    assert said["environment"]["cores"] == os.cpu_count()
    found = {result["case"]: result for result in said["results"]}
    assert sorted(found) == sorted(cases)
    for result in found.values():
        assert result["value"] > 0, result
        assert result["unit"]
        if result["ratio"] is not None:
            assert result["baseline"] > 0
            assert result["ratio"] > 0
