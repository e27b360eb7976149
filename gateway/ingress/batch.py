"""Redis commands of many requests in few round trips: what comes during one pipeline shares the next."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

from fanfare.presence.scripts import Script

__all__ = ["RedisBatch"]

_BATCH: Final = 256
# One round trip; after that Redis counts as away.
_TRIP_S: Final = 1.0

Queue = Callable[[Pipeline], None]


class RedisBatch:
    """Runs commands, in the order in which they were asked for."""

    def __init__(self, redis: Redis, scripts: list[Script]) -> None:
        """Args: scripts: those that the commands use; loaded where the server does not know them."""
        self._redis = redis
        self._scripts = scripts
        self._waiting: list[tuple[Queue, asyncio.Future[list[Any]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, queue: Queue) -> list[Any]:
        """Put commands into the next pipeline and wait for their answers.

        Cancelling is safe, but the commands may be carried out all the same.

        Args:
            queue: puts at least one command into the pipeline it is given.

        Raises:
            RedisError: a command failed, or Redis is away: then it may have been carried out or not.

        """
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((queue, done))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="redis batch")
        return await done

    async def close(self) -> None:
        """Stop; who still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        for _, done in self._waiting:
            done.cancel()

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                batch = [one for one in batch if not one[1].done()]
                try:
                    async with asyncio.timeout(_TRIP_S):
                        answers = await self._trip([queue for queue, _ in batch])
                except (RedisError, OSError) as error:  # TimeoutError is an OSError
                    away = error if isinstance(error, RedisError) else RedisError(repr(error))
                    answers = [away] * len(batch)
                except BaseException:
                    for _, done in batch:
                        done.cancel()
                    raise
                for (_, done), answer in zip(batch, answers, strict=True):
                    if done.done():
                        continue
                    if isinstance(answer, Exception):
                        done.set_exception(answer)
                    else:
                        done.set_result(answer)
        finally:
            self._task = None

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
