"""Senders: messages at a steady rate, over REST and over the socket, through any node, tried again by nonce."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final, NamedTuple

import aiohttp

from torture.client import ClosedError, ProtocolError, Rest, RestError, SendError
from torture.history import Attempt, History, Outcome
from torture.receivers import Receiver
from torture.world import Person, World

__all__ = ["Senders"]

# An answer is there within 5 s; who waits longer is told nothing.
_ANSWER_S: Final = 7.0
_PAUSE_S: Final = 0.3
# Some give up at the first answer that is not yes; some press the button twice.
_GIVE_UP: Final = 0.12
_TWICE: Final = 0.05
_BY_SOCKET: Final = 0.4

Api = Callable[[Random], tuple[str, str]]
"""Where REST is: base URL, and its name."""


class Senders:
    """Everybody who sends."""

    def __init__(
        self,
        world: World,
        people: Sequence[Person],
        receivers: Sequence[Receiver],
        rng: Random,
        api: Api,
        history: History,
        *,
        label: str,
    ) -> None:
        """Args: label: begins every nonce, so that runs can be told apart."""
        self._people = people
        self._channels = {person.id: sorted(world.channels_of(person.id)) for person in people}
        self._sockets: dict[int, list[Receiver]] = {}
        for receiver in receivers:
            self._sockets.setdefault(receiver.person.id, []).append(receiver)
        self._rng = rng
        self._api = api
        self._history = history
        self._label = label
        self._number = 0
        self._rest: dict[tuple[str, int], Rest] = {}
        self._stack = AsyncExitStack()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._died: BaseException | None = None
        self._deadline = float("inf")

    async def run(self, rate: float, until: asyncio.Event) -> None:
        """Send at random moments, so many a second on average."""
        due = time.monotonic()
        while not until.is_set():
            due += self._rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.send()

    def send(
        self, person: Person | None = None, channel: int = 0, *, filling: str = "", **fields: Any
    ) -> None:
        """Begin to send one message; `fields` are further ones of its body."""
        rng = self._rng
        person = person or rng.choice(self._people)
        channel = channel or rng.choice(self._channels[person.id])
        self._number += 1
        nonce = f"{self._label}{self._number}"
        message = _Message(person, channel, nonce, f"{nonce} {filling or 'x' * rng.randrange(40)}", fields)
        give_up, twice = rng.random() < _GIVE_UP, rng.random() < _TWICE
        self._spawn(self._deliver(message, give_up=give_up, twice=twice)).add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died = error

    async def finish(self, within_s: float) -> None:
        """Wait until every message has its last answer."""
        self._deadline = time.monotonic() + within_s
        while self._under_way:
            await asyncio.wait(list(self._under_way))
        if self._died is not None:
            raise self._died

    async def close(self) -> None:
        """Disconnect."""
        for task in list(self._under_way):
            task.cancel()
        await self._stack.aclose()

    def _spawn(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _deliver(self, message: "_Message", *, give_up: bool, twice: bool) -> None:
        if twice:
            outcomes = await asyncio.gather(self._try(message), self._try(message))
            outcome = Outcome.ACCEPTED if Outcome.ACCEPTED in outcomes else outcomes[0]
        else:
            outcome = await self._try(message)
        while outcome not in {Outcome.ACCEPTED, Outcome.REJECTED} and not give_up:
            await asyncio.sleep(_PAUSE_S * self._rng.uniform(0.5, 2.5))
            if time.monotonic() > self._deadline:
                return
            outcome = await self._try(message)

    async def _try(self, message: "_Message") -> Outcome:
        user = message.person.id
        live = [receiver for receiver in self._sockets.get(user, ()) if receiver.live]
        began = time.monotonic()
        if live and self._rng.random() < _BY_SOCKET:
            receiver = self._rng.choice(live)
            via = f"socket of {receiver.name}"
            outcome, ident, said = await self._by_socket(receiver, message)
        else:
            api, via = self._api(self._rng)
            outcome, ident, said = await self._by_rest(api, message)
        ended = time.monotonic()
        self._history.attempt(
            Attempt(message.nonce, user, message.channel, via, began, ended, outcome, ident, said)
        )
        return outcome

    async def _by_rest(self, api: str, message: "_Message") -> tuple[Outcome, int, str]:
        key = api, message.person.id
        if key not in self._rest:
            self._rest[key] = await self._stack.enter_async_context(Rest(api, message.person.token))
        try:
            async with asyncio.timeout(_ANSWER_S):
                found = await self._rest[key].send(
                    message.channel, message.text, message.nonce, **message.fields
                )
        except RestError as error:
            return _outcome(error.status), 0, str(error)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Outcome.UNKNOWN, 0, repr(error)
        except ProtocolError as error:
            return Outcome.REJECTED, 0, str(error)
        return Outcome.ACCEPTED, int(found["id"]), ""

    async def _by_socket(self, receiver: Receiver, message: "_Message") -> tuple[Outcome, int, str]:
        client = receiver.client
        assert client is not None
        # Who gives up waiting must not make the answer one that nobody waits for.
        sending = self._spawn(client.send(message.channel, message.text, message.nonce, **message.fields))
        done, _ = await asyncio.wait((sending,), timeout=_ANSWER_S)
        if not done:
            sending.add_done_callback(lambda task: task.cancelled() or task.exception())
            return Outcome.UNKNOWN, 0, "no answer"
        try:
            found = sending.result()
        except SendError as error:
            return _outcome(error.code), 0, str(error)
        except (ClosedError, ProtocolError, ValueError) as error:
            # ValueError: the same nonce waits on this connection already.
            return Outcome.UNKNOWN, 0, repr(error)
        return Outcome.ACCEPTED, int(found["id"]), ""


class _Message(NamedTuple):
    """What is to be sent."""

    person: Person
    channel: int
    nonce: str
    text: str
    fields: dict[str, Any]


def _outcome(code: int) -> Outcome:
    if code == 503:
        return Outcome.REFUSED
    if code == 504 or code in {500, 502}:
        return Outcome.UNKNOWN
    return Outcome.REJECTED
