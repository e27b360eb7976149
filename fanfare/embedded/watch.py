"""Tells who asks by the control socket what the system does: the figures of `fanfare top`.

The connections for it are made when somebody asks, and closed when nobody has asked for a while. However many watch,
there is one look a second.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from fanfare.embedded.control import Handlers
from fanfare.embedded.folder import DataFolder
from fanfare.settings import Settings

if TYPE_CHECKING:
    from fanfare.observe.collect import Collector
    from fanfare.observe.figures import Figures, Window

__all__ = ["Watch"]

# Answers to those who ask at nearly the same time are the same.
_FRESH_S: Final = 0.8
_IDLE_S: Final = 15.0


class Watch:
    """`async with Watch(settings, folder) as watch`; `watch.handlers` answer."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        """Args: settings: with the addresses of the stores."""
        self._settings = settings
        self._folder = folder
        self._lock = asyncio.Lock()
        self._open = AsyncExitStack()
        self._collector: Collector | None = None
        self._window: Window | None = None
        self._said: Figures | None = None
        self._said_at = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._idle:
            self._idle.cancel()
        await self._close()

    @property
    def handlers(self) -> Handlers:
        """What the control socket is to answer."""
        return {"figures": self.figures}

    async def figures(self, _: dict[str, Any]) -> "Figures":
        """The figures of `fanfare top --json`; not older than a second."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._idle:
                self._idle.cancel()
            self._idle = loop.call_later(_IDLE_S, self._rest)
            if self._said is None or loop.time() - self._said_at > _FRESH_S:
                self._said_at = loop.time()
                self._said = await self._look()
            return self._said

    async def _look(self) -> "Figures":
        from fanfare.observe.collect import Collector  # noqa: PLC0415 - slow to import
        from fanfare.observe.figures import Window  # noqa: PLC0415

        if self._collector is None or self._window is None:
            self._window = Window()
            self._collector = await self._open.enter_async_context(
                Collector(self._settings, lambda: self._folder.read_state()["processes"])
            )
        return self._window.add(await self._collector.sample())

    def _rest(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        async with self._lock:
            self._collector = self._window = self._said = None
            opened, self._open = self._open, AsyncExitStack()
            await opened.aclose()
