"""The last hop: dispatches to many sessions of one guild, against a C loop of send(2) over as many sockets.

Method. Two real gateways; all sessions are on the second one, which has a core for itself, and the messages come in
through the first. Value: frames written per CPU-second of the second gateway, everything it does counted (reading
its inbox, building the frame, timers). Baseline: a C program that sends as many bytes to as many sockets, at the same
pace, on the same core. Rounds are interleaved; the median of the ratios is the result.
"""

import asyncio
import itertools
import os
import re
import secrets
import subprocess

from benchmarks.native_tools import compiled, pinned
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Crowd, Rig, cpu_s, rig

_CONTENT = 1 << 15
_INTENTS = (1 << 0) | (1 << 9) | _CONTENT
_PORT = 27_100


async def main() -> None:
    """Measure."""
    parser = arguments("the last hop against a C loop")
    parser.add_argument("--burst", action="store_true", help="messages in bursts of ten")
    parser.add_argument(
        "--zlib", action="store_true", help="all sessions with zlib-stream, against plain ones"
    )
    parser.add_argument("--mixed", action="store_true", help="half of the sessions without MESSAGE_CONTENT")
    parser.add_argument("--sessions", type=int, nargs="*", default=[2_000, 10_000])
    asked = parser.parse_args()
    before = environment()
    sizes = [50] if asked.smoke else asked.sessions
    rounds, messages = (1, 10) if asked.smoke else (5, 60)
    receiver = compiled("receiver")
    if receiver is None:
        return
    results: list[Result] = []
    async with rig("gateway=2") as system:
        for size in sizes:
            results.append(await _case(system, receiver, size, rounds, messages, asked))
    say("last_hop", results, before, as_json=asked.json)


async def _case(system: Rig, receiver: str, size: int, rounds: int, messages: int, asked: object) -> Result:
    burst, zlib, mixed = (getattr(asked, name) for name in ("burst", "zlib", "mixed"))
    guild, channel = system.guild(f"last hop {size}")
    tokens = await system.people(guild, size, 2_000_000_000_000_000_000 + size * 100_000)
    gateway = system.processes()["gateway.2"]
    system.pin("gateway.2")
    intents = (_INTENTS, _INTENTS & ~_CONTENT) if mixed else (_INTENTS,)
    query = "&compress=zlib-stream" if zlib else ""
    crowd = await system.crowd(receiver, gateway["address"], tokens, query, *intents)
    gather = 10 if burst else 1
    pairs = []
    await _round(system, crowd, channel, gateway["pid"], size, 5, gather)  # warm
    for at in range(rounds):
        value, frame = await _round(system, crowd, channel, gateway["pid"], size, messages, gather)
        baseline = await asyncio.to_thread(_baseline, at, size, frame, messages, gather)
        pairs.append((value, baseline))
    await crowd.close()
    name = f"{size}{' burst' * burst}{' zlib' * zlib}{' mixed' * mixed}"
    aim = 0.85 if burst else 0.8 if mixed else 0.9
    return ratio(name, "deliveries/CPU-s", pairs, aim)


async def _round(
    system: Rig, crowd: Crowd, channel: int, pid: int, size: int, messages: int, gather: int
) -> tuple[float, int]:
    """Send messages at a pace that the receiver keeps; deliveries per CPU-second, and bytes a frame."""
    await crowd.counts()
    pause_s = max(0.02, size / 100_000) * gather
    async with system.rest("gateway.1") as rest:
        start = cpu_s(pid)
        for _ in range(messages // gather or 1):
            await asyncio.gather(
                *(rest.send(channel, secrets.token_hex(8), nonce=secrets.token_hex(8)) for _ in range(gather))
            )
            await asyncio.sleep(pause_s)
        wanted = (messages // gather or 1) * gather * size
        got, bytes_ = await crowd.received(wanted)
        used = cpu_s(pid) - start
    return got / used, bytes_ // got


_ports = itertools.count(_PORT)


def _baseline(_: int, size: int, frame: int, messages: int, gather: int) -> float:
    """The C loop: deliveries per CPU-second."""
    loop, sink = compiled("send_loop"), compiled("sink")
    assert loop is not None
    assert sink is not None
    last = (os.cpu_count() or 1) - 1
    port = str(next(_ports))
    pause_us = str(int(max(0.02, size / 100_000) * gather * 1e6))
    server = subprocess.Popen(
        pinned(last, loop, port, str(size), str(frame), str(messages // gather or 1), str(gather), pause_us),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    server.stdout.readline()
    reader = subprocess.Popen(pinned(0, sink, port, str(size)))
    said = re.match(r"sends (\d+) cpu ([\d.]+) short (\d+)", server.stdout.readline())
    server.wait()
    reader.wait()
    assert said is not None
    return int(said[1]) * gather / float(said[2])


if __name__ == "__main__":
    asyncio.run(main())
