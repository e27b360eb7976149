"""Which errors mean that something we need is away, so that waiting helps; and how long to wait."""

import asyncio
import random
from typing import Final

import asyncpg
import redis.exceptions
from aiokafka.errors import KafkaError

__all__ = ["Backoff", "is_outage"]

_AWAY: Final = (
    OSError,  # ConnectionError and TimeoutError are kinds of it
    redis.exceptions.ConnectionError,  # also BusyLoadingError and authentication
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,  # a primary that is one no more
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # the connection or the pool was closed
    asyncpg.OperatorInterventionError,  # it starts, or is shut down
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.ReadOnlySQLTransactionError,
)
_REDIS_WORDS: Final = ("LOADING", "MISCONF", "NOREPLICAS", "MASTERDOWN", "UNKILLABLE", "BUSY ")


def is_outage(error: BaseException) -> bool:
    """Whether the error says that Kafka, Redis or PostgreSQL is away for now."""
    if getattr(error, "retry_after_s", None) is not None:  # RefusedError of our producer
        return True
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    if isinstance(error, redis.exceptions.ResponseError) and str(error).startswith(_REDIS_WORDS):
        return True
    return isinstance(error, _AWAY)


class Backoff:
    """Waiting times that grow from 20 ms to 0.5 s, with jitter: nobody waits long for what is back."""

    __slots__ = ("_next_s", "tries")

    def __init__(self) -> None:
        self._next_s = 0.02
        self.tries = 0

    def first(self) -> bool:
        """Whether nothing was waited for yet."""
        return self.tries == 0

    async def wait(self) -> None:
        """Wait; the next time, longer."""
        self.tries += 1
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, 0.5)
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
