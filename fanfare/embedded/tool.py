"""Runs a helper program, such as initdb, to its end."""

import asyncio
import os

from fanfare.embedded.child import Mode, launch_command
from fanfare.embedded.errors import UpError

__all__ = ["run_tool", "try_tool"]

LAST_LINES = 4


async def try_tool(command: list[str], *, mode: Mode = "same", timeout_s: float = 120) -> tuple[int, str]:
    """Exit status and output of a program; it is killed when we are cancelled or it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *launch_command(mode, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace")


async def run_tool(what: str, command: list[str], *, mode: Mode = "same", timeout_s: float = 120) -> None:
    """Run a program that has to succeed.

    Raises:
        UpError: it failed or took too long; `what` says in the message what it was for.

    """
    try:
        code, output = await try_tool(command, mode=mode, timeout_s=timeout_s)
    except TimeoutError:
        raise UpError(f"{what} took longer than {timeout_s:.0f} s and was given up") from None
    if code != 0:
        last = [line.strip() for line in output.splitlines() if line.strip()][-LAST_LINES:]
        raise UpError(f"{what} failed (status {code}): {' | '.join(last)}")
