"""Prometheus' own promtool, built from its Go module where there is Go; its version is pinned by go.sum.

`python -m deploy.promtool` builds it, which takes minutes, and says so where it cannot.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["main", "promtool"]

_MODULE: Final = Path(__file__).with_name("promtool_module")
_PACKAGE: Final = "github.com/prometheus/prometheus/cmd/promtool"


def promtool() -> Path | None:
    """The program, if it was built: it lies beside the interpreter."""
    target = Path(sys.executable).with_name("promtool")
    return target if target.exists() else None


def main() -> None:
    """Build it, if it is not there and there is Go."""
    if promtool() is not None:
        return
    if shutil.which("go") is None:
        sys.stderr.write("THE ALERTS WILL NOT BE FIRED: this machine has no Go to build promtool with\n")
        return
    sys.stderr.write("Building promtool (minutes, once)\n")
    target = Path(sys.executable).with_name("promtool")
    part = target.with_suffix(f".{os.getpid()}")
    command = ["go", "build", "-mod=readonly", "-o", str(part), _PACKAGE]
    if subprocess.run(command, cwd=_MODULE, check=False).returncode:  # noqa: S603 - the pinned module
        sys.stderr.write(
            "THE ALERTS WILL NOT BE FIRED: promtool could not be built; its modules come by network\n"
        )
        return
    part.replace(target)


if __name__ == "__main__":
    main()
