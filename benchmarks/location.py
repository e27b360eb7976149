"""Live location through everything: what a position costs beside a message, how late it is, and what the database does.

Method. Two real gateways, fan-out, notifier, archiver and stores, on all cores. Drivers say once a second where they
are, as lines in ten relays' requests; orders follow some of them, and customers watch these on sockets (`fanfare demo
drivers` is the same program, and checks what is shown). CPU time is that of gateways, fan-out, notifier and archiver,
divided by the positions that were accepted. Baseline: the same of a message, sent before by op 128 at 500 a second by a
compiled client, with ten sessions that receive it. Delivery counts from when a position was written down to when a
customer has it. PostgreSQL's CPU counts with all its processes.
"""

import asyncio
from pathlib import Path

from benchmarks.latency import _client, _round
from benchmarks.native_tools import compiled, ended
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig, cpu_s, rig
from demo.drivers import DriversChoice, DriversShow, DriversStory, result

_SERVICES = ("gateway", "fanout", "notifier", "archiver")
_RATE = 500
_SENDERS, _RECEIVERS = 16, 10
_P99_MS, _BEHIND_S, _POSTGRES_SHARE, _PART_OF_MESSAGE = 250.0, 5.0, 0.2, 0.1


async def main() -> None:
    """Measure."""
    parser = arguments("what a position costs beside a message")
    parser.add_argument("--drivers", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    before = environment()
    if compiled("latency") is None:
        return
    rounds, seconds = (1, 5.0) if asked.smoke else (3, asked.seconds)
    drivers, watchers = (50, 5) if asked.smoke else (asked.drivers, asked.watchers)
    costs: list[tuple[float, float]] = []
    stories: list[DriversStory] = []
    shares: list[float] = []
    async with rig("gateway=2") as system:
        for number in range(rounds):
            message = await _message_us(system, f"round {number}", 2.0 if asked.smoke else 10.0)
            story, position, share = await _drive(
                system, DriversChoice(drivers, watchers, seconds, watchers=watchers)
            )
            costs.append((position, message))
            stories.append(story)
            shares.append(share)
    say("location", _results(costs, stories, shares), before, as_json=asked.json)


def _results(
    costs: list[tuple[float, float]], stories: list[DriversStory], shares: list[float]
) -> list[Result]:
    figures = [result(story) for story in stories]
    p99 = max(float(each["latency_ms"]["p99"] or 0) for each in figures)
    behind = max(story.behind_s for story in stories)
    share = max(shares)
    return [
        ratio("CPU of a position, beside a message", "us", costs, _PART_OF_MESSAGE, least=False),
        Result("delivered: p99, the worst round", p99, "ms", None, None, f"<={_P99_MS}", p99 <= _P99_MS),
        Result("archiver behind at the end", behind, "s", None, None, f"<={_BEHIND_S}", behind <= _BEHIND_S),
        Result(
            "PostgreSQL", share, "of a core", None, None, f"<={_POSTGRES_SHARE}", share <= _POSTGRES_SHARE
        ),
        Result("positions", min(story.rate for story in stories), "a second", None, None, "reported", None),
    ]


async def _message_us(system: Rig, name: str, seconds: float) -> float:
    """What a message costs all services."""
    guild, channel = await system.guild(name)
    tokens = await system.people(guild, _SENDERS + _RECEIVERS, channel=channel)
    client = await _client(system, tokens, channel)
    try:
        await _round(client, _RATE, seconds / 2)
        before = _used_s(system, *_SERVICES)
        await _round(client, _RATE, seconds)
        return (_used_s(system, *_SERVICES) - before) / (_RATE * seconds) * 1e6
    finally:
        await ended(client)


async def _drive(system: Rig, choice: DriversChoice) -> tuple[DriversStory, float, float]:
    """A drive: what was seen, what a position cost all services, and PostgreSQL's share of a core."""
    show = DriversShow(system.run, system.settings(), choice, lambda _: None)
    marks: list[tuple[float, float]] = []

    def mark(_: str) -> None:
        marks.append((_used_s(system, *_SERVICES), _used_s(system, "postgres")))

    show.say = mark
    story = await show.run()
    # It says something before it makes the drivers, before they drive, and when they stop.
    (_, _), (services, postgres), (services_after, postgres_after) = marks
    if story.broken:
        raise RuntimeError(f"promises were not kept: {result(story)}")
    cost = (services_after - services) / max(story.accepted, 1) * 1e6
    return story, cost, (postgres_after - postgres) / choice.seconds


def _used_s(system: Rig, *roles: str) -> float:
    """CPU time of all processes of some roles, their children included."""
    pids = [process["pid"] for name, process in system.processes().items() if name.partition(".")[0] in roles]
    return sum(cpu_s(pid) for parent in pids for pid in (parent, *_children(parent)))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    asyncio.run(main())
