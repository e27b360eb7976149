"""Every benchmark, one after the other: `make bench`.

The figures of each go to benchmarks/history.csv, one line a case, and its JSON replaces the one before it in
docs/benchmarks/results.jsonl, from which the table in docs/benchmarks/README.md is made again. A smoke run writes
nothing. A benchmark that fails does not keep the others from running, but the exit status says so.
"""

import argparse
import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.table import rewritten

_ROOT: Final = Path(__file__).parents[1]
_FOLDER: Final = _ROOT / "docs" / "benchmarks"
_HISTORY: Final = _ROOT / "benchmarks" / "history.csv"
_COLUMNS: Final = ("commit", "benchmark", "case", "value", "unit", "baseline", "ratio")
_TIMEOUT_S: Final = 1_800
# In this order, with these arguments.
BENCHMARKS: Final[dict[str, tuple[str, ...]]] = {
    "last_hop": ("--all",),
    "latency": (),
    "memory": (),
    "storm": (),
    "ingest": (),
    "append": (),
    "workers": (),
    "archive": (),
    "positions": (),
    "location": (),
    "rebalance": (),
    "huge_guild": (),
    "everyone": (),
    "capacity_check": (),
    "live_view": (),
    "growth": ("--plot",),
}


class Ran(NamedTuple):
    """The end of a benchmark."""

    name: str
    said: dict[str, Any] | None
    """Its JSON; None if it failed."""


def main() -> int:
    """Run them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="some of them; default, all")
    parser.add_argument("--smoke", action="store_true", help="seconds each, and nothing is written")
    asked = parser.parse_args()
    if unknown := sorted({*asked.names} - {*BENCHMARKS}):
        parser.error(f"{', '.join(unknown)}: the benchmarks are {', '.join(BENCHMARKS)}")
    failed = []
    for name in asked.names or BENCHMARKS:
        ran = _run(name, smoke=asked.smoke)
        if ran.said is None:
            failed.append(name)
        elif not asked.smoke:
            _keep(ran.said)
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, *, smoke: bool) -> Ran:
    """Run one; what it says is passed on."""
    if importlib.util.find_spec(f"benchmarks.{name}") is None:
        print(f"THERE IS NO BENCHMARK {name} YET", file=sys.stderr)
        return Ran(name, None)
    more = tuple(option for option in BENCHMARKS[name] if not (smoke and option == "--plot"))
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *more, *(["--smoke"] if smoke else [])]
    print(f"--- {' '.join(command[1:])}", flush=True)
    try:
        done = subprocess.run(
            command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{name} took more than {_TIMEOUT_S} s", file=sys.stderr)
        return Ran(name, None)
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), flush=True)
    if done.returncode or not lines:
        return Ran(name, None)
    try:
        said: dict[str, Any] = json.loads(lines[-1])
    except ValueError:
        return Ran(name, None)
    return Ran(name, said)


def _keep(said: dict[str, Any]) -> None:
    """Append to the history, and make the table again."""
    new = not _HISTORY.exists()
    with _HISTORY.open("a", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        for result in said["results"]:
            writer.writerow(
                {"commit": said["environment"]["commit"], "benchmark": said["benchmark"]} | result
            )
    kept = _FOLDER / "results.jsonl"
    there = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    every = {each["benchmark"]: each for each in [*there, said]}
    order = [*BENCHMARKS]
    results = sorted(every.values(), key=lambda each: order.index(each["benchmark"]))
    kept.write_text("".join(json.dumps(each) + "\n" for each in results))
    page = _FOLDER / "README.md"
    page.write_text(rewritten(page.read_text(), results))


if __name__ == "__main__":
    sys.exit(main())
