"""The way of a message, walked by the bare libraries: what latency is left when all that Fanfare does is left out.

`chain_times` runs four processes, as a message goes through four: one produces at a pace; one consumes and produces;
one consumes and appends to a Redis stream; one reads the stream. Each is a loop around aiokafka and redis-py on uvloop,
with none of our code: no claims, no look-ups, no sockets of clients. The settings are those that we use (acks=all,
idempotent, no linger), the broker and Redis those of the system that is measured, which is idle meanwhile.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from benchmarks.bare import paced
from benchmarks.native_tools import ended

__all__ = ["CHAIN_TOPICS", "chain_times"]

CHAIN_TOPICS = ("chain.events", "chain.deliveries")
_STREAM = "chain.inbox"
# About what a record has.
_FILLING = b"x" * 680
_WARM_S = 2.0


async def chain_times(servers: str, redis: str, rate: int, seconds: float) -> list[float]:
    """The times from when each message should have been sent to when it came, in ms, sorted."""
    count = int(rate * seconds)
    total = str(count + int(rate * _WARM_S))
    async with AsyncExitStack() as stack:

        async def start(*arguments: str) -> asyncio.subprocess.Process:
            process = await _start(*arguments)
            stack.push_async_callback(ended, process)
            return process

        reader = await start(_read.__name__, servers, redis, total)
        for stage in (_append, _pass_on):
            await start(stage.__name__, servers, redis, total)
        await start(_send.__name__, servers, redis, total, str(rate))
        assert reader.stdout is not None
        said = await asyncio.wait_for(reader.stdout.readline(), seconds + 60)
    return sorted(float(ms) for ms in said.split()[-count:])


async def _start(stage: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a process, and wait until it is at work."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.chain", stage, *arguments),
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if line != b"ready\n":
        raise RuntimeError(f"{stage} said {line!r}")
    return process


def _ready() -> None:
    print("ready", flush=True)


@asynccontextmanager
async def _producer(servers: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=0)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _consumer(servers: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_end(place)
        yield consumer
    finally:
        await consumer.stop()


async def _send(servers: str, _: str, count: str, rate: str) -> None:
    async with _producer(servers) as producer:
        _ready()

        async def send(due: float) -> None:
            await producer.send_and_wait(CHAIN_TOPICS[0], b"%.9f " % due + _FILLING, partition=0)

        await paced(send, int(rate), int(count))


async def _pass_on(servers: str, _: str, count: str) -> None:
    async with _producer(servers) as producer, _consumer(servers, CHAIN_TOPICS[0]) as consumer:
        _ready()
        left = int(count)
        while left > 0:
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                sent = [await producer.send(CHAIN_TOPICS[1], one.value, partition=0) for one in messages]
                await asyncio.gather(*sent)
                left -= len(messages)


async def _append(servers: str, url: str, count: str) -> None:
    async with Redis.from_url(url) as redis, _consumer(servers, CHAIN_TOPICS[1]) as consumer:
        _ready()
        left = int(count)
        while left > 0:
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                pipe: Any = redis.pipeline(transaction=False)
                for one in messages:
                    pipe.xadd(_STREAM, {"e": one.value}, maxlen=10_000, approximate=True)
                await pipe.execute()
                left -= len(messages)


async def _read(_: str, url: str, count: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.delete(_STREAM)
        _ready()
        times: list[float] = []
        last: Any = "0"
        while len(times) < int(count):
            answer: Any = await redis.xread({_STREAM: last}, count=1000, block=1000)
            now = time.monotonic()
            rows = answer[0][1] if answer else []
            times += [(now - float(fields[b"e"].split(b" ", 1)[0])) * 1000 for _, fields in rows]
            last = rows[-1][0] if rows else last
        print(*(f"{ms:.3f}" for ms in times), flush=True)


if __name__ == "__main__":
    stages = {stage.__name__: stage for stage in (_send, _pass_on, _append, _read)}
    work: Coroutine[Any, Any, None] = stages[sys.argv[1]](*sys.argv[2:])
    uvloop.run(work)
