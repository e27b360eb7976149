"""Keeps the statuses of this node's users, and their voice states, as its sessions say.

A user is online as long as one of the sessions is connected, or was moments ago. What a session says is taken note of
at once, but of one user not more often than every few seconds; then it is the newest that counts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Final, TypeVar

from fanfare.presence.errors import RedisError
from fanfare.presence.statuses import Change, Noted, Statuses, Voice, voice_in
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.session import Session
from gateway.guilds.audience import View
from gateway.statuses.shown import Shown
from gateway.statuses.status import ONLINE, Status, merged, unpack
from gateway.statuses.teller import Teller
from gateway.statuses.voice import VoiceWish, may_connect, state_of

__all__ = ["AWAY_S", "Keeper"]

AWAY_S: Final = 10.0
"""A user whose connection was cut stays online so long: clients resume within it."""
_SPACING_S: Final = 4.0
_TICK_S: Final = 0.25
_RETRY_S: Final = 1.0
_LOOK_S: Final = 5.0
# A change that its node has not told for so long is told by another one.
_UNTOLD_S: Final = 30.0
_UNTOLD_AT_ONCE: Final = 500
_SEE_AGAIN_S: Final = 3600.0
_SEEN_AT_ONCE: Final = 1000


_Same = TypeVar("_Same")


@lru_cache(maxsize=4096)  # many users have the same guilds and the same status: they share the bytes
def _shared(value: _Same) -> _Same:
    return value


class Keeper:
    """The users of one node."""

    def __init__(
        self,
        *,
        statuses: Statuses,
        teller: Teller,
        shown: Shown,
        sessions_of: Callable[[int], Iterable[Session]],
        view_of: Callable[[int], View | None],
        seen: Callable[[Iterable[int]], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            statuses: Redis.
            teller: tells guilds what has changed.
            shown: what is shown to sessions here.
            sessions_of: the sessions of a user on this node.
            view_of: a guild as it is now, if it is loaded.
            seen: notes in the database that users are online.

        """
        self._statuses = statuses
        self._teller = teller
        self._shown = shown
        self._sessions_of = sessions_of
        self._view_of = view_of
        self._seen = seen
        self._unseen: set[int] = set()
        """Users who are online, and the database does not know."""
        self._seen_at = time.monotonic()
        self._due: dict[int, float] = {}
        """Users to be looked at, and when."""
        self._noted: dict[int, Noted] = {}
        """What Redis has of users here."""
        self._noted_at: dict[int, float] = {}
        self._voices: dict[tuple[int, int], tuple[Session, VoiceWish]] = {}
        """By guild and user."""
        self._log = logs.get("statuses")

    def changed(self, user: int) -> None:
        """Something about a user's sessions may have changed."""
        self._due.setdefault(user, 0.0)

    def said(self, session: Session, status: Status) -> None:
        """A session says what its user's status is."""
        if session.status != status:
            session.status = status
            session.status_kept = False
            self.changed(session.user.id)

    async def run(self) -> None:
        """Take note of what has changed; a supervised task."""
        failing = False
        while True:
            await asyncio.sleep(_TICK_S)
            if not self._due:
                continue
            try:
                await self._turn(time.monotonic())
            except (RedisError, OSError) as error:
                if not failing:
                    self._log.warning("statuses wait for Redis", action=Action.RETRY, error=repr(error))
                failing = True
                await asyncio.sleep(_RETRY_S)
            else:
                failing = False

    async def watch(self) -> None:
        """Look after what others have left behind, and whether Redis still has ours; a supervised task."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                self._teller.add(await self._statuses.bury())
                self._teller.add(await self._statuses.untold(_UNTOLD_S, _UNTOLD_AT_ONCE))
                await self._shown.renew()
                await self._look_at_channels()
                if await self._statuses.noted() < len(self._noted):
                    await self._again()
            except (RedisError, OSError) as error:
                self._log.debug("statuses were not looked after", action=Action.RETRY, error=repr(error))

    async def see(self) -> None:
        """Note who is online in the database, every so often; a supervised task."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            if now - self._seen_at > _SEE_AGAIN_S:
                self._unseen |= self._noted.keys()
                self._seen_at = now
            while self._unseen:
                some = set(islice(self._unseen, _SEEN_AT_ONCE))
                try:
                    await self._seen(some)
                except StoreUnavailableError:
                    break
                self._unseen -= some

    async def connect(self, session: Session, wish: VoiceWish) -> bool:
        """A session wants its user to be in a voice channel, or in none; whether a voice server is to be named.

        Raises:
            RedisError: Redis is away.

        """
        view, user = self._view_of(wish.guild), session.user.id
        if view is None or wish.guild not in session.guilds:
            return False
        if not wish.channel:
            self._voices.pop((wish.guild, user), None)
            self._teller.add(await self._statuses.put_voice(wish.guild, user, "*", None))
            return False
        if not may_connect(view, user, wish.channel):
            return False
        self._voices[wish.guild, user] = (session, wish)
        await self._speak(view, session, wish)
        return True

    async def _speak(self, view: View, session: Session, wish: VoiceWish) -> None:
        user = session.user.id
        voice = Voice(wish.channel, state_of(view, wish, user, session.key))
        self._teller.add(await self._statuses.put_voice(wish.guild, user, session.key, voice))

    async def _look_at_channels(self) -> None:
        """Nobody is in a channel that is gone; others may have moved users of this node, too."""
        known = list(self._voices.items())
        if not known:
            return
        stand = await self._statuses.now([Change(*one, wish.channel) for one, (_, wish) in known])
        for ((guild, user), (session, wish)), value in zip(known, stand, strict=True):
            view, voice = self._view_of(guild), voice_in(value)
            if voice is not None and voice.channel != wish.channel and (guild, user) in self._voices:
                now = replace(wish, channel=voice.channel)
                self._voices[guild, user] = (session, now)
            elif view is not None and wish.channel not in view.guild.channels:
                self._voices.pop((guild, user), None)
                self._teller.add(await self._statuses.put_voice(guild, user, session.key, None))

    async def _again(self) -> None:
        """Redis has lost what was noted, or others took this node for dead."""
        self._due |= dict.fromkeys(self._noted, 0.0)
        self._noted.clear()
        self._noted_at.clear()
        for (guild, _), (session, wish) in list(self._voices.items()):
            view = self._view_of(guild)
            if view is not None:
                await self._speak(view, session, wish)

    async def _turn(self, now: float) -> None:
        users = [user for user, at in self._due.items() if at <= now]
        for user in users:
            del self._due[user]
        try:
            await self._learn([one for user in users for one in self._sessions_of(user)])
            await self._note(users, now)
            await self._hang_up(set(users), now)
        except BaseException:
            self._due |= dict.fromkeys(users, 0.0)
            raise

    async def _learn(self, sessions: list[Session]) -> None:
        """Get to know what sessions that go on here have said elsewhere, and keep what sessions say for elsewhere."""
        unknown = [session for session in sessions if session.status is None]
        if unknown:
            kept = await self._statuses.kept([session.key for session in unknown])
            for session, value in zip(unknown, kept, strict=True):
                session.status = unpack(value) if value is not None else ONLINE
                session.status_kept = True
        said = [one for one in sessions if not one.status_kept and one.status is not None]
        if said:
            await self._statuses.keep((one.key, one.status.pack()) for one in said if one.status is not None)
            for session in said:
                session.status_kept = True

    async def _note(self, users: list[int], now: float) -> None:
        wanted = []
        for user in users:
            noted = self._wanted(user, now)
            before = self._noted.get(user)
            if before == noted or (before is None and not noted.value):
                continue
            if (
                (wait := self._noted_at.get(user, 0.0) + _SPACING_S) > now
                and noted.value
                and before is not None
            ):
                self._due[user] = wait
                continue
            wanted.append(noted)
        if not wanted:
            return
        told = await self._statuses.put(wanted)
        for noted in wanted:
            if noted.value:
                if noted.user not in self._noted:
                    self._unseen.add(noted.user)
                self._noted[noted.user] = noted
                self._noted_at[noted.user] = now
            else:
                self._noted.pop(noted.user, None)
                self._noted_at.pop(noted.user, None)
        self._teller.add(told)

    def _wanted(self, user: int, now: float) -> Noted:
        """What is to be noted of a user now; looks again when that changes by itself."""
        here, guilds = [], set[int]()
        for session in self._sessions_of(user):
            if session.link is None and now - session.away_at >= AWAY_S:
                continue
            if session.link is None:
                self._due[user] = min(self._due.get(user) or now + AWAY_S, session.away_at + AWAY_S)
            here.append(session.status or ONLINE)
            guilds |= session.guilds
        value = merged(here)
        return Noted(user, _shared(value), _shared(tuple(sorted(guilds)) if value else ()))

    async def _hang_up(self, users: set[int], now: float) -> None:
        """Take back the voice states of sessions that have ended or left the guild."""
        for (guild, user), (session, _) in list(self._voices.items()):
            if user not in users:
                continue
            gone = session.link is None and now - session.away_at >= AWAY_S
            if gone or session not in self._sessions_of(user) or guild not in session.guilds:
                del self._voices[guild, user]
                self._teller.add(await self._statuses.put_voice(guild, user, session.key, None))
