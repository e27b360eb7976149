"""What the workers are compared with: consume and produce with aiokafka, and nothing besides.

`python -m benchmarks.bare_loop BOOTSTRAP FROM TO BATCH` reads one topic as a group and writes what it reads to
another one, same partition, same headers: at most BATCH records at a time, all acknowledged before the next. Commits
once a second, as the workers do. Ends on SIGTERM.
"""

import asyncio
import contextlib
import signal
import sys
import time
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

GROUP = "bare-loop"


async def main(bootstrap: str, source: str, target: str, batch: int) -> None:
    """Copy until SIGTERM."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=512 * 1024,
    )
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        fetch_max_bytes=8 * 1024 * 1024,
        max_partition_fetch_bytes=512 * 1024,
    )
    await producer.start()
    await consumer.start()
    work = asyncio.create_task(_copy(consumer, producer, target, batch))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    await consumer.stop()
    await producer.stop()


async def _copy(consumer: Any, producer: Any, target: str, batch: int) -> None:
    """Copy for ever."""
    committed = time.monotonic()
    while True:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=batch)
        waiting = [
            await producer.send(
                target,
                value=each.value,
                key=each.key,
                partition=partition.partition,
                headers=list(each.headers),
            )
            for partition, messages in fetched.items()
            for each in messages
        ]
        await asyncio.gather(*waiting)
        if time.monotonic() - committed > 1:
            await consumer.commit()
            committed = time.monotonic()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
