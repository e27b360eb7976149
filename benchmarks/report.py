"""How a benchmark says what it measured."""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Result", "arguments", "environment", "ratio", "say"]


@dataclass(frozen=True, slots=True)
class Result:
    """One measured case."""

    case: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    aim: str
    met: bool | None


def ratio(
    case: str, unit: str, rounds: list[tuple[float, float]], aim: float | None, *, least: bool = True
) -> Result:
    """The medians of interleaved rounds of (value, baseline), and the median of their ratios.

    Args:
        case: which case.
        unit: of both.
        rounds: at least one.
        aim: for the ratio; None: it is only reported.
        least: whether the ratio shall be at least the aim, or at most.

    """
    found = median(value / baseline for value, baseline in rounds)
    return Result(
        case,
        median(value for value, _ in rounds),
        unit,
        median(baseline for _, baseline in rounds),
        round(found, 3),
        "reported" if aim is None else f"{'>=' if least else '<='}{aim}",
        None if aim is None else found >= aim if least else found <= aim,
    )


def arguments(description: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument(
        "--smoke", action="store_true", help="seconds, to see that it runs; the numbers mean nothing"
    )
    return parser


def environment() -> dict[str, Any]:
    """What it was measured on."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "?",
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
    }


def say(benchmark: str, results: list[Result], before: dict[str, Any], *, as_json: bool) -> None:
    """Print the results; with `as_json` the last line is the object."""
    for result in results:
        print(
            f"{benchmark} {result.case}: {result.value:,.1f} {result.unit}"
            + (f", baseline {result.baseline:,.1f}" if result.baseline is not None else "")
            + (f", ratio {result.ratio} (aim {result.aim})" if result.ratio is not None else "")
        )
    if as_json:
        print(
            json.dumps(
                {
                    "benchmark": benchmark,
                    "results": [asdict(result) for result in results],
                    "environment": before,
                }
            )
        )
    sys.stdout.flush()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "?"
