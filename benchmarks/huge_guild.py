"""A guild of a million members, 200,000 of them online on 20 nodes, against one of 1,000 on the same nodes.

Method. The members are rows in PostgreSQL. 19 nodes are made of real leases, inboxes and registrations in Redis, and
a reader drains them (`benchmarks.fleet`); the 20th is a real gateway with real sessions. One socket sends messages of
some 100 characters at an even pace, to the two guilds in turn, and waits until every inbox had them. Counted are the
notifier's appends, its CPU time (alone on its core, all that it does counted), and the bytes of the inbox entries, a
message and node. Then memory: how much the gateway's RSS grows by so many sessions of the one guild and of the other.
Rounds are interleaved; the median of the ratios is the result.
"""

import asyncio
import os
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from benchmarks.fleet import Fleet, fleet
from benchmarks.native_tools import compiled
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Crowd, Rig, cpu_s, rig
from benchmarks.stores import CLIENT_CORES, guild, hold, members, metric, processes, rss_bytes, send
from torture.client import Client, Session

NODES: Final = 20
_AIM: Final = 1.1
_BULK: Final = 2_400_000_000_000_000_000
_STUCK_S: Final = 60.0
_LATER_S: Final = 0.5


@dataclass(slots=True)
class Place:
    """A guild to measure."""

    guild: int
    channel: int
    members: int
    first: int
    """Id of the first person that holds a real session."""
    address: str
    """Of the gateway that holds them."""
    crowds: list[Crowd]

    @classmethod
    async def make(cls, system: Rig, nodes: Fleet, name: str, size: int, online: int) -> "Place":
        """Make a guild of so many, of whom so many are online on the nodes that only read."""
        ident, channel = await guild(system, name)
        users = await members(system, ident, _BULK + size * 10, size)
        await nodes.register(ident, users[:online])
        found = await processes(system)
        return cls(ident, channel, size, users[online], found["gateway.1"]["address"], [])

    async def connect(self, system: Rig, count: int) -> Crowd:
        """Hold real sessions of further members."""
        crowd = await hold(system, self.address, range(self.first, self.first + count))
        self.first += count
        self.crowds.append(crowd)
        return crowd


class Cost(NamedTuple):
    """Of one message."""

    appends: float
    """Entries appended, in all inboxes."""
    calls: float
    """Calls that did it: one for each inbox and batch."""
    bytes: float
    cpu_us: float


async def main() -> None:
    """Measure."""
    asked = arguments("a guild of a million against one of a thousand").parse_args()
    before = environment()
    if compiled("receiver") is None:
        return
    size, online, count = (3_000, 600, 20) if asked.smoke else (1_000_000, 190_000, 400)
    rounds, sessions = (1, 10) if asked.smoke else (5, 150)
    costs: list[tuple[Cost, Cost]] = []
    grown: list[tuple[float, float]] = []
    async with rig("archiver=0") as system, fleet(system, NODES - 1) as nodes:
        small = await Place.make(system, nodes, "small", 1_000, 50)
        huge = await Place.make(system, nodes, "huge", size, online)
        found = await processes(system)
        pid, notifier = found["gateway.1"]["pid"], found["notifier.1"]
        for place in (small, huge):  # warm: each guild is in the gateway's memory
            await place.connect(system, 50)
        for _ in range(rounds):
            pair = [await _growth(system, place, pid, sessions) for place in (huge, small)]
            grown.append((pair[0] / sessions, pair[1] / sessions))
        for place in (small, huge):
            for crowd in place.crowds:
                await crowd.close()
            place.crowds = []
            await place.connect(system, 50)
        await asyncio.to_thread(system.pin, "notifier.1")
        os.sched_setaffinity(0, CLIENT_CORES)
        sender = await Client.connect(
            small.address,
            Session(system.run["users"]["alice"]["token"], intents=1),
        )
        await sender.start()
        for place in (small, huge):
            await _cost(notifier, nodes, sender, place, 10)
        for _ in range(rounds):
            pairs = [await _cost(notifier, nodes, sender, place, count) for place in (huge, small)]
            costs.append((pairs[0], pairs[1]))
        await sender.close()
        for place in (small, huge):
            await place.crowds[0].close()
    say("huge_guild", _results(costs, grown), before, as_json=asked.json)


def _results(costs: list[tuple[Cost, Cost]], grown: list[tuple[float, float]]) -> list[Result]:
    def each(case: str, unit: str, at: int) -> Result:
        return ratio(
            case, unit, [(huge[at] / NODES, small[at] / NODES) for huge, small in costs], _AIM, least=False
        )

    return [
        each("appends", "appends/message/node", 0),
        replace(each("append calls", "calls/message/node", 1), aim="reported", met=None),
        each("bytes", "bytes/message/node", 2),
        each("notifier's CPU", "us/message/node", 3),
        ratio("gateway's memory", "bytes/session", grown, _AIM, least=False),
    ]


async def _growth(system: Rig, place: Place, pid: int, sessions: int) -> float:
    """By how many bytes the gateway grows with so many sessions more."""
    before = rss_bytes(pid)
    await place.connect(system, sessions)
    await asyncio.sleep(_LATER_S)
    return max(rss_bytes(pid) - before, 1)


async def _cost(notifier: dict[str, Any], nodes: Fleet, sender: Client, place: Place, count: int) -> Cost:
    """Send so many messages; what one costs."""
    before = nodes.least()
    appends, calls = await _appends(notifier["internal"])
    size, used = nodes.bytes, cpu_s(notifier["pid"])
    await send(sender, [place.channel], count, 100)
    async with asyncio.timeout(_STUCK_S):
        while nodes.least() < before + count:
            await asyncio.sleep(0.01)
    used = cpu_s(notifier["pid"]) - used
    appends_after, calls_after = await _appends(notifier["internal"])
    drained = (nodes.bytes - size) / (NODES - 1) * NODES
    appends, calls = appends_after - appends, calls_after - calls
    return Cost(appends / count, calls / count, drained / count, used / count * 1e6)


async def _appends(internal: str) -> tuple[float, float]:
    """Entries that a notifier has appended, and the calls that did it."""
    calls = await metric(internal, "fanfare_inbox_appends_total", answer="ok")
    return await metric(internal, "fanfare_inbox_entries_total"), calls


if __name__ == "__main__":
    asyncio.run(main())
