"""Latency: from when a message should be sent on one socket to when it has come on another, through everything.

Method. Two real gateways, fan-out, notifier, archiver and stores, on all cores. A compiled client sends by op 128, by
turns on sixteen sockets of the first gateway, 500 messages a second at times that were fixed before; ten sessions on
the second gateway receive each. A time counts from when the message should have been sent, whether or not it could be
(so there is no coordinated omission), to when each of the ten had it; the acceptance by Kafka is a part of that.
Percentiles are exact: of all times of a round. Baseline: the p50 of a bare acks=all produce by aiokafka, idempotent, no
linger, at the same pace and timed in the same way, to a topic of its own on the same broker. Rounds are interleaved;
medians. For half a minute before, messages are sent and not counted: under load Kafka's JVM compiles for so long, and
takes twice the CPU time. `chain` walks the same way with the bare libraries (see there): what could be had with them.
"""

import asyncio
import re
import subprocess
from statistics import median
from urllib.parse import urlsplit

from aiokafka.admin import NewTopic

from benchmarks.bare import produce_p50
from benchmarks.chain import CHAIN_TOPICS, chain_times
from benchmarks.native_tools import compiled, ended
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig, rig
from fanfare.bus.client import admin

# Each may have 64 unanswered: so many bear a stall of two seconds.
_SENDERS = 16
_TOPIC = "benchmark"
_WHICH = ("p50", "p95", "p99", "p99.9", "most")
_AIMS = {"p50": 4.0, "p99": 15.0}
_UNIT = "ms"
_WARM_S = 30.0


async def main() -> None:
    """Measure."""
    parser = arguments("latency through everything against a bare produce")
    parser.add_argument("--rate", type=int, default=500, help="messages a second")
    parser.add_argument("--receivers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0, help="of a round")
    asked = parser.parse_args()
    before = environment()
    if compiled("latency") is None:
        return
    rounds, seconds = (1, 1.0) if asked.smoke else (5, asked.seconds)
    async with rig("gateway=2") as system:
        results = await _measure(system, asked.rate, asked.receivers, rounds, seconds)
    say("latency", results, before, as_json=asked.json)


async def _measure(system: Rig, rate: int, receivers: int, rounds: int, seconds: float) -> list[Result]:
    guild, channel = await system.guild("latency")
    tokens = await system.people(guild, _SENDERS + receivers, channel=channel)
    async with admin(system.settings()) as kafka:
        await kafka.create_topics([NewTopic(name, 1, 1) for name in (_TOPIC, *CHAIN_TOPICS)])
    client = await _client(system, tokens, channel)
    try:
        delivered: list[list[float]] = []
        accepted: list[list[float]] = []
        baselines: list[float] = []
        chains: list[list[float]] = []
        short = min(seconds, 5.0)
        await _round(client, rate, _WARM_S if rounds > 1 else seconds)
        for _ in range(rounds):
            accept, deliver = await _round(client, rate, seconds)
            accepted.append(accept)
            delivered.append(deliver)
            baselines.append(await produce_p50(system.run["kafka"], _TOPIC, rate, short))
            chains.append(await chain_times(system.run["kafka"], system.run["redis"], rate, short))
    finally:
        await ended(client)
    results = []
    for at, which in enumerate(_WHICH):
        pairs = [(times[at], baseline) for times, baseline in zip(delivered, baselines, strict=True)]
        aim = _AIMS.get(which)
        results.append(ratio(f"delivered: {which}", _UNIT, pairs, aim, least=False))
    results += [
        Result(
            f"accepted: {which}", median(times[at] for times in accepted), _UNIT, None, None, "reported", None
        )
        for at, which in enumerate(_WHICH)
    ]
    for part, which in ((0.5, "p50"), (0.99, "p99")):
        pairs = [
            (times[int(len(times) * part)], baseline)
            for times, baseline in zip(chains, baselines, strict=True)
        ]
        results.append(ratio(f"chain of bare libraries: {which}", _UNIT, pairs, None))
    return results


async def _client(system: Rig, tokens: list[str], channel: int) -> asyncio.subprocess.Process:
    program = compiled("latency")
    assert program is not None
    first, second = (urlsplit(system.processes()[name]["address"]) for name in ("gateway.1", "gateway.2"))
    client = await asyncio.create_subprocess_exec(
        program,
        str(first.hostname),
        str(first.port),
        str(second.port),
        str(system.file("\n".join(tokens))),
        str(_SENDERS),
        str(channel),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    line = await asyncio.wait_for(client.stdout.readline(), 60)
    if not line.startswith(b"ready"):
        raise RuntimeError(f"the client said {line!r}")
    return client


async def _round(
    client: asyncio.subprocess.Process, rate: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Percentiles of acceptance and of delivery, in ms. Every message has to be accepted and to come."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(f"{rate} {seconds}\n".encode())
    said = (await asyncio.wait_for(client.stdout.readline(), seconds + 30)).decode()
    found = re.match(r"sent (\d+) accepted (\d+) refused 0 received (\d+) accept (.*) deliver (.*)", said)
    if found is None or found[1] != found[2] or int(found[3]) % int(found[2]):
        raise RuntimeError(f"not everything came: {said}")
    return [float(ms) for ms in found[4].split()], [float(ms) for ms in found[5].split()]


if __name__ == "__main__":
    asyncio.run(main())
