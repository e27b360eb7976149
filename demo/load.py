"""`fanfare demo load`: people who talk on the system that runs here, so that there is something to see."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from demo.crowd import Crowd, make_guild
from fanfare.settings import Settings
from torture.client import Rest, RestError
from torture.history import History, Outcome

__all__ = ["LoadChoice", "Loaded", "load"]

_SESSIONS: Final = 8
_ANSWERS_S: Final = 15.0
_SETTLED_S: Final = 60.0
_LOOK_S: Final = 0.2


@dataclass(frozen=True)
class LoadChoice:
    """What was asked for."""

    rate: float
    """Messages a second."""
    seconds: float


@dataclass(frozen=True)
class Loaded:
    """What came of it."""

    accepted: int
    """Messages."""
    not_accepted: int
    missing: int
    """Deliveries that sessions are still owed."""
    doubled: int

    @property
    def broken(self) -> bool:
        """Whether a promise was."""
        return bool(self.missing or self.doubled)


async def load(
    run: dict[str, Any], settings: Settings, choice: LoadChoice, say: Callable[[str], None]
) -> Loaded:
    """Talk in a guild made for it, which is deleted in the end.

    Args:
        run: `run.json` of the system.
        settings: with the addresses of its stores.
        choice: how much.
        say: told how it goes.

    """
    history = History()
    world, _ = await make_guild(settings, _SESSIONS, settings.chat_partitions, "Demo load")
    crowd = Crowd(run, world, history, sessions=_SESSIONS, rate=choice.rate)
    try:
        await crowd.connect()
        say(f"{_SESSIONS} sessions, {choice.rate:g} messages a second for {choice.seconds:g} s")
        crowd.talk()
        await asyncio.sleep(choice.seconds)
        await crowd.enough(_ANSWERS_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_S):
                while loaded(history).missing:
                    crowd.check()
                    await asyncio.sleep(_LOOK_S)
    finally:
        await crowd.stop()
        await _delete_guild(run, world.people[0].token)
    return loaded(history)


def loaded(history: History) -> Loaded:
    """What a history says. Pure."""
    outcomes = [[one.outcome for one in tries] for tries in history.attempts.values()]
    accepted = {
        one.id for tries in history.attempts.values() for one in tries if one.outcome is Outcome.ACCEPTED
    }
    seen = [log.ids for log in history.sessions.values()]
    return Loaded(
        accepted=len(accepted),
        not_accepted=sum(Outcome.ACCEPTED not in each for each in outcomes),
        missing=sum(len(accepted.difference(ids)) for ids in seen),
        doubled=sum(len(ids) - len(set(ids)) for ids in seen),
    )


async def _delete_guild(run: dict[str, Any], owner: str) -> None:
    async with Rest(run["api"], owner) as rest:
        with contextlib.suppress(RestError, OSError):
            for guild in await rest.request("GET", "/users/@me/guilds"):
                await rest.request("DELETE", f"/guilds/{guild['id']}")
