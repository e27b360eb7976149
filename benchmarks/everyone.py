"""@everyone in a guild of a million members: how long until the last one online has it.

Method. As in `huge_guild`: 200,000 people online on 20 nodes, 19 of which only read their inboxes; the 20th is a real
gateway that holds its share, 10,000 sessions, in a compiled reader. The owner sends a message with @everyone, and the
clock runs until it was accepted, until the last of the inboxes had it, and until the last of the real sessions had it.
Baseline: a message without @everyone, sent before or after it. Rounds are interleaved; the medians are the result.

Attention records, and push for those who are away, are not built (docs/design.md: later), so slices over all
partitions and push records cannot be measured.
"""

import asyncio
import secrets
import time
from statistics import median
from typing import Final, NamedTuple

from benchmarks.fleet import Fleet, fleet
from benchmarks.huge_guild import NODES, Place
from benchmarks.native_tools import compiled
from benchmarks.report import Result, arguments, environment, say
from benchmarks.rig import Crowd, rig
from torture.client import Client, Session

_STUCK_S: Final = 60.0


class Reached(NamedTuple):
    """How long one message took, in ms."""

    accepted: float
    inboxes: float
    sessions: float


async def main() -> None:
    """Measure."""
    parser = arguments("@everyone in a guild of a million")
    parser.add_argument("--sessions", type=int, default=10_000, help="on the real gateway")
    asked = parser.parse_args()
    before = environment()
    if compiled("receiver") is None:
        return
    size, online, rounds = (3_000, 600, 2) if asked.smoke else (1_000_000, 190_000, 15)
    sessions = 50 if asked.smoke else asked.sessions
    found: list[tuple[Reached, Reached]] = []
    async with rig("archiver=0") as system, fleet(system, NODES - 1) as nodes:
        place = await Place.make(system, nodes, "everyone", size, online)
        crowd = await place.connect(system, sessions)
        async with await Client.connect(
            place.address, Session(system.run["users"]["alice"]["token"], intents=1)
        ) as sender:
            await sender.start()
            await _reach(sender, place, nodes, crowd, sessions, "")  # warm
            for _ in range(rounds):
                loud = await _reach(sender, place, nodes, crowd, sessions, "@everyone ")
                found.append((loud, await _reach(sender, place, nodes, crowd, sessions, "")))
        await crowd.close()
    print("everyone: slices over partitions and push records are not built yet, so they are not measured")
    say("everyone", _results(found, online + sessions), before, as_json=asked.json)


def _results(found: list[tuple[Reached, Reached]], online: int) -> list[Result]:
    results = []
    for at, what in enumerate(("accepted", "the last inbox has it", "the last session has it")):
        value = median(loud[at] for loud, _ in found)
        baseline = median(plain[at] for _, plain in found)
        of = round(median(loud[at] / plain[at] for loud, plain in found), 3)
        results.append(Result(f"{what}, {online} online", value, "ms", baseline, of, "reported", met=None))
    return results


async def _reach(
    sender: Client, place: Place, nodes: Fleet, crowd: Crowd, sessions: int, prefix: str
) -> Reached:
    """Send one message, and see where it is when."""
    await crowd.counts()
    before = nodes.least()
    began = time.monotonic()

    async def accepted() -> float:
        await sender.send(place.channel, prefix + secrets.token_hex(50))
        return time.monotonic()

    async def stands() -> float:
        while nodes.least() <= before:
            await asyncio.sleep(0.0005)
        return nodes.newest_s

    async def received() -> float:
        got = 0
        while got < sessions:
            got += (await crowd.counts())[0]
            await asyncio.sleep(0.0005)
        return time.monotonic()

    async with asyncio.timeout(_STUCK_S):
        ends = await asyncio.gather(accepted(), stands(), received())
    first, second, third = ((end - began) * 1000 for end in ends)
    await asyncio.sleep(0.1)
    return Reached(first, second, third)


if __name__ == "__main__":
    asyncio.run(main())
