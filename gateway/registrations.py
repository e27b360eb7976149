"""The node's registrations in Redis, written in one order by one writer that knows the wanted state.

So an old removal never lands after a new registration. Code that has waited for a registration knows that events
accepted afterwards go to this node's inbox.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from fanfare.bus.outage import is_outage
from fanfare.presence import inboxes, keys
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["HoleError", "PresenceWriter"]

_BATCH: Final = 500
_RETRY_S: Final = 0.2
_LOOK_S: Final = 0.5
_SLICE: Final = 1000
"""Registrations that are looked for in Redis each half second: 20,000 in 10 s."""
# What stands in Redis beside a session: a status, and its guilds, so that another node can go on with it while the
# database is away. Of a session with more guilds than this they are not noted.
_ONLINE: Final = b"online"
_UNKNOWN: Final = b"online ?"
_MOST_GUILDS: Final = 1000


class HoleError(inboxes.InboxGoneError):
    """A registration was written and is gone from Redis: events for it since then are not in the inbox."""


@dataclass(slots=True)
class _Registration:
    guild: int = 0
    user: int = 0
    session: str = ""
    done: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class _Removal:
    guild: int = 0
    user: int = 0
    session: str = ""


class PresenceWriter:
    """Keeps `guild:{id}:nodes` and `user:{id}:sessions` as this node wants them.

    A guild is wanted from `hold` to `release`, a session from `add` to `remove`.
    """

    def __init__(self, redis: Redis, inbox: str) -> None:
        """Args: inbox: the node's present one."""
        self.redis = redis
        self.inbox = inbox
        self._guilds: set[int] = set()
        self._users: dict[int, dict[str, bytes]] = {}
        self._there: dict[tuple[int, int, str], int] = {}
        """What Redis has acknowledged and is still wanted (guild, or user and session), by a serial number."""
        self._serial = 0
        self._holed = asyncio.Event()
        self.problem = ""
        """What keeps registrations from being written though Redis is there, for people; or ''."""
        self._queue: asyncio.Queue[_Registration | _Removal] = asyncio.Queue()
        self._log = logs.get("presence")

    def hold(self, guild: int) -> "asyncio.Future[None]":
        """Want a guild; done when Redis has it."""
        self._guilds.add(guild)
        return self._register(_Registration(guild=guild))

    def release(self, guild: int) -> None:
        """Want it no longer."""
        self._guilds.discard(guild)
        self._there.pop((guild, 0, ""), None)
        self._queue.put_nowait(_Removal(guild=guild))

    def add(self, user: int, session: str, guilds: Iterable[int] | None = None) -> "asyncio.Future[None]":
        """Want a session of a user; done when Redis has it.

        Args:
            user: whose.
            session: its key.
            guilds: the guilds that its client has been shown, or is about to be; None: as noted before.

        """
        sessions = self._users.setdefault(user, {})
        if guilds is not None:
            sessions[session] = _noted(tuple(sorted(guilds)))
        else:
            sessions.setdefault(session, _UNKNOWN)
        return self._register(_Registration(user=user, session=session))

    def serial(self, guild: int) -> int:
        """Another number each time that a guild was registered; 0: it is not."""
        return self._there.get((guild, 0, ""), 0)

    async def guilds_of(self, user: int, session: str, inbox: str) -> list[int] | None:
        """The guilds noted with a session where it is in an inbox of any node; None where they are not known.

        Raises:
            RedisError: Redis is away.

        """
        value: Any = await self.redis.hget(keys.user_sessions(user), f"{session}@{inbox}")
        if value is None or value == _UNKNOWN:
            return None
        return [int(word) for word in value.split()[1:]]

    async def applied(self, guild: int) -> int | None:
        """The newest version of a guild whose event stands in every inbox concerned.

        0: it is not known any more, because Redis was emptied since. None: Redis is away.
        """
        try:
            return int(await self.redis.get(keys.applied(guild)) or 0)
        except (RedisError, OSError):
            return None

    def remove(self, user: int, session: str) -> None:
        """Want it no longer."""
        sessions = self._users.get(user, {})
        sessions.pop(session, None)
        self._there.pop((0, user, session), None)
        if not sessions:
            self._users.pop(user, None)
        self._queue.put_nowait(_Removal(user=user, session=session))

    async def move(self, inbox: str) -> None:
        """Register all that is wanted for another inbox, because the present one is lost."""
        self.inbox = inbox
        self._there.clear()
        self._holed.clear()
        pending = [self._register(_Registration(guild=guild)) for guild in self._guilds]
        pending += [
            self._register(_Registration(user=user, session=session))
            for user, sessions in self._users.items()
            for session in sessions
        ]
        await asyncio.gather(*pending)

    def scopes(self) -> set[str]:
        """The scopes of what is wanted: g:GUILD and u:USER."""
        return {f"g:{guild}" for guild in self._guilds} | {f"u:{user}" for user in self._users}

    async def watch(self) -> None:
        """Look for holes in what is registered, some of it at a time.

        Raises:
            HoleError: there is one.

        """
        left: list[tuple[int, int, str]] = []
        while True:
            await asyncio.sleep(_LOOK_S)
            if not left:
                left = list(self._there)
            asked = [(one, self._there[one]) for one in left[-_SLICE:] if one in self._there]
            del left[-_SLICE:]
            with suppress(RedisError, OSError):
                gone = await inboxes.missing(self.redis, [self._names(*one) for one, _ in asked])
                if any(self._there.get(asked[place][0]) == asked[place][1] for place in gone):
                    self._holed.set()
            if self._holed.is_set():
                raise HoleError(self.inbox)

    def _names(self, guild: int, user: int, session: str) -> tuple[str, str]:
        """The hash and the field of a registration."""
        if guild:
            return keys.guild_nodes(guild), self.inbox
        return keys.user_sessions(user), f"{session}@{self.inbox}"

    async def run(self) -> None:
        """Write; the service's supervised task."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write(batch)

    def _register(self, registration: _Registration) -> "asyncio.Future[None]":
        self._queue.put_nowait(registration)
        return registration.done

    async def _write(self, batch: list[_Registration | _Removal]) -> None:
        """Write a batch in order: registrations as one pipeline, and each run of removals as one script call."""
        at = 0
        while at < len(batch):
            end = at
            while end < len(batch) and type(batch[end]) is type(batch[at]):
                end += 1
            await self._until_written(batch[at:end])
            at = end

    async def _until_written(self, run: list[_Registration | _Removal]) -> None:
        failing = False
        while True:
            try:
                if isinstance(run[0], _Registration):
                    await self._write_registrations([one for one in run if isinstance(one, _Registration)])
                else:
                    await self._write_removals([one for one in run if isinstance(one, _Removal)])
            except (RedisError, OSError) as error:
                passes = is_outage(error)
                self.problem = "" if passes else f"registrations cannot be written: {error!r}"
                if not failing:
                    say = self._log.warning if passes else self._log.error
                    say("presence waits for Redis", action=Action.RETRY, error=repr(error))
                failing = True
                await asyncio.sleep(_RETRY_S)
            else:
                self.problem = ""
                return

    async def _write_registrations(self, run: Iterable[_Registration]) -> None:
        inbox = self.inbox
        run = list(run)
        async with self.redis.pipeline(transaction=False) as pipe:
            for one in run:
                if one.guild:
                    _ = pipe.hset(keys.guild_nodes(one.guild), inbox, "1")
                else:
                    value = self._users.get(one.user, {}).get(one.session, _UNKNOWN)
                    _ = pipe.hset(keys.user_sessions(one.user), f"{one.session}@{inbox}", value)
            new = await pipe.execute()
        for one, added in zip(run, new, strict=True):
            if inbox == self.inbox:
                self._acknowledged(one, added=bool(added))
            if not one.done.done():
                one.done.set_result(None)

    def _acknowledged(self, one: _Registration, *, added: bool) -> None:
        name = (one.guild, one.user, one.session)
        if added and name in self._there:
            self._holed.set()  # it had been there, and this node did not remove it
        if one.guild in self._guilds or one.session in self._users.get(one.user, ()):
            self._serial += 1
            self._there[name] = self._serial

    async def _write_removals(self, run: Iterable[_Removal]) -> None:
        """Remove what is still not wanted now."""
        run = list(run)
        guilds = {one.guild for one in run if one.guild and one.guild not in self._guilds}
        gone = [one for one in run if one.user and one.session not in self._users.get(one.user, ())]
        if not guilds and not gone:
            return
        await inboxes.unregister(
            self.redis,
            self.inbox,
            guilds=guilds,
            users={one.user for one in gone if one.user not in self._users},
            fields=[(one.user, f"{one.session}@{self.inbox}") for one in gone],
        )


@lru_cache(maxsize=4096)  # many have the same guilds: they share the bytes
def _noted(guilds: tuple[int, ...]) -> bytes:
    if len(guilds) > _MOST_GUILDS:
        return _UNKNOWN
    return b" ".join([_ONLINE, *(b"%d" % guild for guild in guilds)])
