"""Bare servers that the gateway is measured against: `python -m benchmarks.bare KIND` says its port and serves.

websocket    websockets' own asyncio server, its settings as they come, with an echo handler
http         aiohttp with one handler that reads the body as JSON and answers with JSON
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

__all__ = ["Bare", "bare"]


class Bare:
    """A bare server in a process of its own."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self.address = f"ws://127.0.0.1:{port}/"


@asynccontextmanager
async def bare(kind: str) -> AsyncIterator[Bare]:
    """Run one of the servers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bare", kind, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield Bare(process.pid, int(await asyncio.wait_for(process.stdout.readline(), 30)))
    finally:
        process.kill()
        await process.wait()


async def _websocket() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, backlog=4096) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


async def _http() -> None:
    async def answer(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        return web.Response(text=json.dumps(body), content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run({"websocket": _websocket, "http": _http}[sys.argv[1]]())
