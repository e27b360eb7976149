"""Accepting messages: how many a gateway takes per CPU-second, by REST and by op 128.

Method. One real gateway, which has a core for itself; a compiled client on the other core keeps it busy: 32
connections, by REST one message at a time on each, by op 128 (with a nonce) eight unanswered ones. A message counts
when it was accepted, that is when Kafka has it; one that is refused fails the run. Baselines: aiohttp with one handler
that reads and answers JSON, for REST, and websockets' asyncio server with an echo handler, for op 128, both on the same
event loop, alone on that core, with the same client. Rounds are interleaved; medians.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from benchmarks.bare import bare
from benchmarks.native_tools import LAST_CORE, compiled, ended
from benchmarks.report import Result, arguments, environment, ratio, say
from benchmarks.rig import Rig, cpu_s, rig

_CONNECTIONS = 32
_DEPTH = 8
_MEASURED = "gateway.1"
_UNIT = "messages/CPU-s"
# After the last answer: what is left to do, such as the inbox's entries.
_REST_S = 0.2


async def main() -> None:
    """Measure."""
    parser = arguments("messages accepted per CPU-second")
    parser.add_argument("--messages", type=int, default=8_000, help="of a round")
    asked = parser.parse_args()
    before = environment()
    if compiled("ingest") is None:
        return
    rounds, messages = (1, 100) if asked.smoke else (5, asked.messages)
    async with rig("gateway=1") as system:
        results = await _measure(system, rounds, messages)
    say("ingest", results, before, as_json=asked.json)


async def _measure(system: Rig, rounds: int, messages: int) -> list[Result]:
    guild, channel = await system.guild("ingest")
    tokens = "\n".join(await system.people(guild, _CONNECTIONS, channel=channel))
    process = system.processes()[_MEASURED]
    system.pin(_MEASURED)
    gateway = int(process["pid"])
    rest_port, socket_port = (int(urlsplit(process[name]).port or 0) for name in ("api", "address"))
    async with bare("http") as http, bare("websocket") as echo:
        if LAST_CORE:
            for server in (http, echo):
                os.sched_setaffinity(server.pid, {LAST_CORE})
        ways = (
            ("REST", "rest", gateway, rest_port, http.pid, http.port, "rest"),
            ("op 128", "socket", gateway, socket_port, echo.pid, echo.port, "echo"),
        )
        found: dict[str, list[tuple[float, float]]] = {}
        for at in range(rounds + 1):  # the first one is to get warm
            for name, kind, pid, port, bare_pid, bare_port, bare_kind in ways:
                count = messages if at else max(messages // 10, 50)
                value = await _round(system, kind, pid, port, tokens, channel, count)
                base = await _round(system, bare_kind, bare_pid, bare_port, tokens, channel, count)
                if at:
                    found.setdefault(name, []).append((value, base))
    return [ratio(name, _UNIT, pairs, None) for name, pairs in found.items()]


async def _round(
    system: Rig, kind: str, pid: int, port: int, tokens: str, channel: int, messages: int
) -> float:
    """Messages per CPU-second of a process."""
    async with _client(system, kind, port, tokens, channel) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        start = cpu_s(pid)
        client.stdin.write(b"%d\n" % messages)
        said = (await asyncio.wait_for(client.stdout.readline(), 120)).decode()
        if re.match(rf"accepted {messages} refused 0 ", said) is None:
            raise RuntimeError(f"{kind}: {said!r}")
        await asyncio.sleep(_REST_S)
        return messages / (cpu_s(pid) - start)


@asynccontextmanager
async def _client(
    system: Rig, kind: str, port: int, tokens: str, channel: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    program = compiled("ingest")
    assert program is not None
    client = await asyncio.create_subprocess_exec(
        program,
        *(kind, "127.0.0.1", str(port), str(system.file(tokens)), str(_DEPTH), str(channel)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        line = await asyncio.wait_for(client.stdout.readline(), 60)
        if not line.startswith(b"ready"):
            raise RuntimeError(f"the client said {line!r}")
        yield client
        client.stdin.close()
        await asyncio.wait_for(client.wait(), 10)
    finally:
        await ended(client)


if __name__ == "__main__":
    asyncio.run(main())
