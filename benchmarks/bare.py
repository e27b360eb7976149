"""What the system is measured against: bare servers and a bare producer, each in a process of its own.

`python -m benchmarks.bare KIND` says its port and serves:

websocket    websockets' own asyncio server, its settings as they come, with an echo handler
http         aiohttp with one handler that reads the body as JSON and answers with JSON
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Any

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["Bare", "bare", "paced", "produce_p50"]

# About what a record of chat.events has.
_VALUE = b"x" * 700


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


async def produce_p50(servers: str, topic: str, rate: int, seconds: float) -> float:
    """The median time of an acks=all produce at a pace, in ms."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.bare", "produce", servers, topic, str(rate), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), seconds + 60)
    await process.wait()
    return float(said)


async def paced(send: Callable[[float], Coroutine[Any, Any, None]], rate: int, count: int) -> None:
    """Call `send` at a pace (a second), each time with when it is due, whether or not those before are done."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for at in range(count):
            due = start + at / rate
            await asyncio.sleep(due - time.monotonic())
            group.create_task(send(due))


async def _produce(servers: str, topic: str, rate: str, seconds: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    await producer.start()
    times: list[float] = []

    async def send(due: float) -> None:
        await producer.send_and_wait(topic, _VALUE)
        times.append((time.monotonic() - due) * 1000)

    try:
        for warm in (True, False):
            times.clear()
            await paced(send, int(rate), int(int(rate) * float(seconds) * (0.2 if warm else 1)))
    finally:
        await producer.stop()
    print(median(times), flush=True)


async def _websocket() -> None:
    async def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):  # its clients just go
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
    if sys.argv[1] == "produce":
        uvloop.run(_produce(*sys.argv[2:]))
    else:
        uvloop.run({"websocket": _websocket, "http": _http}[sys.argv[1]]())
