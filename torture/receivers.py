"""Receivers: each keeps one session going, whatever happens, and notes what it gets.

They differ: compression, intents, how often their network drops, how long they wait in silence before they try
another node, how slowly they read.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from websockets.exceptions import WebSocketException

from torture.client import (
    CALM_INTENTS,
    Client,
    ClosedError,
    Compression,
    InvalidSessionError,
    ProtocolError,
    ReconnectError,
    Session,
)
from torture.guild_twin import GuildTwin
from torture.history import History, Link, SessionLog
from torture.twin import Twin
from torture.world import Person

__all__ = ["Place", "Receiver", "Traits", "traits"]

_DIRECT_MESSAGES: Final = 1 << 12
_MESSAGE_CONTENT: Final = 1 << 15
# After these a client has to begin anew. 1000 is only ever ours.
_FINAL: Final = frozenset({1000, 4003, 4004, 4005, 4007, 4010, 4011, 4012, 4013, 4014})
_CONNECT_S: Final = 6.0
# A start or a resume that takes longer is given up: a node answers within 10 s.
_LIVE_S: Final = 15.0
_RETRY_S: Final = (0.05, 1.0)

Place = Callable[[Random], tuple[str, str]]
"""Where to connect: URL, and the node's name or ''."""


@dataclass(frozen=True)
class Traits:
    """How a receiver behaves."""

    compress: Compression
    intents: int
    cut_each_s: float | None
    """Its network drops so often on average."""
    patience_s: float | None
    """After so much silence it tries another node."""
    slow: bool
    """It stops reading for seconds now and then."""


def traits(rng: Random) -> Traits:
    """A receiver of some kind."""
    intents = CALM_INTENTS
    if rng.random() < 0.15:
        intents &= ~_DIRECT_MESSAGES
    if rng.random() < 0.15:
        intents &= ~_MESSAGE_CONTENT
    return Traits(
        compress=Compression.ZLIB if rng.random() < 0.3 else Compression.NONE,
        intents=intents,
        cut_each_s=rng.uniform(8, 30) if rng.random() < 0.4 else None,
        patience_s=rng.uniform(3, 6) if rng.random() < 0.4 else None,
        slow=rng.random() < 0.1,
    )


class Receiver:
    """One client program."""

    def __init__(
        self,
        name: str,
        person: Person,
        how: Traits,
        rng: Random,
        place: Place,
        history: History,
        changing: int = 0,
        busy: int = 0,
    ) -> None:
        """Make one.

        Args:
            name: in the history.
            person: whose it is.
            how: what kind it is.
            rng: what is left to chance.
            place: where gateways are.
            history: to note what comes.
            changing: a channel of which not each message is noted, but what becomes of them; 0: there is none.
            busy: a guild of which is noted what becomes of it; 0: there is none.

        """
        self.name = name
        self.person = person
        self.traits = how
        self.client: Client | None = None
        """The connection, while it is live."""
        self.log: SessionLog | None = None
        self.twin: Twin | None = None
        """What the session knows of the channel that changes."""
        self.guild: GuildTwin | None = None
        """What the session knows of the guild that changes."""
        self._changing = changing
        self._busy = busy
        self.ready = asyncio.Event()
        """Live at least once."""
        self._rng = rng
        self._place = place
        self._history = history
        self._session: Session | None = None
        self._count = 0
        self._stopping = False
        self._calm = False
        self._held = False
        self._connection: Client | None = None
        self._opened = 0.0
        self._heard = 0.0
        self._impatience = 1.0
        self._cut_at = self._next_cut()
        self._hold_at = time.monotonic() + rng.uniform(1, 8)

    @property
    def live(self) -> bool:
        """Connected, with everything that was missed sent before what comes."""
        return self.client is not None

    async def run(self) -> None:
        """Keep the session going until `stop`."""
        pause = _RETRY_S[0]
        while not self._stopping:
            await self._until_broken()
            if self._opened and time.monotonic() - self._opened > 1.0:
                pause = _RETRY_S[0]
            if not self._stopping:
                await asyncio.sleep(self._rng.uniform(0.5, 1.5) * pause)
            pause = min(pause * 2, _RETRY_S[1])

    async def _until_broken(self) -> None:
        """One connection, and what its end means for the session."""
        log = self.log
        why = ""
        try:
            await self._connect_once()
        except InvalidSessionError as error:
            why = str(error)
            if not error.resumable:
                self._told(why)
        except ClosedError as error:
            why = str(error)
            if error.code in _FINAL:
                self._told(why)
        except ProtocolError as error:
            self._broken(str(error))
        except (ReconnectError, OSError, TimeoutError, EOFError, WebSocketException) as error:
            why = repr(error)
        if log is not None:
            self._history.event(log, "ended", time.monotonic(), why=why)

    async def stop(self, task: "asyncio.Task[None]") -> None:
        """End the session for good."""
        self._stopping = True
        client = self._connection
        if client is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await client.close(1000)
        task.cancel()
        await asyncio.wait((task,))

    async def cut(self) -> None:
        """The network drops the connection."""
        client = self._connection
        if client is not None:
            await client.cut()

    def abandon(self) -> "Client | None":
        """Leave the connection as it is, half-open, and go on with another; the old one is answered."""
        client = self._connection
        if client is None or not self.live:
            return None
        client.abandon()
        return client

    def hold(self) -> bool:
        """Read nothing until `release`, come what may; False if it is not live."""
        if self.client is None or self.log is None:
            return False
        self._held = self.log.slow = True
        self.client.pause()
        return True

    def release(self) -> None:
        """Read again."""
        self._held = False
        if self._connection is not None and not self._connection.abandoned:
            self._connection.unpause()

    def calm(self) -> None:
        """From now on it is an ordinary client: it reads, and stays where it is."""
        self._calm = True
        if self._connection is not None and not self._connection.abandoned:
            self._connection.unpause()

    async def tend(self, now: float) -> None:
        """What it does by itself, looked at every moment."""
        client = self._connection
        if client is None:
            return
        if not self.live:
            if now - self._opened > _LIVE_S:
                await self.cut()
            return
        if self._calm or self._held:
            return
        patience = self.traits.patience_s
        if self._cut_at is not None and now > self._cut_at:
            self._cut_at = self._next_cut()
            await self.cut()
        elif patience is not None and now - self._heard > patience * self._impatience:
            self._impatience = min(self._impatience * 2, 16)
            await self.cut()
        elif self.traits.slow and now > self._hold_at:
            if client.paused:
                client.unpause()
                self._hold_at = now + self._rng.uniform(1, 8)
            else:
                client.pause()
                self._hold_at = now + self._rng.uniform(1, 5)

    def _next_cut(self) -> float | None:
        each = self.traits.cut_each_s
        return None if each is None else time.monotonic() + self._rng.expovariate(1 / each)

    async def _connect_once(self) -> None:
        """One connection, from its start to its end, which is an exception."""
        url, node = self._place(self._rng)
        session = self._session
        if session is None or self.log is None or self.log.ready is None:
            session = self._session = Session(self.person.token, intents=self.traits.intents)
            self.log = None
        self._opened = 0.0
        async with asyncio.timeout(_CONNECT_S):
            client = await Client.connect(url, session, compress=self.traits.compress)
        self._connection = client
        link = Link(time.monotonic(), node)
        self._opened = self._heard = link.opened
        try:
            if self.log is None:
                await self._start(client, link)
            else:
                self.log.links.append(link)
                await client.ask_to_resume()
            await self._read(client, link)
        finally:
            link.closed = time.monotonic()
            self.client = self._connection = None
            if self.log is not None:
                self._history.event(self.log, "closed", link.closed, node=node)
            if not client.abandoned:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await client.close(4999)

    async def _start(self, client: Client, link: Link) -> None:
        self._count += 1
        log = SessionLog(
            f"{self.name}.{self._count}",
            self.person.id,
            content=bool(self.traits.intents & _MESSAGE_CONTENT),
            direct=bool(self.traits.intents & _DIRECT_MESSAGES),
            slow=self.traits.slow,
            links=[link],
        )
        events = await client.start()
        self.log = log
        self.twin = Twin(self._changing) if self._changing else None
        self.guild = GuildTwin(self._busy) if self._busy else None
        if self.guild is not None:
            for event in events:
                self.guild.take(event.t, event.d)
        self._history.began(log)
        log.ready = time.monotonic()
        self._live(client, link, "ready")
        assert events

    def _live(self, client: Client, link: Link, kind: str) -> None:
        link.live = self._heard = time.monotonic()
        self.client = client
        self.ready.set()
        assert self.log is not None
        self._history.event(self.log, kind, link.live, node=link.node)

    async def _read(self, client: Client, link: Link) -> None:
        log = self.log
        assert log is not None
        got = self._history.got
        clock = time.monotonic
        while True:
            event = await client.next()
            if (self.twin is not None and self.twin.take(event.t, event.d)) or (
                self.guild is not None and self.guild.take(event.t, event.d)
            ):
                self._heard = clock()
            elif event.t == "MESSAGE_CREATE":
                self._heard = now = clock()
                got(log, int(event.d["id"]), event.s, now)
                self._impatience = 1.0
            elif event.t == "RESUMED":
                self._live(client, link, "resumed")

    def _told(self, said: str) -> None:
        log = self.log
        if log is not None and log.ready is not None and not self._stopping:
            log.end, log.ended, log.said = "told", time.monotonic(), said
            self._history.event(log, "told", log.ended, said=said)
        self._session = None
        self.log = None

    def _broken(self, said: str) -> None:
        """The server broke the protocol: noted, and begun anew."""
        log = self.log
        if log is None:
            log = SessionLog(f"{self.name}.{self._count}.start", self.person.id)
            self._history.began(log)
        log.broken = said
        log.end, log.ended = "left", time.monotonic()
        self._history.event(log, "broken", log.ended, said=said)
        self._session = None
        self.log = None
