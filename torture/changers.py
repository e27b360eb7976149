"""Those who change what there is, through any node: messages in a channel of its own, and a guild of its own.

What comes of each call does not matter here: each is repeated until it is answered, and repeating it changes nothing.
What matters is that all clients and all nodes agree in the end on what has become of the messages.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Final
from urllib.parse import quote

from torture.caller import AWAY, Caller
from torture.client import Rest, RestError
from torture.guild_changers import GuildChangers
from torture.guild_twin import apart, facts_of_rest
from torture.receivers import Receiver
from torture.system import System
from torture.twin import Message, differences, of_rest
from torture.world import Person, World

__all__ = ["Changers", "disagreements"]

_EMOJIS: Final = ("\N{THUMBS UP SIGN}", "\N{EYES}")
# Few people and messages, so that changes meet.
_PEOPLE: Final = 3
_RECENT: Final = 4
_SETTLE_S: Final = 45.0
_LOOK_S: Final = 0.5
_OF_GUILD: Final = 0.5
_MISSING_ACCESS: Final = 50001


class Changers:
    """A few people who edit, pin, delete and react, and change a guild."""

    def __init__(
        self, world: World, rng: Random, api: Callable[[Random], tuple[str, str]], *, label: str
    ) -> None:
        """Args: api: where REST is; label: begins every nonce."""
        self._channel = world.changing
        self._people = world.people[:_PEOPLE]
        self._rng = rng
        self._label = label
        self._made: list[tuple[str, Person]] = []
        self._reacted: list[tuple[str, Person]] = []
        self._number = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._caller = Caller(rng, api)
        # A world that an older version made has no guild for it.
        self._guild = GuildChangers(world, rng, self._caller) if world.busy else None

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
        self._caller.finish(within_s)
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    @property
    def told(self) -> str:
        """What was done."""
        return f"{self._caller.calls} changes of {len(self._made)} messages and a guild"

    async def close(self) -> None:
        """Disconnect."""
        for task in list(self._under_way):
            task.cancel()
        await self._caller.close()

    async def _something(self) -> None:
        if self._guild is not None and self._rng.random() < _OF_GUILD:
            await self._guild.something()
            return
        rng, anybody = self._rng, self._rng.choice(self._people)
        kind = rng.random()
        if kind < 0.25 or not self._made:
            await self._say(anybody)
            return
        ident, author = rng.choice(self._made[-_RECENT:])
        message = f"/channels/{self._channel}/messages/{ident}"
        self._number += 1
        if kind < 0.45:
            await self._caller.until_answered(
                author, "PATCH", message, {"content": f"changed {self._number}"}
            )
        elif kind < 0.65 or (kind < 0.85 and not self._reacted):
            reaction = f"{message}/reactions/{quote(rng.choice(_EMOJIS))}/@me"
            self._reacted.append((reaction, anybody))
            await self._caller.until_answered(anybody, "PUT", reaction)
        elif kind < 0.85:
            reaction, whose = self._reacted.pop(rng.randrange(len(self._reacted)))
            await self._caller.until_answered(whose, "DELETE", reaction)
        elif kind < 0.95:
            pin = f"/channels/{self._channel}/pins/{ident}"
            # The owner of the guild.
            await self._caller.until_answered(self._people[0], rng.choice(["PUT", "DELETE"]), pin)
        else:
            await self._caller.until_answered(author, "DELETE", message)

    async def _say(self, author: Person) -> None:
        self._number += 1
        nonce = f"{self._label}c{self._number}"
        body = {"content": f"to be changed {nonce}", "nonce": nonce, "enforce_nonce": True}
        made = await self._caller.until_answered(author, "POST", f"/channels/{self._channel}/messages", body)
        if made is not None:
            self._made.append((made["id"], author))


async def disagreements(system: System, world: World, receivers: list[Receiver], since: int) -> list[str]:
    """Where clients and nodes do not agree on the messages above an id, after as long as that may take."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        try:
            found = await _compared(system, world, receivers, since)
        except (*AWAY, RestError) as error:
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
    return found + (await _guild_compared(apis, world, receivers) if world.busy else [])


async def _guild_compared(apis: list[str], world: World, receivers: list[Receiver]) -> list[str]:
    """The same for the guild, as each person may see it."""
    owner = world.busy_people[0]
    truths = await asyncio.gather(*(_guild_truth(api, world, owner) for api in apis))
    found = [
        f"{apis[0]} and {api} do not agree: {line}"
        for api, truth in zip(apis, truths, strict=True)
        for line in apart(truth, truths[0])
    ]
    for count, person in enumerate(world.busy_people):
        truth = await _guild_truth(apis[count % len(apis)], world, person)
        for receiver in receivers:
            if receiver.person == person and receiver.log is not None and receiver.guild is not None:
                found += [f"{receiver.log.name}: {line}" for line in apart(receiver.guild.facts(), truth)]
    return found


async def _guild_truth(api: str, world: World, person: Person) -> Mapping[str, str] | None:
    """The guild as a node tells somebody; None: they are not in it."""
    guild = f"/guilds/{world.busy}"
    async with Rest(api, person.token) as rest:
        try:
            itself = await rest.request("GET", guild)
            threads = (await rest.request("GET", f"{guild}/threads/active"))["threads"]
            channels = await rest.request("GET", f"{guild}/channels")
            members = await rest.request("GET", f"{guild}/members?limit=100")
        except RestError as error:
            if error.code == _MISSING_ACCESS:
                return None
            raise
    return facts_of_rest(itself, channels, threads, members)


async def _truth(api: str, world: World, since: int) -> dict[str, Message]:
    """The messages above an id, as a node tells them."""
    found: dict[str, Message] = {}
    async with Rest(api, world.people[0].token) as rest:
        async for message in rest.history(world.changing):
            if int(message["id"]) <= since:
                break
            found[message["id"]] = of_rest(message)
    return found
