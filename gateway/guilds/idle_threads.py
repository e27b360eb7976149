"""Threads in which nobody says anything are archived."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Final, Protocol

from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["archive_idle_threads"]

_EVERY_S: Final = 60.0

_log = logs.get("threads")


class Stored(Protocol):
    """The database: `fanfare.store.Store`."""

    async def archive_idle(self, now: datetime) -> int:
        """Archive threads that are due. Raises StoreUnavailableError."""


async def archive_idle_threads(store: Stored) -> None:
    """Look every minute or so; a supervised task. Any number of nodes may do so at once."""
    while True:
        await asyncio.sleep(_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
        try:
            await store.archive_idle(datetime.now(UTC))
        except StoreUnavailableError as error:
            _log.warning("idle threads are not archived", action=Action.DATABASE_AWAY, why=str(error))
