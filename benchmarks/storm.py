"""A storm: all sessions of a gateway are cut at once, miss a hundred messages, come back at once and RESUME.

Method. Two real gateways; the one that is come back to has a core for itself, and everything else is on the other
core, the compiled client too. A resume counts when RESUMED has come and the ids of all messages missed were checked,
each once and in order; who is closed on the way connects again (standard error says how many, and who is not back after
a minute). Value: resumes per CPU-second of the gateway. Baseline: as many bare websocket handshakes with the same
process (connect, upgrade, HELLO, gone), as many at one time. Rounds of both are interleaved; the medians of the rounds,
and of their ratios, are the result.

    storm      back on the same node: from memory
    moved      back on the other node, which has to adopt the sessions (docs/design.md, section 5)

From the connect to RESUMED, with the hundred messages: p50 and p99, in these storms and alone, that is one after the
other.
"""

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from urllib.parse import urlsplit

import aiohttp

from benchmarks.native_tools import compiled, ended
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig, cpu_s, rig

_INTENTS = (1 << 0) | (1 << 9) | (1 << 15)
_AIM = 0.5
_UNIT = "resumes/CPU-s"
_TIMEOUT_S = 60
_ALONE = 200
# After what was asked for has come: what is left of it for the gateway to do.
_REST_S = 0.3


class _Client:
    """The compiled client: all sessions."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, command: str) -> str:
        """One command; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode() + b"\n")
        return (await asyncio.wait_for(self._process.stdout.readline(), 2 * _TIMEOUT_S)).decode().strip()

    async def timed(self, command: str) -> tuple[int, tuple[float, float]]:
        """A command for connections: how many succeeded within a minute, and p50 and p99 of those, in ms."""
        said = await self.ask(f"{command} {_TIMEOUT_S}")
        found = re.match(r"\w+ (\d+) (?:again (\d+) wrong (\d+) )?left (\d+) ms (\S+) (\S+)", said)
        if found is None or int(found[3] or 0) or not int(found[1]):
            raise RuntimeError(f"{command}: {said}")
        if int(found[2] or 0) or int(found[4]):
            print(f"{command}: {said}", file=sys.stderr)
        return int(found[1]), (float(found[5]), float(found[6]))


async def main() -> None:
    """Measure."""
    parser = arguments("resumes in a storm against bare handshakes")
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--messages", type=int, default=100)
    asked = parser.parse_args()
    before = environment()
    if compiled("resumer") is None:
        return
    size, missed, rounds, alone = (
        (50, 10, 1, 5) if asked.smoke else (asked.sessions, asked.messages, 5, min(_ALONE, asked.sessions))
    )
    async with rig("gateway=2") as system:
        results = await _measure(system, size, missed, rounds, alone)
    say("storm", results, before, as_json=asked.json)


async def _measure(system: Rig, size: int, missed: int, rounds: int, alone: int) -> list[Result]:
    guild, channel = await system.guild("storm")
    tokens = await system.people(guild, size, channel=channel, roles=5)
    first, second = "gateway.1", "gateway.2"
    async with _client(system, second, tokens) as client:
        storm = _Storm(system, client, channel, size, missed)
        same: list[tuple[float, float]] = []
        times: list[tuple[float, float]] = []
        for _ in range(rounds):
            value, took = await storm.back(second)
            same.append((value, await storm.handshakes(second)))
            times.append(took)
        alone_same = await storm.alone(second, alone)
        # From here on to and fro: each of these moves all sessions.
        moved: list[tuple[float, float]] = []
        moved_times: list[tuple[float, float]] = []
        fences = 0.0
        for to in (first, second, first)[:rounds]:
            sent = await _fence_records(system, to)
            value, took = await storm.back(to)
            fences += await _fence_records(system, to) - sent
            moved.append((value, await storm.handshakes(to)))
            moved_times.append(took)
            if not storm.all_back:
                break
        alone_moved = await storm.alone(first if len(moved) % 2 == 0 else second, alone)
    results = [
        ratio(f"storm {size}", _UNIT, same, _AIM),
        ratio(f"moved {size}", _UNIT, moved, None),
        Result(
            "moved: fence records", fences / len(moved) / size, "records/resume", None, None, "reported", None
        ),
    ]
    for name, found in (
        ("alone, same node", [alone_same]),
        ("alone, other node", [alone_moved]),
        ("storm, same node", times),
        ("storm, other node", moved_times),
    ):
        for at, which in enumerate(("p50", "p99")):
            value = median(one[at] for one in found)
            results.append(Result(f"{name}: {which}", value, "ms to RESUMED", None, None, "reported", None))
    return results


class _Storm:
    """Cuts, and lets come back."""

    def __init__(self, system: Rig, client: _Client, channel: int, size: int, missed: int) -> None:
        self._system = system
        self._client = client
        self._channel = channel
        self._size = size
        self._missed = missed
        self.all_back = True
        """Whether in the newest storm all were back in time."""

    async def back(self, to: str) -> tuple[float, tuple[float, float]]:
        """All come back to a gateway at once: resumes per CPU-second, and their p50 and p99."""
        await self._cut()
        pid = self._pin(to)
        start = cpu_s(pid)
        back, took = await self._client.timed(f"resume {self._port(to)} 0 {self._size} {self._size}")
        await asyncio.sleep(_REST_S)
        value = back / (cpu_s(pid) - start)
        print(f"storm to {to}: {back} of {self._size} back, {value:,.0f} {_UNIT}, {took} ms", file=sys.stderr)
        self.all_back = back == self._size
        return value, took

    async def handshakes(self, to: str) -> float:
        """As many bare handshakes at once, per CPU-second."""
        pid = self._pin(to)
        start = cpu_s(pid)
        shaken, _ = await self._client.timed(f"shake {self._port(to)} {self._size} {self._size}")
        await asyncio.sleep(_REST_S)
        return shaken / (cpu_s(pid) - start)

    async def alone(self, to: str, count: int) -> tuple[float, float]:
        """Some come back one after the other, and then the rest: p50 and p99 of those."""
        await self._cut()
        self._pin(to)
        _, took = await self._client.timed(f"resume {self._port(to)} 0 {count} 1")
        rest = self._size - count
        _ = await self._client.timed(f"resume {self._port(to)} {count} {rest} {min(rest, 200)}")
        return took

    async def _cut(self) -> None:
        """Cut all, and let them miss messages."""
        await self._client.ask("cut")
        async with asyncio.timeout(_TIMEOUT_S):
            while await self._sessions():
                await asyncio.sleep(0.1)
        async with self._system.rest("gateway.1") as rest:
            ids = [(await rest.send(self._channel, secrets.token_hex(16)))["id"] for _ in range(self._missed)]
        await self._client.ask(f"expect {self._system.file(chr(10).join(ids))}")
        await asyncio.sleep(_REST_S)

    async def _sessions(self) -> int:
        """Sessions connected now."""
        found = 0
        async with aiohttp.ClientSession() as http:
            for process in self._system.processes().values():
                if process["role"] == "gateway":
                    async with http.get(process["internal"] + "/status") as answer:
                        found += (await answer.json())["sessions"]
        return found

    def _pin(self, measured: str) -> int:
        self._system.pin(measured)
        return int(self._system.processes()[measured]["pid"])

    def _port(self, process: str) -> int:
        return int(urlsplit(self._system.processes()[process]["address"]).port or 0)


@asynccontextmanager
async def _client(system: Rig, process: str, tokens: list[str]) -> AsyncIterator[_Client]:
    resumer = compiled("resumer")
    assert resumer is not None
    system.pin(process)
    url = urlsplit(system.processes()[process]["address"])
    client = await asyncio.create_subprocess_exec(
        resumer,
        str(url.hostname),
        str(url.port),
        str(system.file("\n".join(tokens))),
        str(_INTENTS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    try:
        line = await asyncio.wait_for(client.stdout.readline(), 2 * _TIMEOUT_S)
        if not line.startswith(b"ready"):
            raise RuntimeError(f"the client said {line!r}")
        yield _Client(client)
    finally:
        await ended(client)


async def _fence_records(system: Rig, process: str) -> float:
    url = system.processes()[process]["internal"] + "/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        found = re.search(r"^fanfare_gateway_fence_records_total (\S+)", await answer.text(), re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


if __name__ == "__main__":
    asyncio.run(main())
