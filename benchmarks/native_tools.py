"""The C side of the benchmarks: compiled when run; without a compiler it is left out, loudly."""

import asyncio
import asyncio.subprocess
import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["LAST_CORE", "compiled", "ended", "pinned"]

# Of the process that is measured; everything else is on the others.
LAST_CORE = (os.cpu_count() or 1) - 1

_SOURCES = Path(__file__).parent / "native"


@functools.cache
def compiled(name: str) -> str | None:
    """The path of the program made from native/NAME.c; None if there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print(f"NO C COMPILER: {name} cannot be made, so what needs it is left out", file=sys.stderr)
        return None
    target = Path(tempfile.mkdtemp(prefix="fanfare-bench-")) / name
    subprocess.run([compiler, "-O2", "-o", target, _SOURCES / f"{name}.c"], check=True)
    atexit.register(shutil.rmtree, target.parent, ignore_errors=True)
    return str(target)


def pinned(core: int, *command: str) -> list[str]:
    """The command, on one core only where that can be said."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *command] if taskset else list(command)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Kill a process if it still runs, and wait for it."""
    if process.returncode is None:
        process.kill()
    await process.wait()
