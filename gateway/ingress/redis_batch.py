"""Redis commands of many requests in few round trips: what comes during one pipeline shares the next."""

import asyncio
from collections.abc import Callable
from typing import Any

from fanfare.presence.client import TRIP, TRIP_S, Pipeline, Redis
from fanfare.presence.errors import NoScriptError, RedisError
from fanfare.presence.scripts import Script
from fanfare.tasks import Gathered

__all__ = ["RedisBatch"]

Queue = Callable[[Pipeline], None]


class RedisBatch:
    """Runs commands, in the order in which they were asked for."""

    def __init__(self, redis: Redis, scripts: list[Script]) -> None:
        """Args: scripts: those that the commands use; loaded where the server does not know them."""
        self._redis = redis
        self._scripts = scripts
        self._trips: Gathered[Queue, list[Any]] = Gathered(self._ask, TRIP)

    async def run(self, queue: Queue) -> list[Any]:
        """Put commands into the next pipeline and wait for their answers.

        Cancelling is safe, but the commands may be carried out all the same.

        Args:
            queue: puts at least one command into the pipeline it is given.

        Raises:
            RedisError: a command failed, or Redis is away: then the commands may have been carried out or not.

        """
        return await self._trips.of(queue)

    async def close(self) -> None:
        """Stop; calls that still wait are cancelled."""
        await self._trips.close()

    async def _ask(self, queues: list[Queue]) -> list[Any]:
        try:
            async with asyncio.timeout(TRIP_S):
                return await self._trip(queues)
        except OSError as error:  # TimeoutError is one
            raise RedisError(repr(error)) from error

    async def _trip(self, queues: list[Queue], *, again: bool = True) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            ends = []
            for queue in queues:
                queue(pipe)
                ends.append(len(pipe))
            found = await pipe.execute(raise_on_error=False) if ends and ends[-1] else []
        parts = [found[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        failed = [next((one for one in part if isinstance(one, Exception)), None) for part in parts]
        lacking = [place for place, error in enumerate(failed) if isinstance(error, NoScriptError)]
        answers: list[Any] = [
            part if error is None else error for part, error in zip(parts, failed, strict=True)
        ]
        if lacking and again:
            for script in self._scripts:
                await script.load(self._redis)
            # Commands beside the script are repeated too: all of ours can be.
            repeated = await self._trip([queues[place] for place in lacking], again=False)
            for place, answer in zip(lacking, repeated, strict=True):
                answers[place] = answer
        return answers
