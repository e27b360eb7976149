"""The last hop: dispatches to many sessions of one guild, against a C loop of send(2) over as many sockets.

Method. Three real gateways. The sessions of a case are on the second one, which has a core for itself; everything else,
the compiled readers too, is on the other core. Value: frames received per CPU-second of that gateway, everything it
does counted (reading its inbox, building frames, heartbeats, timers). Where the baseline are sessions too, they are on
the third gateway, which shares the core and is quiet meanwhile. Rounds of a case and its baseline are interleaved; the
medians of the rounds, and of their ratios, are the result.

    plain    messages come in through the first gateway's REST, each when all sessions have received the one before, so
             each frame is one write. Baseline: a C program that sends as many bytes to as many sockets on the same
             core, with a pause after each message that makes for the same pace or a faster one.
    burst    ten records come at once, in one append to the gateway's inbox, as the notifier makes it for a batch (by
             the same script; through the whole pipeline a burst of ten may come as one and nine).
             Baseline: the C program, ten frames to a call.
    zlib     all sessions compressed, in a guild of their own. Baseline: plain, in the same round.
    mixed    five roles with different overwrites in the channel, half of the sessions without MESSAGE_CONTENT, in a
             guild of their own. Baseline: plain, in the same round.
"""

import asyncio
import re
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from benchmarks.native_tools import LAST_CORE, compiled, pinned
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Crowd, Rig, cpu_s, rig
from fanfare.record import Record

_CONTENT = 1 << 15
_INTENTS = (1 << 0) | (1 << 9) | _CONTENT
_MEASURED = "gateway.2"
_BASELINE = "gateway.3"
_UNIT = "deliveries/CPU-s"
_CONTENT_CHARS = 32
_BURST = 10
# Deliveries a second at which messages are sent, one by one and in bursts: what a gateway keeps up with, with little
# idling. What it does by the clock, heartbeats and timers, would else be shared by few deliveries.
_PACE = {1: 120_000, _BURST: 600_000}
_FILES = 500
_AIMS = {"plain": 0.9, "burst": 0.85, "zlib": 0.9, "mixed": 0.8}
# How the sessions are made that are not plain; with as many plain ones beside them.
_OTHERS: dict[str, dict[str, Any]] = {
    "zlib": {"query": "&compress=zlib-stream"},
    "mixed": {"roles": 5, "intents": (_INTENTS, _INTENTS & ~_CONTENT)},
}


@dataclass(frozen=True, slots=True)
class _Guild:
    """A guild with its sessions, all on one gateway."""

    gateway: str
    crowd: Crowd
    channel: int


@dataclass(slots=True)
class _Case:
    name: str
    guild: _Guild
    gather: int
    against: str
    """Name of the case that is its baseline; empty: the C loop."""
    rounds: list[tuple[float, float]] = field(default_factory=list)


async def main() -> None:
    """Measure."""
    parser = arguments("the last hop against a C loop")
    parser.add_argument("--burst", action="store_true", help="messages in bursts of ten")
    parser.add_argument("--zlib", action="store_true", help="sessions with zlib-stream, against plain ones")
    parser.add_argument(
        "--mixed", action="store_true", help="five roles, half of the sessions without MESSAGE_CONTENT"
    )
    parser.add_argument("--all", action="store_true", help="plain and all of these")
    parser.add_argument("--sessions", type=int, nargs="*", default=[2_000, 10_000])
    asked = parser.parse_args()
    before = environment()
    if compiled("receiver") is None:
        return
    results: list[Result] = []
    names = [name for name in ("burst", "zlib", "mixed") if asked.all or getattr(asked, name)]
    if asked.all or not names:
        names.insert(0, "plain")
    async with rig("gateway=3") as system:
        for size in [50] if asked.smoke else asked.sessions:
            for name in names:
                files = size + _FILES  # some space is left for other files of the gateway
                if files > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
                    print(
                        f"{name} AT {size} IS LEFT OUT: A PROCESS MAY NOT OPEN {files} FILES", file=sys.stderr
                    )
                else:
                    results.append(await _case(system, size, name, smoke=asked.smoke))
    say("last_hop", results, before, as_json=asked.json)


async def _case(system: Rig, size: int, name: str, *, smoke: bool) -> Result:
    rounds, deliveries = (1, 500) if smoke else (5, 100_000)
    async with AsyncExitStack() as stack:
        how = _OTHERS.get(name, {})
        guild = await stack.enter_async_context(_guild(system, _MEASURED, f"{name} {size}", size, **how))
        cases = [_Case(name, guild, _BURST if name == "burst" else 1, "plain" if how else "")]
        if how:
            plain = await stack.enter_async_context(_guild(system, _BASELINE, f"plain {size}", size))
            cases.insert(0, _Case("plain", plain, 1, ""))
        system.pin(*(case.guild.gateway for case in cases))
        for at in range(rounds + 1):  # the first one is to get warm
            values: dict[str, float] = {}
            for case in cases:
                messages = _messages(size, case.gather, deliveries // (1 if at or smoke else 5))
                value, frame = await _round(system, case, size, messages)
                values[case.name] = value
                if case.against:
                    base = values[case.against]
                else:
                    base = await asyncio.to_thread(_c_loop, size, frame, messages, case.gather)
                if at:
                    case.rounds.append((value, base))
    return ratio(f"{size}" if name == "plain" else f"{size} {name}", _UNIT, cases[-1].rounds, _AIMS[name])


@asynccontextmanager
async def _guild(
    system: Rig,
    gateway: str,
    name: str,
    size: int,
    *,
    query: str = "",
    roles: int = 1,
    intents: tuple[int, ...] = (_INTENTS,),
) -> AsyncIterator[_Guild]:
    """A guild, and its members' sessions for as long."""
    guild, channel = await system.guild(name)
    tokens = await system.people(guild, size, channel=channel, roles=roles)
    crowd = await system.crowd(gateway, tokens, query, *intents)
    try:
        yield _Guild(gateway, crowd, channel)
    finally:
        await crowd.close()


async def _round(system: Rig, case: _Case, size: int, messages: int) -> tuple[float, int]:
    """Send messages at a pace that the gateway keeps; deliveries per CPU-second, and bytes a frame."""
    crowd = case.guild.crowd
    pid = int(system.processes()[case.guild.gateway]["pid"])
    await crowd.counts()
    pause_s = _pause_s(size, case.gather)
    async with system.rest("gateway.1") as rest, system.inbox(case.guild.gateway) as inbox:
        record = await _record(system, case, size)
        start = cpu_s(pid)
        got = bytes_ = 0
        for _ in range(messages // case.gather):
            due = time.monotonic() + pause_s
            if case.gather == 1:
                await rest.send(case.guild.channel, secrets.token_hex(_CONTENT_CHARS // 2))
            else:
                await inbox.append([record] * case.gather)
            more, more_bytes = await crowd.received(case.gather * size)
            got, bytes_ = got + more, bytes_ + more_bytes
            await asyncio.sleep(due - time.monotonic())
        used = cpu_s(pid) - start
    return got / used, bytes_ // got


async def _record(system: Rig, case: _Case, size: int) -> Record:
    """A message of the channel as the gateway's inbox has it; one is sent to have it."""
    async with system.rest("gateway.1") as rest, system.inbox(case.guild.gateway) as inbox:
        sent = await rest.send(case.guild.channel, secrets.token_hex(_CONTENT_CHARS // 2))
        await case.guild.crowd.received(size)
        return replace(await inbox.record(int(sent["id"])), nonce="")


def _messages(size: int, gather: int, deliveries: int) -> int:
    """How many to send for about so many deliveries; of bursts, which cost less, three times as many."""
    return max(deliveries // size, 2) if gather == 1 else max(3 * deliveries // size // gather, 1) * gather


def _pause_s(size: int, gather: int) -> float:
    """Seconds between two messages, or bursts, at this pace."""
    return max(0.005, size * gather / _PACE[gather])


def _c_loop(size: int, frame: int, messages: int, gather: int) -> float:
    """The C loop: deliveries per CPU-second."""
    loop, sink = compiled("send_loop"), compiled("sink")
    assert loop is not None
    assert sink is not None
    pause_us = str(int(_pause_s(size, gather) * 1e6))
    command = [loop, str(size), str(frame), str(messages // gather), str(gather), pause_us]
    server = subprocess.Popen(pinned(LAST_CORE, *command), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().split()[1]
    reader = subprocess.Popen(pinned(0, sink, port, str(size)))
    said = re.match(r"sends (\d+) cpu ([\d.]+) short (\d+)", server.stdout.readline())
    server.wait()
    reader.wait()
    assert said is not None
    return int(said[1]) * gather / float(said[2])


if __name__ == "__main__":
    asyncio.run(main())
