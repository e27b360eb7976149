"""The load of a run: receivers that keep their sessions going, senders, and somebody who tends them all."""

import asyncio
import time
from random import Random
from typing import Final

from torture.bots import Bots
from torture.changers import Changers
from torture.client import Client  # noqa: TC001 - asyncio programs read better without
from torture.history import History
from torture.receivers import Receiver, traits
from torture.senders import Senders
from torture.system import System, seeded
from torture.world import World

__all__ = ["Load"]

_TEND_S: Final = 0.1
_READY_S: Final = 60.0
_SENDERS: Final = 12
_PUBLIC: Final = 0.5


class Load:
    """Everybody who uses the system."""

    def __init__(
        self,
        system: System,
        world: World,
        history: History,
        *,
        seed: int,
        receivers: int,
        rate: float,
        label: str,
        bots: int,
        changes: float,
    ) -> None:
        """Args: label: begins every nonce; bots: how many discord.py clients; changes: how many a second."""
        self.system = system
        self.world = world
        self.history = history
        self.rate = rate
        rng = seeded(seed, label, "receivers")
        self.receivers = [
            Receiver(
                f"r{number}",
                world.people[number % len(world.people)],
                traits(rng),
                seeded(seed, label, "receiver", number),
                self._place,
                history,
                world.changing,
                world.busy,
            )
            for number in range(receivers)
        ]
        self.senders = Senders(
            world,
            rng.sample(world.people, min(_SENDERS, len(world.people))),
            self.receivers,
            seeded(seed, label, "senders"),
            self._api,
            history,
            label=label,
        )
        self.changers = Changers(world, seeded(seed, label, "changers"), self._api, label=label)
        self._changes = changes
        self.bots = Bots(
            system, rng.sample(world.people, min(bots, len(world.people))), history, world.changing
        )
        self.abandoned: list[Client] = []
        """Half-open connections, to be closed at the end."""
        self._tasks: dict[Receiver, asyncio.Task[None]] = {}
        self._others: list[asyncio.Task[None]] = []
        self._enough = asyncio.Event()

    async def start(self) -> None:
        """Connect all receivers, then begin to send. Raises: TimeoutError: they do not get ready."""
        for receiver in self.receivers:
            self._tasks[receiver] = asyncio.create_task(receiver.run(), name=receiver.name)
        self._others.append(asyncio.create_task(self._tend(), name="tend"))
        await self.bots.start()
        async with asyncio.timeout(_READY_S):
            for receiver in self.receivers:
                await receiver.ready.wait()
            while self.bots.away:
                await asyncio.sleep(_TEND_S)
        self._others.append(asyncio.create_task(self.senders.run(self.rate, self._enough), name="senders"))
        self._others.append(
            asyncio.create_task(self.changers.run(self._changes, self._enough), name="changers")
        )

    async def enough(self, within_s: float) -> None:
        """Send nothing new, and wait for the last answers."""
        self._enough.set()
        await asyncio.gather(self.senders.finish(within_s), self.changers.finish(within_s))
        for receiver in self.receivers:
            receiver.calm()

    async def stop(self) -> None:
        """End everything."""
        self._enough.set()
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self.senders.close()
        await self.changers.close()
        await self.bots.stop()
        await asyncio.gather(*(receiver.stop(task) for receiver, task in self._tasks.items()))
        await asyncio.gather(*(each.cut() for each in self.abandoned))
        for task in (*self._others, *self._tasks.values()):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    @property
    def away(self) -> int:
        """How many are not connected now."""
        return sum(not receiver.live for receiver in self.receivers) + self.bots.away

    async def cut_all(self) -> None:
        """Everybody's network drops at once."""
        await asyncio.gather(*(receiver.cut() for receiver in self.receivers))

    async def _tend(self) -> None:
        while True:
            now = time.monotonic()
            await asyncio.gather(*(receiver.tend(now) for receiver in self.receivers))
            await asyncio.sleep(_TEND_S)

    def _place(self, rng: Random) -> tuple[str, str]:
        nodes = list(self.system.nodes.values())
        if not nodes or rng.random() < _PUBLIC:
            return self.system.run["gateway"], ""
        node = rng.choice(nodes)
        return node.gateway, node.name

    def _api(self, rng: Random) -> tuple[str, str]:
        nodes = list(self.system.nodes.values())
        if not nodes or rng.random() < _PUBLIC:
            return self.system.run["api"], "REST"
        node = rng.choice(nodes)
        return node.api, f"REST of {node.name}"
