"""Whether another node's inbox still receives what is for the sessions that come from it.

A node looks for holes in its own registrations all the time, and takes its inbox away where it finds one. Whoever comes
before that, or after the node has died, has to look by himself.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from fanfare.presence import inboxes, keys
from fanfare.presence.client import TRIP, TRIP_S, Redis
from fanfare.tasks import Gathered

__all__ = ["Asked", "Missing", "Registered"]


class Asked(NamedTuple):
    """A session, where it comes from, and its guilds."""

    inbox: str
    user: int
    session: str
    guilds: frozenset[int]


class Missing(NamedTuple):
    """Which of its registrations for that inbox are not there."""

    session: bool
    guilds: frozenset[int]


class Registered:
    """Asks Redis; the questions of sessions that come at one time share round trips, and guilds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._questions: Gathered[Asked, Missing] = Gathered(self._ask, TRIP)

    async def missing(self, asked: Asked) -> Missing:
        """What is not there now. Raises: RedisError, TimeoutError: Redis is away."""
        return await self._questions.of(asked)

    async def _ask(self, questions: Sequence[Asked]) -> list[Missing]:
        guilds: dict[str, set[int]] = {}
        for one in questions:
            guilds.setdefault(one.inbox, set()).update(one.guilds)
        wanted = [(inbox, guild) for inbox, each in guilds.items() for guild in each]
        names = [(keys.guild_nodes(guild), inbox) for inbox, guild in wanted]
        names += [(keys.user_sessions(one.user), f"{one.session}@{one.inbox}") for one in questions]
        async with asyncio.timeout(TRIP_S):
            places = set(await inboxes.missing(self._redis, names))
        gone: dict[str, set[int]] = {}
        for place in places:
            if place < len(wanted):
                inbox, guild = wanted[place]
                gone.setdefault(inbox, set()).add(guild)
        return [
            Missing(len(wanted) + at in places, one.guilds & gone.get(one.inbox, set()))
            for at, one in enumerate(questions)
        ]
