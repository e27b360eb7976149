"""`python -m tests.fuzz [--cases N] [--seed N]`: broken requests to a system of its own."""

import argparse
import tempfile
from pathlib import Path

from tests.fuzz.run import attack
from tests.stack import Stack


def main() -> None:
    """Run it, and say what was answered."""
    words = argparse.ArgumentParser(prog="python -m tests.fuzz")
    words.add_argument("--cases", type=int, default=1_000_000)
    words.add_argument("--seed", type=int, default=None, help="the same seed makes the same cases")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="fanfare-fuzz-") as folder:
        stack = Stack(Path(folder), options=["--scale", "gateway=2,fanout=1,notifier=1,archiver=1"])
        stack.start()
        try:
            counts = attack(stack, asked.cases, seed=asked.seed)
        finally:
            stack.stop()
    for what, count in sorted(counts.items()):
        print(f"{count:>9,}  {what}")


main()
