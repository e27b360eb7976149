"""Fan-out and notifier: events per CPU-second, against a bare consume-and-produce loop of aiokafka.

Method. The log is filled first, messages of 300 bytes with nonces in 40 channels of ten guilds over eight partitions.
Then the real worker, alone on its core, drains it, at most so many records of a partition at a time
(FANFARE_BATCH_RECORDS). Counted is what arrived downstream (the end of chat.deliveries; the positions in the inbox)
and the CPU time of the process meanwhile, without its start. The fan-out's deliveries are what the notifier gets;
one node has members of all guilds. Baseline: `benchmarks.bare_loop` on the same records with the same batch size,
measured the same way. Rounds are interleaved; the median of the ratios is the result.

Besides: several fan-outs that share the partitions, against one alone in the same round.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.bare_loop import GROUP as BARE
from benchmarks.native_tools import pinned
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig
from benchmarks.stores import (
    LAST_CORE,
    Progress,
    Worker,
    channels,
    commits,
    fill,
    message,
    redis_of,
    stores,
    worker,
)
from fanfare.bus.topics import CHAT_DELIVERIES, CHAT_EVENTS, TopicSpec, create_topics
from fanfare.presence import inboxes, keys

PARTITIONS: Final = 8
_BARE_TOPIC: Final = "bench.out"
_HOUR_MS: Final = 3_600_000
_AIM: Final = 0.5
# Records for each batch size: a second or two of work.
_RECORDS: Final = {1: 3_000, 10: 10_000, 100: 20_000, 1000: 40_000}
_STUCK_S: Final = 60.0

Count = Callable[[], Awaitable[int]]


class Bench:
    """One filled log, drained again and again."""

    def __init__(self, system: Rig, partitions: int = PARTITIONS) -> None:
        self.system = system
        self.settings = system.settings()
        self.partitions = partitions
        self.events: dict[int, tuple[int, int]] = {}
        """Per partition of chat.events: first offset, and the one after the last."""
        self.deliveries: dict[int, tuple[int, int]] = {}
        """The same of chat.deliveries, of the fan-out's last drain."""
        self._inboxes = 0

    async def fill(self, count: int) -> None:
        """Put messages into chat.events, and make the topic of the bare loop."""
        await create_topics(self.settings, [TopicSpec(_BARE_TOPIC, self.partitions, _HOUR_MS)])
        # As many channels in each partition: `tail` takes as many records from each.
        each = channels(-(-40 // self.partitions) * self.partitions, self.partitions)
        records = (message(number, each[number % len(each)]) for number in range(count))
        self.events = await fill(self.settings, CHAT_EVENTS, records, self.partitions)

    def tail(self, bounds: dict[int, tuple[int, int]], count: int) -> dict[int, int]:
        """From where to read, so that it is so many records, the same in each partition."""
        return {number: max(first, end - count // self.partitions) for number, (first, end) in bounds.items()}

    async def fanout(self, count: int, batch: int, workers: int = 1) -> float:
        """Events per CPU-second."""
        async with Progress(self.settings, CHAT_DELIVERIES, self.partitions) as progress:
            before = await progress.ends()
            await commits(self.settings, "fanout", CHAT_EVENTS, self.tail(self.events, count))
            made = [
                await worker(self.system, "fanout", core=LAST_CORE, name=f"fanout.{at}", batch_records=batch)
                for at in range(workers)
            ]
            found = await _drained(made, progress.count, count)
            self.deliveries = {
                number: (before[number], end) for number, end in (await progress.ends()).items()
            }
        return found

    async def notifier(self, count: int, batch: int) -> float:
        """Deliveries of the fan-out's last drain, per CPU-second."""
        async with redis_of(self.settings) as redis:
            name = await self._inbox(redis)
            starts = self.tail(self.deliveries, count)
            await commits(self.settings, "notifier", CHAT_DELIVERIES, starts)
            made = await worker(self.system, "notifier", core=LAST_CORE, batch_records=batch)

            async def appended() -> int:
                length: Any = await redis.xlen(keys.inbox(name))
                return int(length) - 1  # its marker

            found = await _drained([made], appended, count)
            await redis.delete(keys.inbox(name), keys.at(name))
            for guild in _guilds():
                await redis.delete(keys.guild_nodes(guild))
        return found

    async def _inbox(self, redis: Redis) -> str:
        """An inbox of its own for each round: there nothing of the log stands yet."""
        self._inboxes += 1
        node, name = f"bench{self._inboxes}", f"bench{self._inboxes}.1"
        await inboxes.create(redis, node, name, floor=0, token="", is_open=True)
        for guild in _guilds():
            await redis.hset(keys.guild_nodes(guild), name, "1")
        return name

    async def bare(self, count: int, batch: int) -> float:
        """Records per CPU-second of the bare loop."""
        async with Progress(self.settings, _BARE_TOPIC, self.partitions) as progress:
            await commits(self.settings, BARE, CHAT_EVENTS, self.tail(self.events, count))
            loop = [sys.executable, "-m", "benchmarks.bare_loop", self.settings.kafka, CHAT_EVENTS]
            process = await asyncio.create_subprocess_exec(
                *pinned(LAST_CORE, *loop, _BARE_TOPIC, str(batch)), cwd=Path(__file__).parents[1]
            )
            return await _drained([Worker("bare loop", process, "")], progress.count, count)


def _guilds() -> set[int]:
    return {message(0, channel).guild for channel in range(10)}


async def _drained(made: list[Worker], count: Count, wanted: int) -> float:
    """Wait until the processes have done it all, and stop them; records per CPU-second, without the start."""
    try:
        began = used = 0.0
        done = newest = 0
        loop = asyncio.get_running_loop()
        moved = loop.time()
        while done < wanted * 0.999:
            if any(each.process.returncode is not None for each in made):
                raise RuntimeError(f"a {made[0].role} ended")
            if loop.time() - moved > _STUCK_S:
                raise TimeoutError(f"the {made[0].role} did {done} of {wanted} and stopped")
            earlier = sum(each.cpu_s() for each in made)
            done = await count()
            used = sum(each.cpu_s() for each in made)
            if not done:
                began = earlier  # until now it started and joined its group
            elif done > newest:
                newest, moved = done, loop.time()
            await asyncio.sleep(0.005)
        # The kernel counts in ticks: in a smoke run it may not have counted yet.
        return done / max(used - began, 0.001)
    finally:
        for each in made:
            await each.stop()


async def main() -> None:
    """Measure."""
    parser = arguments("fan-out and notifier against a bare loop of aiokafka")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 10, 100, 1000])
    asked = parser.parse_args()
    before = environment()
    batches = [1, 1000] if asked.smoke else asked.batches
    rounds = 1 if asked.smoke else 5
    pairs: dict[str, list[tuple[float, float]]] = {}
    async with stores(chat_partitions=PARTITIONS) as system:
        bench = Bench(system)
        most = 4_000 if asked.smoke else max(_RECORDS[batch] for batch in batches)
        await bench.fill(most)
        for _ in range(rounds):
            for batch in batches:
                count = 160 * (1 + batch // 50) if asked.smoke else _RECORDS[batch]
                bare = await bench.bare(count, batch)
                pairs.setdefault(f"fanout {batch}", []).append((await bench.fanout(count, batch), bare))
                pairs.setdefault(f"notifier {batch}", []).append((await bench.notifier(count, batch), bare))
        for _ in range(rounds):
            one = await bench.fanout(most, 500)
            for workers in [2] if asked.smoke else [2, 4]:
                found = await bench.fanout(most, 500, workers)
                pairs.setdefault(f"{workers} fanouts against one", []).append((found, one))
    results: list[Result] = []
    for case, each in pairs.items():
        results.append(ratio(case, "events/CPU-s", each, _AIM))
    say("workers", results, before, as_json=asked.json)


if __name__ == "__main__":
    asyncio.run(main())
