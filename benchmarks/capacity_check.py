"""The capacity model (`fanfare capacity`) against a run on this machine.

Method. A system with two gateways, one of each worker, and nodes that only read their inboxes (`benchmarks.fleet`). One
socket sends messages of some 100 characters at an even pace through the second gateway; the sessions are on the first.
The CPU time of every process is taken, and compared with what the model says for that flow with the committed unit
costs. The load is none of those that the unit costs come from, and leaves the machine's cores some time: the model is
for processes that do not wait for a core. On a machine that is nearly full they do, and then handle more at once,
which costs less for each; so a second load, which fills this one, is reported without an aim. Value: predicted CPU
milliseconds a second; baseline: measured; medians of five stretches.

With --write-units the unit costs are measured anew, on other loads: nothing, 120 messages/s to few sessions, to many,
and to many nodes, in turn with the load that is checked, and a full log that the workers drain in large batches. What
differs between two loads is put down to what differs between their flows.
"""

import asyncio
from dataclasses import replace
from statistics import median
from typing import Any, Final

import asyncpg

from benchmarks.fleet import fleet
from benchmarks.flow import GATEWAYS, PARTITIONS, Bench, Place, Seen
from benchmarks.native_tools import compiled
from benchmarks.report import Result, arguments, environment, say
from benchmarks.rig import rig
from benchmarks.stores import metric, processes, redis_of
from fanfare.capacity.model import seconds
from fanfare.capacity.units import Gateway, Service, Units, load_units, save_units

_WITHIN: Final = 0.25
_BURST: Final = 24_000


async def main() -> None:
    """Measure."""
    parser = arguments("the capacity model against a run")
    parser.add_argument("--write-units", action="store_true", help="measure the unit costs, and keep them")
    asked = parser.parse_args()
    before = environment()
    full: list[Seen] = []
    if compiled("receiver") is None:
        return
    smoke = asked.smoke
    rounds, for_s, rate = (1, 0.5, 50) if smoke else (5, 4.0, 150)
    async with rig(f"gateway={GATEWAYS}") as system, fleet(system, 10) as nodes:
        bench = Bench(system, nodes, await processes(system))
        checked = await bench.place(20 if smoke else 250, 4)
        if asked.write_units or smoke:
            machine = f"{before['cpu']}, {before['cores']} cores"
            units, seen = await _units(bench, machine, checked, rate, smoke=smoke)
            if not smoke:
                save_units(units)
        else:
            units = load_units()
            await _warm(bench, _BURST)
            async with bench.sending():
                seen = await bench.load(checked, rate, for_s, rounds)
                full = await bench.load(checked, 2 * rate, for_s, rounds)
    results = _results(units, seen)
    if full:
        results.append(
            replace(_results(units, full)[0], case="all processes, nearly full", aim="reported", met=None)
        )
    say("capacity_check", results, before, as_json=asked.json)


def _results(units: Units, seen: list[Seen]) -> list[Result]:
    results = []
    pairs = [(seconds(units, each.flow, {"gateway": GATEWAYS}), each.total()) for each in seen]
    for case in ("all processes", *pairs[0][0]):
        said = [
            (sum(a.values()), sum(b.values())) if case == "all processes" else (a[case], max(b[case], 1e-6))
            for a, b in pairs
        ]
        of = median(predicted / measured for predicted, measured in said)
        results.append(
            Result(
                case,
                1000 * median(predicted for predicted, _ in said),
                "CPU-ms/s predicted",
                1000 * median(measured for _, measured in said),
                round(of, 3),
                f"within {_WITHIN:.0%}" if case == "all processes" else "reported",
                met=abs(of - 1) <= _WITHIN if case == "all processes" else None,
            )
        )
    return results


async def _units(
    bench: Bench, machine: str, checked: Place, rate: float, *, smoke: bool
) -> tuple[Units, list[Seen]]:
    """Measure the unit costs, and the load to check them with between."""
    few, many, wide = (
        await asyncio.gather(bench.place(5, 0), bench.place(20, 0), bench.place(5, 10))
        if smoke
        else await asyncio.gather(bench.place(10, 0), bench.place(1_000, 0), bench.place(10, 10))
    )
    base_bytes = bench.rss("gateway.1")
    redis_bytes = await _redis_bytes(bench, 200 if smoke else 20_000)
    count = 500 if smoke else _BURST
    await _warm(bench, count)
    idle = await bench.idle(0.5 if smoke else 6.0)
    rows = await _row_bytes(bench)
    burst = await bench.burst(count, idle)
    row_bytes = (await _row_bytes(bench) - rows) / count
    log_bytes, entries, size = _log_bytes(bench), sum(bench.nodes.entries.values()), bench.nodes.bytes
    handled = await _handled(bench)
    seen: dict[int, list[Seen]] = {id(place): [] for place in (few, many, wide, checked)}
    async with bench.sending(), bench.held(few, many, wide, checked):
        await bench.stretch(few, 50, 1)  # warm
        for _ in range(1 if smoke else 5):
            for place in (few, many, wide):
                seen[id(place)].append(
                    await bench.stretch(place, 50 if smoke else 120, 0.5 if smoke else 2.0)
                )
            seen[id(checked)].append(await bench.stretch(checked, rate, 0.5 if smoke else 2.0))
    handled = [after - before for after, before in zip(await _handled(bench), handled, strict=True)]
    cycle_s = handled[0] / max(handled[1], 1)
    sent = 50 + sum(each.flow.messages * each.took_s for found in seen.values() for each in found)
    one, two, three = (_median(seen[id(place)]) for place in (few, many, wide))

    def each(name: str, seen: Seen) -> float:
        """CPU microseconds a message, above what is used by nothing."""
        return max((seen.used[name] - idle.used[name]) / seen.flow.messages * 1e6, 0.0)

    def slope(name: str, more: Seen, per: str) -> float:
        """What one more of it costs."""
        further: float = getattr(more.flow, per) / more.flow.messages
        further -= getattr(one.flow, per) / one.flow.messages
        return max((each(name, more) - each(name, one)) / further, 0.0)

    def service(name: str, *, batched: bool = True) -> Service:
        append_us = slope(name, three, "appends") if name in {"notifier", "redis"} else 0.0
        alone = max(each(name, one) - GATEWAYS * append_us, 0.0)
        message_us = min(max(burst[name], 0.0) / count * 1e6, alone) if batched else alone
        gathered = 1 + one.flow.messages / PARTITIONS * cycle_s
        return Service(idle.used[name] * 1e6, message_us, (alone - message_us) * gathered, append_us)

    delivery_us = slope("gateway.1", two, "deliveries")
    entry_us = max(each("gateway.1", one) - delivery_us * len(few.people), 0.0)
    units = Units(
        machine=machine,
        cycle_s=cycle_s,
        gateway=Gateway(
            idle_us=(idle.used["gateway.1"] + idle.used["gateway.2"]) / 2 * 1e6,
            message_us=max(each("gateway.2", one) - entry_us, 0.0),
            entry_us=entry_us,
            delivery_us=delivery_us,
            base_bytes=base_bytes,
            session_bytes=max(many.session_bytes, 1.0),
        ),
        redis=service("redis", batched=False),  # the gateway asks it about each message, too
        fanout=service("fanout"),
        notifier=service("notifier"),
        archiver=service("archiver"),
        kafka=service("kafka"),
        postgres=service("postgres"),
        frame_bytes=two.frame_bytes,
        entry_bytes=(bench.nodes.bytes - size) / max(sum(bench.nodes.entries.values()) - entries, 1),
        log_bytes=(_log_bytes(bench) - log_bytes) / sent,
        row_bytes=row_bytes,
        registration_bytes=redis_bytes,
    )
    return units, seen[id(checked)]


async def _warm(bench: Bench, count: int) -> None:
    """Let Kafka's machine compile what is called often."""
    await bench.burst(count, await bench.idle(0.1))


def _median(seen: list[Seen]) -> Seen:
    """The middle of some stretches of one load."""
    used = {name: median(each.used[name] for each in seen) for name in seen[0].used}
    return Seen(seen[0].flow, used, seen[0].frame_bytes)


async def _handled(bench: Bench) -> list[float]:
    """Seconds that the fan-out was busy with batches, and how many they were."""
    internal = bench.internal["fanout.1"]
    return [await metric(internal, f"fanfare_handle_seconds_{what}") for what in ("sum", "count")]


async def _redis_bytes(bench: Bench, count: int) -> float:
    """Memory of a registration in Redis."""
    async with redis_of(bench.system.settings()) as redis:
        before: Any = await redis.info("memory")
        await bench.nodes.register(1, range(1, count + 1))
        after: Any = await redis.info("memory")
    return max(float(after["used_memory"] - before["used_memory"]) / count, 1.0)


async def _row_bytes(bench: Bench) -> int:
    """Size of the table of messages."""
    connection = await asyncpg.connect(bench.system.run["postgres"])
    try:
        return int(await connection.fetchval("SELECT pg_total_relation_size('messages')"))
    finally:
        await connection.close()


def _log_bytes(bench: Bench) -> int:
    """Size of Kafka's files of messages."""
    found = (bench.system.folder / ".fanfare").rglob("chat.*/*.log")
    return sum(int(path.stat().st_size) for path in found)


if __name__ == "__main__":
    asyncio.run(main())
