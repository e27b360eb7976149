"""Tells guilds of changed statuses and voice states, by events in the log.

What is told is what Redis says when it is told, and it is told again if that was not true any more when Kafka had it.
So whichever node is the last to tell, the last event says the truth, and a user who changes often is told less often.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter

from fanfare.bus.errors import KafkaError
from fanfare.bus.producer import NotHandedOverError
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.clock import now_s
from fanfare.ids import ClockSkewError
from fanfare.presence.errors import RedisError
from fanfare.presence.snowflake_leases import NoWorkerNumberError
from fanfare.presence.statuses import Change, Statuses, voice_in
from fanfare.record import GUILD, Record
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY
from gateway.guilds.audience import View
from gateway.guilds.cache import GuildCache, UnknownGuildError
from gateway.ingress.interfaces import Ids, Log
from gateway.statuses.status import update
from gateway.statuses.voice import left

__all__ = ["MOST_MEMBERS", "Pace", "Teller"]

MOST_MEMBERS: Final = 75_000
"""In larger guilds nobody is told of statuses."""
# A status costs as many frames as there are sessions that want it: so many of them in a second, about, for each node.
_FRAMES_PER_S: Final = 20_000
_FASTEST: Final = 50.0
# After so long a guild may be told of as many as ever: it saves up for a second.
_FULL_S: Final = 1.0
_TOGETHER: Final = 256
_TICK_S: Final = 0.1
_RETRY_S: Final = 1.0
_TELL_S: Final = 20.0
_AWAY: Final = (
    RedisError,
    OSError,
    KafkaError,
    NotHandedOverError,
    NoWorkerNumberError,
    ClockSkewError,
    StoreUnavailableError,
)


TOLD: Final = Counter(
    "fanfare_statuses_told", "Events of changed statuses and voice states.", ["type"], registry=REGISTRY
)


class Pace:
    """How many statuses a guild is told of: the larger it is, the fewer. Pure."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, float]] = {}

    def may(self, guild: int, members: int, now: float) -> bool:
        """Whether one more may be told of now; then it counts."""
        rate = min(max(_FRAMES_PER_S / max(members, 1), 1.0), _FASTEST)
        left, at = self._left.get(guild, (rate, now))
        left = min(left + (now - at) * rate, rate)
        allowed = left >= 1.0
        self._left[guild] = (left - 1.0 if allowed else left, now)
        return allowed

    def prune(self, now: float) -> None:
        """Forget guilds that may be told of as many as ever."""
        self._left = {guild: kept for guild, kept in self._left.items() if now - kept[1] < _FULL_S}


class Teller:
    """What this node has to tell."""

    def __init__(self, *, statuses: Statuses, guilds: GuildCache, log: Log, ids: Ids) -> None:
        self._statuses = statuses
        self._guilds = guilds
        self._log = log
        self._ids = ids
        self._pace = Pace()
        self._due: dict[Change, None] = {}
        self._some = asyncio.Event()
        self._logger = logs.get("statuses")

    def add(self, changes: Iterable[Change]) -> None:
        """These have to be told."""
        self._due.update(dict.fromkeys(changes))
        if self._due:
            self._some.set()

    async def run(self) -> None:
        """Tell; the service's supervised task."""
        failing = False
        while True:
            await self._some.wait()
            batch = self._next(time.monotonic())
            try:
                async with asyncio.timeout(_TELL_S):
                    self.add(await self._tell(batch))
            except _AWAY as error:
                self.add(batch)
                if not failing:
                    self._logger.warning("statuses wait to be told", action=Action.RETRY, error=repr(error))
                failing = True
                await asyncio.sleep(_RETRY_S)
            else:
                failing = False
                if self._due:
                    await asyncio.sleep(_TICK_S)

    def _next(self, now: float) -> list[Change]:
        """The changes that may be told now, the oldest first."""
        found = []
        for change in list(self._due):
            if change.channel or self._pace.may(change.guild, self._members(change.guild), now):
                found.append(change)
                del self._due[change]
                if len(found) == _TOGETHER:
                    break
        if not self._due:
            self._some.clear()
        self._pace.prune(now)
        return found

    def _members(self, guild: int) -> int:
        view = self._guilds.views.get(guild)
        return view.guild.member_count if view is not None else 0

    async def _tell(self, changes: list[Change]) -> list[Change]:
        """Tell what is true now; returns what has to be told again."""
        if not changes:
            return []
        values = await self._statuses.now(changes)
        told, posted = [], []
        for change, value in zip(changes, values, strict=True):
            record = await self._record(change, value)
            if record is not None:
                TOLD.labels(record.type).inc()
                posted.append(self._log.post(CHAT_EVENTS, record, key=change.guild))
            told.append((change, value))
        await asyncio.gather(*posted)
        return await self._statuses.settle(told)

    async def _record(self, change: Change, value: bytes) -> Record | None:
        """The event of a change; None where nobody is to be told."""
        try:
            view = await self._guilds.view(change.guild)
        except UnknownGuildError:
            return None
        if change.channel:
            payload = _voice(view, change, value)
        elif view.guild.member_count > MOST_MEMBERS:
            payload = None
        else:
            payload = update(change.guild, change.user, value)
        if payload is None:
            return None
        return Record(
            type="VOICE_STATE_UPDATE" if change.channel else "PRESENCE_UPDATE",
            id=self._ids.next_id(),
            at=int(now_s() * 1000),
            audience=GUILD,
            guild=change.guild,
            channel=change.channel,
            author=change.user,
            payload=payload,
        )


def _voice(view: View, change: Change, value: bytes) -> bytes | None:
    """The voice state that those are told who see the channel of the change."""
    voice = voice_in(value)
    if voice is not None and voice.channel == change.channel:
        return voice.state
    if change.channel not in view.guild.channels:
        return None
    if voice is not None and _seen_alike(view, change.channel, voice.channel):
        return None  # they are told where the user is now
    return left(view, change.user)


def _seen_alike(view: View, one: int, other: int) -> bool:
    channels = view.guild.channels
    return other in channels and channels[one].overwrites == channels[other].overwrites
