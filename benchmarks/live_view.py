"""What it costs to watch: a hundred partitions and a hundred processes, one look a second.

Method. A real system, whose consumer groups read a hundred partitions, and a hundred internal servers in two other
processes: forty that show what gateways show, and sixty others. Beside them one process does each second what `fanfare
up` does for the live view (ask Kafka, Redis, PostgreSQL and the processes; work out figures; say them by its socket)
and then what a gateway does for one watcher (read them; send the rows that have changed). Its CPU time counts, by parts
and together; medians of thirty looks. Baseline: 10 ms, which is 1 % of a core. What those that are asked pay for their
answers does not count: they have it for Prometheus, too.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks.report import arguments, environment, ratio, say
from benchmarks.rig import started
from fanfare.bus.groups import GroupReader
from fanfare.observe.collect import Collector, Endpoint
from fanfare.observe.figures import Window
from fanfare.telemetry.internal import InternalServer
from gateway.pages.deltas import Tables, changes, tables

# Of four groups, three read these and eight others, and one four.
_CHAT_PARTITIONS: Final = 24
_PROCESSES: Final = {"gateway": 40, "fanout": 60}
_BUDGET_MS: Final = 10.0
_UNIT: Final = "ms of CPU a second"


async def main() -> None:
    """Measure."""
    parser = arguments("what the live view costs")
    parser.add_argument("--serve", choices=_PROCESSES, help="be the processes of this role")
    asked = parser.parse_args()
    if asked.serve:
        await _serve(asked.serve)
        return
    before = environment()
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(started(chat_partitions=_CHAT_PARTITIONS))
        endpoints = [one for role in _PROCESSES for one in await stack.enter_async_context(_processes(role))]
        settings = system.settings()
        reader = await stack.enter_async_context(GroupReader(settings))
        collector = await stack.enter_async_context(Collector(settings, lambda: endpoints))
        parts = await _measure(collector, reader, 3 if asked.smoke else 30)
    results = []
    for name, took in parts.items():
        looks = [(1000 * each, _BUDGET_MS) for each in took]
        results.append(ratio(name, _UNIT, looks, 1.0 if name == "together" else None, least=False))
    say("live_view", results, before, as_json=asked.json)


async def _measure(collector: Collector, reader: GroupReader, looks: int) -> dict[str, list[float]]:
    """CPU seconds of each look, by what they went into."""
    window = Window()
    before: Tables = {}
    parts: dict[str, list[float]] = {"Kafka alone": [], "all that is asked": [], "figures and rows": []}
    window.add(await collector.sample())
    for _ in range(looks):
        await asyncio.sleep(1)
        _, kafka_s = await _timed(reader.groups)
        sample, asked_s = await _timed(collector.sample)
        if sample.problems or not all(process.ready for process in sample.processes):
            raise RuntimeError(f"not all answer: {sample.problems}")
        began = time.process_time()
        line = msgspec.json.encode({"ok": window.add(sample)})
        now = tables(msgspec.json.decode(line)["ok"])
        msgspec.json.encode(changes(before, now))
        before = now
        parts["Kafka alone"].append(kafka_s)
        parts["all that is asked"].append(asked_s)
        parts["figures and rows"].append(time.process_time() - began)
    pairs = zip(parts["all that is asked"], parts["figures and rows"], strict=True)
    return parts | {"together": [sum(pair) for pair in pairs]}


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    """What it returns, and the CPU seconds of this process meanwhile."""
    began = time.process_time()
    found = await work()
    return found, time.process_time() - began


@asynccontextmanager
async def _processes(role: str) -> AsyncIterator[list[Endpoint]]:
    """The internal servers of a role, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.live_view", "--serve", role, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield [
            Endpoint(
                name=f"{role}.{number}",
                role=role,
                pid=process.pid,
                state="running",
                internal=(await process.stdout.readline()).decode().strip(),
            )
            for number in range(1, _PROCESSES[role] + 1)
        ]
    finally:
        process.terminate()
        await process.wait()


async def _serve(role: str) -> None:
    """Answer as so many processes of the role would."""
    if role == "gateway":
        import gateway.metrics  # noqa: PLC0415, F401 - there are more, where it is imported
    for number in range(1, _PROCESSES[role] + 1):
        server = InternalServer(lambda: "", _status(role, number))
        await server.start("127.0.0.1", 0)
        print(server.address, flush=True)
    await asyncio.Event().wait()


def _status(role: str, number: int) -> Callable[[], dict[str, object]]:
    said = {"name": f"{role}.{number}", "role": role, "state": "running", "ready": True, "why": ""}
    return lambda: dict(said)


if __name__ == "__main__":
    asyncio.run(main())
