"""Rebalances: how long a delivery waits when a worker joins, leaves or is killed.

Method. One socket sends 200 messages a second to eight channels of a guild, one in each partition, at times that are
set beforehand; other sessions receive them. The gap is the longest time that any message took from when it was due to
be sent until the last receiver had it: a stop of any partition shows in it, and a late sender does too. A second
fan-out (then: notifier) joins, which includes the start of its process on this machine; leaves by SIGTERM; joins
again; and is killed by SIGKILL, which the group notices after the session timeout of 3 s. Baseline: the longest gap
in a stretch after each of these that is as long, in which nothing happens. Every message has to arrive, once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Final, NamedTuple

import asyncpg

from benchmarks.report import Result, arguments, environment, say
from benchmarks.rig import Rig, rig
from benchmarks.stores import Worker, channels, guild, members, processes, worker
from fanfare.constants import OWN_UNANSWERED
from fanfare.tokens import Tokens
from torture.client import Client, Session

PARTITIONS: Final = 8
_AIMS_MS: Final = {"joins": 100, "leaves": 100, "is killed": 4000}
_FIRST_USER: Final = 2_300_000_000_000_000_000
_SETTLED_S: Final = 30.0
_ROLES: Final = ("fanout", "notifier")


class Gap(NamedTuple):
    """The longest gap of an event, and of as long a time without one."""

    disturbed_s: float
    quiet_s: float


class Stream:
    """One sender and its receivers, and how long each message took."""

    def __init__(self, sender: Client, receivers: list[Client], rooms: list[int], rate: int) -> None:
        self._sender = sender
        self._receivers = receivers
        self._rooms = rooms
        self._rate = rate
        self._due: list[float] = []
        self._arrived: list[float] = []
        """When the last receiver had it; 0 as long as it has not."""
        self._missing: list[int] = []
        self._unanswered = asyncio.Semaphore(OWN_UNANSWERED - 4)

    async def run(self) -> None:
        """Send and receive until cancelled."""
        async with asyncio.TaskGroup() as group:
            for receiver in self._receivers:
                group.create_task(self._receive(receiver))
            group.create_task(self._send(group))

    async def _send(self, group: asyncio.TaskGroup) -> None:
        began = time.monotonic()
        while True:
            number = len(self._due)
            due = began + number / self._rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self._due.append(due)
            self._arrived.append(0.0)
            self._missing.append(len(self._receivers))
            room = self._rooms[number % len(self._rooms)]
            await self._unanswered.acquire()  # the bound of a socket; who waits here is late all the same
            group.create_task(self._one(room, number))

    async def _one(self, room: int, number: int) -> None:
        try:
            await self._sender.send(room, str(number))
        finally:
            self._unanswered.release()

    async def _receive(self, receiver: Client) -> None:
        seen: set[int] = set()
        while True:
            event = await receiver.next()
            if event.t != "MESSAGE_CREATE":
                continue
            number = int(event.d["content"])
            if number in seen:
                raise RuntimeError(f"message {number} came twice")
            seen.add(number)
            self._missing[number] -= 1
            if not self._missing[number]:
                self._arrived[number] = time.monotonic()

    async def during(self, work: Callable[[], Awaitable[object]], after_s: float) -> tuple[float, float]:
        """Do it; the longest gap of messages due meanwhile and for some time after, and how long all that was.

        Raises:
            TimeoutError: a message never came.

        """
        first, began = len(self._due), time.monotonic()
        await work()
        await asyncio.sleep(after_s)
        end, took = len(self._due), time.monotonic() - began
        async with asyncio.timeout(_SETTLED_S):
            while not all(self._arrived[first:end]):
                await asyncio.sleep(0.02)
        gaps = [self._arrived[number] - self._due[number] for number in range(first, end)]
        return max(gaps), took


async def main() -> None:
    """Measure."""
    parser = arguments("how long deliveries wait when workers come and go")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    before = environment()
    rounds, rate = (1, 50) if asked.smoke else (asked.rounds, 200)
    gaps: dict[str, list[Gap]] = {}
    async with rig("archiver=0") as system:
        stream = await _stream(system, rate)
        running = asyncio.create_task(stream.run())
        try:
            await asyncio.sleep(1)  # warm
            for _ in range(rounds):
                for role in _ROLES[:1] if asked.smoke else _ROLES:
                    await _round(system, stream, role, gaps, smoke=asked.smoke)
                    if running.done():
                        running.result()
        except TimeoutError:
            if running.done():
                running.result()  # that is why
            raise
        finally:
            running.cancel()
            await asyncio.wait((running,))
    say("rebalance", _results(gaps), before, as_json=asked.json)


def _results(gaps: dict[str, list[Gap]]) -> list[Result]:
    results = []
    for case, found in gaps.items():
        aim = next(aim for name, aim in _AIMS_MS.items() if case.endswith(name))
        for said, choose in (("worst", max), ("median", median)):
            value = 1000 * float(choose(gap.disturbed_s for gap in found))
            quiet = 1000 * float(choose(gap.quiet_s for gap in found))
            of = round(value / quiet, 2)
            results.append(
                Result(f"{case}, {said}", value, "ms", quiet, of, f"value <={aim} ms", met=value <= aim)
            )
    return results


async def _round(system: Rig, stream: Stream, role: str, gaps: dict[str, list[Gap]], *, smoke: bool) -> None:
    timeout_s = 1.0 if smoke else 3.0
    after_s = 0.2 if smoke else 2.0
    made: list[Worker] = []

    async def join() -> None:
        made.append(
            await worker(system, role, name=f"{role}.{len(made)}", session_timeout_ms=int(timeout_s * 1000))
        )
        await made[-1].ready()

    async def leave() -> None:
        await made[-1].stop()

    async def die() -> None:
        await made[-1].kill()

    async def nothing() -> None:
        await asyncio.sleep(0)

    async def measure(name: str, work: Callable[[], Awaitable[object]], hold_s: float) -> None:
        disturbed_s, took_s = await stream.during(work, hold_s)
        quiet_s, _ = await stream.during(nothing, 0.2 if smoke else took_s)
        gaps.setdefault(f"{role} {name}", []).append(Gap(disturbed_s, quiet_s))

    try:
        await measure("joins", join, after_s)
        await measure("leaves", leave, after_s)
        await join()
        await asyncio.sleep(after_s)
        await measure("is killed", die, timeout_s + after_s)
    finally:
        for each in made:
            await each.kill()


async def _stream(system: Rig, rate: int) -> Stream:
    """A guild with a channel in each partition, and its sessions."""
    place, _ = await guild(system, "rebalance")
    rooms = channels(PARTITIONS, PARTITIONS)
    connection = await asyncpg.connect(system.run["postgres"])
    try:
        await connection.executemany(
            "INSERT INTO channels (id, guild_id, type, name) VALUES ($1, $2, 0, 'rebalance')",
            [(room, place) for room in rooms],
        )
    finally:
        await connection.close()
    people = await members(system, place, _FIRST_USER, 3)
    tokens = Tokens((system.folder / ".fanfare" / "secret").read_text().strip())
    address = (await processes(system))["gateway.1"]["address"]
    clients = []
    for token in (system.run["users"]["alice"]["token"], *map(tokens.issue, people)):
        client = await Client.connect(address, Session(token))
        await client.start()
        clients.append(client)
    return Stream(clients[0], clients[1:], rooms, rate)


if __name__ == "__main__":
    asyncio.run(main())
