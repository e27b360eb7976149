"""Memory of a session: what a gateway has grown by, over its size when it was empty, per identified session.

Method. A real gateway for each case, of one system, all idle at the same time: RSS before the first session, and after
all have identified, in a guild with five roles and overwrites, and have then been idle for a minute but for heartbeats.
Baseline: websockets' own asyncio server with an echo handler, on the same event loop, with as many connections,
measured in the same way at the same time. What the kernel holds for a socket is in neither.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bare import bare
from benchmarks.native_tools import compiled
from benchmarks.report import Result, arguments, environment, say
from benchmarks.rig import Crowd, Rig, hold, rig

_INTENTS = (1 << 0) | (1 << 9) | (1 << 15)
_MOST_KB = 8.0
# Two equal processes differ by so much.
_TOLERANCE = 1.02
_KINDS = {"plain": "", "zlib": "&compress=zlib-stream"}


@dataclass(slots=True)
class _Held:
    """Connections to one process."""

    kind: str
    size: int
    pid: int
    before: int
    crowd: Crowd

    @property
    def kb(self) -> float:
        """What the process has grown by, kB per connection."""
        return max(_rss(self.pid) - self.before, 1) / self.size / 1000


async def main() -> None:
    """Measure."""
    parser = arguments("memory per session against websockets' own server")
    parser.add_argument("--sessions", type=int, nargs="*", default=[2_000, 10_000])
    parser.add_argument("--idle", type=float, default=60.0, help="seconds")
    asked = parser.parse_args()
    before = environment()
    if compiled("receiver") is None:
        return
    sizes, idle_s = ([100], 1.0) if asked.smoke else (asked.sessions, asked.idle)
    results: list[Result] = []
    async with rig(f"gateway={len(_KINDS) * len(sizes)}") as system, AsyncExitStack() as stack:
        held: list[_Held] = []
        for size in sizes:
            for kind, query in _KINDS.items():
                held.append(await _sessions(system, f"gateway.{len(held) + 1}", size, kind, query))
                stack.push_async_callback(held[-1].crowd.cut)
        baselines = {size: await _connections(system, stack, size) for size in sizes}
        await asyncio.sleep(idle_s)
        for size in sizes:
            baseline = baselines[size].kb
            plain, zlib = (one.kb for one in held if one.size == size)
            results.append(_result(f"{size} plain", plain, baseline, f"<={_MOST_KB} kB", plain <= _MOST_KB))
            results.append(
                _result(
                    f"{size} zlib", zlib, baseline, f"<={_TOLERANCE} of plain", zlib <= plain * _TOLERANCE
                )
            )
        say("memory", results, before, as_json=asked.json)


async def _sessions(system: Rig, process: str, size: int, kind: str, query: str) -> _Held:
    guild, channel = await system.guild(f"memory {kind} {size}")
    tokens = await system.people(guild, size, channel=channel, roles=5)
    pid = int(system.processes()[process]["pid"])
    empty = _rss(pid)
    return _Held(kind, size, pid, empty, await system.crowd(process, tokens, query, _INTENTS))


async def _connections(system: Rig, stack: AsyncExitStack, size: int) -> _Held:
    server = await stack.enter_async_context(bare("websocket"))
    empty = _rss(server.pid)
    held = _Held("bare", size, server.pid, empty, await hold(server.address, system.file("-\n" * size)))
    stack.push_async_callback(held.crowd.cut)
    return held


def _result(case: str, value: float, baseline: float, aim: str, met: bool) -> Result:
    return Result(
        case, round(value, 2), "kB/session", round(baseline, 2), round(value / baseline, 3), aim, met
    )


def _rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)


if __name__ == "__main__":
    asyncio.run(main())
