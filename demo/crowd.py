"""The people of the demonstration: a guild with channels in every partition, sessions that see all, and senders."""

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from fanfare.bus.producer import partition_of
from fanfare.presence.snowflake_leases import unleased
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tokens import Tokens
from torture.client import CALM_INTENTS, Compression
from torture.history import History
from torture.receivers import Receiver, Traits
from torture.senders import Senders
from torture.system import seeded
from torture.world import Person, World

__all__ = ["Crowd", "make_guild"]

_NAMES: Final = ("general", "music", "games", "films", "cooking", "travel", "books", "sport", "maps", "cats")
_TEND_S: Final = 0.5
_READY_S: Final = 60.0
# Ordinary clients: nobody's network drops here. `fanfare torture` has the others.
_CALM: Final = Traits(Compression.NONE, CALM_INTENTS, None, None, slow=False)


async def make_guild(
    settings: Settings, people: int, partitions: int, called: str
) -> tuple[World, dict[int, str]]:
    """A guild with two channels in each partition, which all its people may see.

    Returns:
        Who is there, and the channels' names.

    """
    tokens = Tokens(settings.secret.get_secret_value())
    snowflakes = unleased()
    store = await Store.connect(settings)
    try:

        def ident() -> int:
            return snowflakes.next(time.time() * 1000)

        guild = ident()
        users = [
            await store.create_user(ident(), f"person-{number + 1}-of-{guild}", False)
            for number in range(people)
        ]
        names = [
            _NAMES[at % len(_NAMES)] + ("" if at < len(_NAMES) else str(at)) for at in range(2 * partitions)
        ]
        channels = [_in_partition(ident, at % partitions, partitions) for at in range(len(names))]
        numbers = iter((guild, *channels))
        await store.create_guild(lambda: next(numbers), users[0], called, names)
        for user in users[1:]:
            await store.add_member(guild, user)
    finally:
        await store.close()
    everybody = frozenset(user.id for user in users)
    world = World(
        people=[Person(user.id, tokens.issue(user.id)) for user in users],
        audience=dict.fromkeys(channels, everybody),
    )
    return world, dict(zip(channels, names, strict=True))


def _in_partition(ident: Callable[[], int], partition: int, partitions: int) -> int:
    while True:
        found = ident()
        if partition_of(found, partitions) == partition:
            return found


class Crowd:
    """Sessions that see everything, and senders at a steady rate."""

    def __init__(
        self, run: Mapping[str, Any], world: World, history: History, *, sessions: int, rate: float
    ) -> None:
        """Args: run: `run.json` of the system."""
        self._rate = rate

        def place(_: Random) -> tuple[str, str]:
            return run["gateway"], ""

        def api(_: Random) -> tuple[str, str]:
            return run["api"], "REST"

        self.receivers = [
            Receiver(
                f"session-{number + 1}",
                world.people[number % len(world.people)],
                _CALM,
                seeded(1, "receiver", number),
                place,
                history,
            )
            for number in range(sessions)
        ]
        self._senders = Senders(
            world, world.people, self.receivers, seeded(1, "senders"), api, history, label="demo-"
        )
        self._tasks: dict[Receiver, asyncio.Task[None]] = {}
        self._others: list[asyncio.Task[None]] = []
        self._enough = asyncio.Event()

    @property
    def away(self) -> int:
        """How many sessions are not connected now."""
        return sum(not receiver.live for receiver in self.receivers)

    async def connect(self) -> None:
        """Begin all sessions. Raises TimeoutError: they do not get ready."""
        for receiver in self.receivers:
            self._tasks[receiver] = asyncio.create_task(receiver.run(), name=receiver.name)
        self._others.append(asyncio.create_task(self._tend(), name="tend"))
        async with asyncio.timeout(_READY_S):
            for receiver in self.receivers:
                await receiver.ready.wait()

    def talk(self) -> None:
        """Send from now on."""
        self._others.append(asyncio.create_task(self._senders.run(self._rate, self._enough), name="senders"))

    async def enough(self, within_s: float) -> None:
        """Send nothing new, and wait for the last answers."""
        self._enough.set()
        await self._senders.finish(within_s)

    async def stop(self) -> None:
        """End all sessions."""
        self._enough.set()
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self._senders.close()
        await asyncio.gather(*(receiver.stop(task) for receiver, task in self._tasks.items()))

    def check(self) -> None:
        """Raise what a task of this died of."""
        for task in (*self._others, *self._tasks.values()):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _tend(self) -> None:
        while True:
            now = time.monotonic()
            await asyncio.gather(*(receiver.tend(now) for receiver in self.receivers))
            await asyncio.sleep(_TEND_S)
