"""Those who change what was said: edits, reactions, pins and deletions in a channel of its own, through any node.

What comes of each call does not matter here: each is repeated until it is answered, and repeating it changes nothing.
What matters is that all clients and all nodes agree in the end on what has become of the messages.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from torture.client import ProtocolError, Rest, RestError
from torture.receivers import Receiver
from torture.system import System
from torture.twin import Message, differences, of_rest
from torture.world import Person, World

__all__ = ["Changers", "disagreements"]

_EMOJIS: Final = ("\N{THUMBS UP SIGN}", "\N{EYES}")
_ANSWER_S: Final = 7.0
_PAUSE_S: Final = 0.5
# Few people and messages, so that changes meet.
_PEOPLE: Final = 3
_RECENT: Final = 4
_SETTLE_S: Final = 45.0
_LOOK_S: Final = 0.5
_AWAY: Final = (aiohttp.ClientError, OSError, TimeoutError, ProtocolError)
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429


class Changers:
    """A few people who change messages."""

    def __init__(
        self, world: World, rng: Random, api: Callable[[Random], tuple[str, str]], *, label: str
    ) -> None:
        """Args: api: where REST is; label: begins every nonce."""
        self._channel = world.changing
        self._people = world.people[:_PEOPLE]
        self._rng = rng
        self._api = api
        self._label = label
        self._made: list[tuple[str, Person]] = []
        self._reacted: list[tuple[str, Person]] = []
        self._number = self._calls = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._rest: dict[tuple[str, int], Rest] = {}
        self._stack = AsyncExitStack()
        self._deadline = float("inf")

    async def run(self, rate: float, until: asyncio.Event) -> None:
        """Change something at random moments, so many times a second on average."""
        due = time.monotonic()
        while rate and not until.is_set():
            due += self._rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._something())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def finish(self, within_s: float) -> None:
        """Wait for the last answers."""
        self._deadline = time.monotonic() + within_s
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    @property
    def told(self) -> str:
        """What was done."""
        return f"{self._calls} changes of {len(self._made)} messages"

    async def close(self) -> None:
        """Disconnect."""
        for task in list(self._under_way):
            task.cancel()
        await self._stack.aclose()

    async def _something(self) -> None:
        rng, anybody = self._rng, self._rng.choice(self._people)
        kind = rng.random()
        if kind < 0.25 or not self._made:
            await self._say(anybody)
            return
        ident, author = rng.choice(self._made[-_RECENT:])
        message = f"/channels/{self._channel}/messages/{ident}"
        self._number += 1
        if kind < 0.45:
            await self._until_answered(author, "PATCH", message, {"content": f"changed {self._number}"})
        elif kind < 0.65 or (kind < 0.85 and not self._reacted):
            reaction = f"{message}/reactions/{quote(rng.choice(_EMOJIS))}/@me"
            self._reacted.append((reaction, anybody))
            await self._until_answered(anybody, "PUT", reaction)
        elif kind < 0.85:
            reaction, whose = self._reacted.pop(rng.randrange(len(self._reacted)))
            await self._until_answered(whose, "DELETE", reaction)
        elif kind < 0.95:
            pin = f"/channels/{self._channel}/pins/{ident}"
            # The owner of the guild.
            await self._until_answered(self._people[0], rng.choice(["PUT", "DELETE"]), pin)
        else:
            await self._until_answered(author, "DELETE", message)

    async def _say(self, author: Person) -> None:
        self._number += 1
        nonce = f"{self._label}c{self._number}"
        body = {"content": f"to be changed {nonce}", "nonce": nonce, "enforce_nonce": True}
        made = await self._until_answered(author, "POST", f"/channels/{self._channel}/messages", body)
        if made is not None:
            self._made.append((made["id"], author))

    async def _until_answered(self, who: Person, method: str, path: str, body: Any = None) -> Any:
        """Call, and again until there is an answer that is final; None where it is no."""
        while time.monotonic() < self._deadline:
            try:
                rest = await self._through(self._api(self._rng)[0], who)
                async with asyncio.timeout(_ANSWER_S):
                    answer = await rest.request(method, path, body)
                self._calls += 1
            except RestError as error:
                if error.status < _SERVER_ERROR and error.status != _TOO_MANY:
                    return None
            except _AWAY:
                pass
            else:
                return answer
            await asyncio.sleep(_PAUSE_S * self._rng.uniform(0.5, 2.0))
        return None

    async def _through(self, api: str, who: Person) -> Rest:
        key = api, who.id
        if key not in self._rest:
            self._rest[key] = await self._stack.enter_async_context(Rest(api, who.token))
        return self._rest[key]


async def disagreements(system: System, world: World, receivers: list[Receiver], since: int) -> list[str]:
    """Where clients and nodes do not agree on the messages above an id, after as long as that may take."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        try:
            found = await _compared(system, world, receivers, since)
        except (*_AWAY, RestError) as error:
            found = [f"REST does not tell: {error!r}"]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_LOOK_S)


async def _compared(system: System, world: World, receivers: list[Receiver], since: int) -> list[str]:
    apis = [node.api for node in system.nodes.values()] or [system.run["api"]]
    truths = await asyncio.gather(*(_truth(api, world, since) for api in apis))
    found = [
        f"{apis[0]} and {api} do not agree: {line}"
        for api, truth in zip(apis, truths, strict=True)
        for line in differences(truth, truths[0], content=True)
    ]
    for receiver in receivers:
        if receiver.log is None or receiver.twin is None:
            continue
        mine = {ident: one for ident, one in receiver.twin.messages().items() if int(ident) > since}
        found += [
            f"{receiver.log.name}: {line}"
            for line in differences(mine, truths[0], content=receiver.log.content)
        ]
    return found


async def _truth(api: str, world: World, since: int) -> dict[str, Message]:
    """The messages above an id, as a node tells them."""
    found: dict[str, Message] = {}
    async with Rest(api, world.people[0].token) as rest:
        async for message in rest.history(world.changing):
            if int(message["id"]) <= since:
                break
            found[message["id"]] = of_rest(message)
    return found
