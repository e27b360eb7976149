"""Runs a stack until a signal: the part of `fanfare up` that knows about signals and the terminal."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

from fanfare.embedded.connect import how_to_connect
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.output import Output
from fanfare.embedded.stack import Plan, Stack
from fanfare.settings import Settings, SettingsError

__all__ = ["run_until_stopped"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_until_stopped(settings: Settings, plan: Plan, folder: DataFolder, ready_fd: int = -1) -> int:
    """Start, wait for SIGINT or SIGTERM, stop. A second signal kills what still runs. SIGHUP is passed to the services.

    `ready_fd` is the descriptor by which a parent that started us in the background learns how the start went. Answers
    the exit status.
    """
    output = Output(children=ready_fd < 0)
    stack = Stack(settings, plan, folder, output)
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    # Explicit handlers, because a shell that starts us in the background leaves SIGINT ignored.
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, stack.reload)

    try:
        with folder.locked():
            folder.forget_run()
            try:
                return await _run(stack, stop, output, folder, ready_fd)
            finally:
                await stack.stop()
                output.say("stopped")
    except (UpError, SettingsError) as error:
        _tell(ready_fd, {"error": str(error)})
        sys.stderr.write(f"error: {error}\n")
        return 1


async def _run(stack: Stack, stop: asyncio.Event, output: Output, folder: DataFolder, ready_fd: int) -> int:
    began = time.monotonic()
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(stack.start())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not starting.done():
            output.say("stopping before everything was started")
            _tell(ready_fd, {"error": "stopped before everything was started"})
            return 1
        run = await starting
        text = how_to_connect(run, folder.run_file)
        output.say(f"ready after {time.monotonic() - began:.1f} s")
        _tell(ready_fd, {"ready": text})
        with contextlib.suppress(OSError):
            print(text, flush=True)
        await stop.wait()
        output.say("stopping")
        return 0
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _tell(fd: int, message: dict[str, str]) -> None:
    if fd < 0:
        return
    with contextlib.suppress(OSError):  # it may be gone, or have been told already
        os.write(fd, json.dumps(message).encode() + b"\n")
        os.close(fd)
