"""Short pieces of work that run in the background, each for one request; a failure is logged."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["Background"]


class Background:
    """Holds the tasks until they are done."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._log = logs.get("gateway")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a short piece of work in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a request failed", action=Action.REQUEST_FAILED, exc_info=error)
