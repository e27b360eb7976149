"""The modules that say of themselves that they are pure. `python -m tests.pure` prints them with commas between."""

import ast
import re
from pathlib import Path

__all__ = ["pure_modules"]

ROOT = Path(__file__).parents[1]
PRODUCT = ("fanfare", "gateway", "fanout", "notifier", "archiver")


def pure_modules() -> list[Path]:
    """The modules with `Pure.`, `Pure:` or `Pure;` in their docstring; not those that are pure but for something."""
    return [
        path
        for package in PRODUCT
        for path in sorted((ROOT / package).rglob("*.py"))
        if re.search(r"\bPure[.:;]", ast.get_docstring(ast.parse(path.read_text())) or "")
    ]


if __name__ == "__main__":
    print(",".join(str(path.relative_to(ROOT)) for path in pure_modules()))
