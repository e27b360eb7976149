"""What a record costs Redis: the append script against bare XADDs of as many records in a pipeline.

Method. A Redis of its own, one client. Each round appends the same records in batches of the same size, to an inbox by
the script and to a stream by XADD; the time is the server's own, as INFO commandstats counts it, so neither the client
nor the network is in it. Rounds are interleaved; medians. Memory is MEMORY USAGE of an inbox that only grew.
"""

import asyncio
from typing import Any

from msgspec.structs import replace
from redis.asyncio import Redis

from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.stores import message, redis_of, stores
from fanfare.presence import inboxes, keys
from fanfare.presence.inboxes import APPEND
from fanfare.record import Position, Record

_BATCHES = (1, 10, 100)
_TOPIC = "chat.events"


async def main() -> None:
    """Measure."""
    parser = arguments("Redis time of an append")
    asked = parser.parse_args()
    before = environment()
    rounds, records = (1, 200) if asked.smoke else (7, 20_000)
    async with stores() as system, redis_of(system.settings()) as redis:
        results = [await _case(redis, batch, rounds, records) for batch in _BATCHES]
        results.append(await _memory(redis, 200 if asked.smoke else 10_000))
    say("append", results, before, as_json=asked.json)


async def _case(redis: Redis, batch: int, rounds: int, records: int) -> Result:
    """Microseconds of Redis for each record."""
    pairs = []
    for _ in range(rounds):
        sent = [(record, record.pack()) for record in _records(records)]
        await _inbox(redis)
        script = await _used_us(
            redis, "evalsha", lambda pipe, part: inboxes.append(pipe, "bench.1", part), sent, batch
        )
        bare = await _used_us(redis, "xadd", _xadd, sent, batch)
        await redis.delete("bench:bare")
        pairs.append((script / records, bare / records))
    return ratio(f"batches of {batch}", "us of Redis a record", pairs, None, least=False)


def _xadd(pipe: Any, part: list[tuple[Record, bytes]]) -> None:
    for _, packed in part:
        pipe.xadd("bench:bare", {"e": packed})


async def _used_us(
    redis: Redis, command: str, queue: Any, sent: list[tuple[Record, bytes]], batch: int
) -> float:
    """The server's microseconds in a command while records are sent in batches, a hundred batches under way."""
    await redis.config_resetstat()
    at = 0
    while at < len(sent):
        async with redis.pipeline(transaction=False) as pipe:
            for _ in range(100):
                if part := sent[at : at + batch]:
                    queue(pipe, part)
                at += batch
            await pipe.execute()
    stats: Any = await redis.info("commandstats")
    return float(stats[f"cmdstat_{command}"]["usec"])


async def _memory(redis: Redis, records: int) -> Result:
    """Bytes of an inbox for each record of 300 bytes."""
    await _inbox(redis)
    sent = [(record, record.pack()) for record in _records(records)]
    async with redis.pipeline(transaction=False) as pipe:
        for at in range(0, records, 100):
            inboxes.append(pipe, "bench.1", sent[at : at + 100])
        await pipe.execute()
    size: Any = await redis.memory_usage(keys.inbox("bench.1"), samples=0)
    packed = sum(len(each) for _, each in sent) / records
    return ratio(
        "memory, against the packed record", "bytes a record", [(size / records, packed)], None, least=False
    )


async def _inbox(redis: Redis) -> None:
    await redis.delete(keys.inbox("bench.1"), keys.at("bench.1"))
    await inboxes.create(redis, "bench", "bench.1", floor=0, token="t", is_open=True)
    await APPEND.load(redis)


def _records(count: int) -> list[Record]:
    """Messages of ten guilds in six partitions, in the order of the log."""
    offsets = [0] * 6
    found = []
    for number in range(count):
        partition = number % 6
        record = message(number, 3_000_000_000_000_000_000 + number % 40)
        found.append(replace(record, source=Position(_TOPIC, partition, offsets[partition])))
        offsets[partition] += 1
    return found


if __name__ == "__main__":
    asyncio.run(main())
