"""How unit costs grow: with connections, channels, audience classes and partitions.

Method. Connections, channels and classes: a system with two gateways; one socket sends messages of some 100 characters
at an even pace through the second, and the sessions, in a compiled reader, are on the first, in one guild. The unit
cost is the first gateway's CPU time of a stretch, less what it uses when nothing happens, divided by the deliveries;
the median of five stretches.

- connections: sessions of one guild with eight channels.
- channels: 20 sessions; the messages go to all channels in turn.
- classes: 1,000 sessions that share so many roles, so that they are so many audience classes.
- partitions: a fan-out drains a full log, as in `workers`; the unit cost is its CPU time per event.

The baseline of a curve is its first point, in the same run. With --plot each curve is drawn to docs/benchmarks/.
"""

import asyncio
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.fleet import fleet
from benchmarks.flow import GATEWAYS, Bench, Place
from benchmarks.native_tools import compiled
from benchmarks.report import Result, arguments, environment, say
from benchmarks.rig import rig
from benchmarks.stores import processes, stores
from benchmarks.workers import Bench as WorkersBench

_SIZES: Final = {
    "connections": [100, 300, 1_000, 3_000, 10_000],
    "channels": [1, 10, 100, 1_000, 10_000],
    "classes": [1, 10, 100, 1_000],
    "partitions": [1, 8, 32, 64],
}
_SMOKE: Final = {"connections": [5, 20], "channels": [1, 20], "classes": [1, 5], "partitions": [2]}
_UNITS: Final = {"partitions": "us/event"}
_DELIVERIES: Final = 20_000
"""A second, so that a gateway is busy for some tenth of it."""
_FOLDER: Final = Path(__file__).parents[1] / "docs" / "benchmarks"

Curve = list[tuple[int, float]]


async def main() -> None:
    """Measure."""
    parser = arguments("how unit costs grow")
    parser.add_argument("--curves", nargs="*", choices=list(_SIZES), default=list(_SIZES))
    parser.add_argument("--plot", action="store_true", help="draw each curve to docs/benchmarks/")
    asked = parser.parse_args()
    before = environment()
    if compiled("receiver") is None:
        return
    sizes = {name: (_SMOKE if asked.smoke else _SIZES)[name] for name in asked.curves}
    curves: dict[str, Curve] = {}
    if wanted := {name: each for name, each in sizes.items() if name != "partitions"}:
        async with rig(f"gateway={GATEWAYS},archiver=0") as system, fleet(system, 1) as nodes:
            curves |= await _gateway(Bench(system, nodes, await processes(system)), wanted, smoke=asked.smoke)
    if "partitions" in sizes:
        curves["partitions"] = [
            (count, await _partitions(count, smoke=asked.smoke)) for count in sizes["partitions"]
        ]
    say("growth", _results(curves), before, as_json=asked.json)
    if asked.plot:
        for name, curve in curves.items():
            _plot(name, curve, f"{before['cpu']}, {before['cores']} cores, commit {before['commit']}")


def _results(curves: dict[str, Curve]) -> list[Result]:
    results = []
    for name, curve in curves.items():
        first = curve[0][1]
        for size, cost in curve:
            unit = _UNITS.get(name, "us/delivery")
            results.append(
                Result(f"{size} {name}", cost, unit, first, round(cost / first, 3), "reported", met=None)
            )
    return results


async def _gateway(bench: Bench, sizes: dict[str, list[int]], *, smoke: bool) -> dict[str, Curve]:
    """The curves of the gateway."""
    places: dict[str, list[tuple[int, Place]]] = {}
    for name, each in sizes.items():
        places[name] = []
        for size in each:
            if name == "connections":
                place = await bench.place(size)
            elif name == "channels":
                place = await bench.place(5 if smoke else 20, rooms=size)
            else:
                place = await bench.place(10 if smoke else 1_000, classes=size)
            places[name].append((size, place))
    curves: dict[str, Curve] = {}
    async with bench.sending():
        idle = (await bench.idle(0.5 if smoke else 5.0)).used["gateway.1"]
        for name, points in places.items():
            curves[name] = []
            for size, place in points:
                # As many messages as make the same number of deliveries, within reason.
                rate = min(150.0, max(2.0, _DELIVERIES / len(place.people)))
                seen = await bench.load(place, rate, 0.3 if smoke else 1.5, 1 if smoke else 5)
                costs = [(each.used["gateway.1"] - idle) / each.flow.deliveries * 1e6 for each in seen]
                curves[name].append((size, max(median(costs), 0.001)))
    return curves


async def _partitions(count: int, *, smoke: bool) -> float:
    """CPU microseconds of the fan-out per event, with so many partitions."""
    records = 640 if smoke else 25_600
    async with stores(chat_partitions=count) as system:
        bench = WorkersBench(system, count)
        await bench.fill(records)
        return median([1e6 / await bench.fanout(records, 500) for _ in range(1 if smoke else 5)])


def _plot(name: str, curve: Curve, where: str) -> None:
    """Draw a curve as PNG and SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - only for drawing

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "fanfare"
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    axes.plot([size for size, _ in curve], [cost for _, cost in curve], marker="o", color="#2563eb")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(name)
    kind = "fan-out" if name == "partitions" else "gateway"
    axes.set_ylabel(f"{kind}: CPU {_UNITS.get(name, 'us/delivery')}")
    axes.set_title(f"Unit cost by {name}")
    axes.grid(visible=True, alpha=0.3)
    figure.text(0.99, 0.01, where, ha="right", fontsize=7, color="#666666")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(_FOLDER / f"growth-{name}.png", dpi=120)
    figure.savefig(_FOLDER / f"growth-{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    asyncio.run(main())
