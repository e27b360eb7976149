"""Keeps the moves of a node's sessions in Redis: what is gone, or was put back to an older version, is written again.

Where a session has moved to stands nowhere but there and in the memory of the node that it moved to. Without it a
resume on a third node would look for what was missed in the inbox that the session has left.
"""

import asyncio
from typing import Final

from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.delivery.hub import Hub
from gateway.recovery import path_store
from gateway.recovery.path import Moved

__all__ = ["keep_moves"]

_LOOK_S: Final = 0.5
# As many as registrations that are looked for: of 20,000 sessions in 10 s.
_SLICE: Final = 1000


async def keep_moves(redis: Redis, hub: Hub) -> None:
    """Look for the moves of the node's sessions, some of them at a time; a supervised task."""
    log = logs.get("moves")
    left: list[str] = []
    away = False
    while True:
        await asyncio.sleep(_LOOK_S)
        if not left:
            left = [key for key, session in hub.sessions.items() if session.version]
        asked, left = left[-_SLICE:], left[:-_SLICE]
        try:
            written = await _look(redis, hub, asked)
        except (RedisError, OSError) as error:
            if not away:
                log.warning("moves are not looked for", action=Action.REDIS_AWAY, error=repr(error))
            away = True
            continue
        away = False
        if written:
            log.info("moves are written again", action=Action.RESUME, sessions=written)


async def _look(redis: Redis, hub: Hub, asked: list[str]) -> int:
    """Write again what is not kept of some sessions; how many."""
    here = [hub.sessions[key] for key in asked if key in hub.sessions]
    places = await path_store.unkept(redis, [(session.key, session.version) for session in here])
    # As they are now: meanwhile a session may have moved once more, here or away.
    lost = [here[place] for place in places if hub.sessions.get(here[place].key) is here[place]]
    if not lost:
        return 0
    moves = [(one.key, one.version, Moved(one.version, one.hops)) for one in lost]
    return sum(await path_store.rewrite(redis, moves))
