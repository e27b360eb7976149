"""The internal HTTP server of a process: health, readiness, metrics, status. Not for the public."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from fanfare.addresses import url_host
from fanfare.settings import SettingsError
from fanfare.telemetry import metrics

__all__ = ["InternalServer", "Watchdog"]

TICK_S: Final = 0.5
# A loop whose last tick is older than this is not healthy.
STUCK_S: Final = 5.0
_MOST_NAMES: Final = 50


class Watchdog:
    """Notes that the event loop turns, and how late it is."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + TICK_S
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        metrics.LOOP_LAG.set(now - self._due)
        self._due = now + TICK_S
        self._timer = self._loop.call_at(self._due, self._tick)

    def alive(self) -> bool:
        """Whether the loop has ticked lately."""
        return self._loop.time() - self._due < STUCK_S

    def close(self) -> None:
        """Stop ticking."""
        self._timer.cancel()


class InternalServer:
    """/healthz, /readyz, /metrics, /status, and for who asks each second /sample."""

    def __init__(self, unready: Callable[[], str], status: Callable[[], dict[str, object]]) -> None:
        """Args: unready: why no work can be done now, or ''. status: the body of /status."""
        self._unready = unready
        self._status = status
        self._runner: web.AppRunner | None = None
        self._watchdog: Watchdog | None = None
        self.address = ""
        """`http://HOST:PORT`, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            SettingsError: the port is in use, or the address is not one of this machine's.

        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._show_status)
        app.router.add_get("/sample", self._sample)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            why = "is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            raise SettingsError(
                f"internal address {url_host(host)}:{port} {why}: set FANFARE_INTERNAL_PORT or FANFARE_INTERNAL_HOST"
            ) from None
        self._runner = runner
        self._watchdog = Watchdog()
        bound = runner.addresses[0][1]
        self.address = f"http://{url_host(host)}:{bound}"

    async def stop(self) -> None:
        """Close the port."""
        if self._watchdog is not None:
            self._watchdog.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._watchdog is not None and self._watchdog.alive()
        return web.Response(text="ok\n" if alive else "stuck\n", status=200 if alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._unready()
        return web.Response(text=f"not ready: {why}\n" if why else "ready\n", status=503 if why else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"}
        )

    async def _sample(self, request: web.Request) -> web.Response:
        """The status, and of the metrics those that the query names."""
        names = request.query.getall("name", [])[:_MOST_NAMES]
        said = {"status": self._status(), "samples": metrics.samples(names)}
        return web.Response(body=msgspec.json.encode(said), content_type="application/json")

    async def _show_status(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")
