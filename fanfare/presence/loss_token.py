"""How it is noticed that Redis may have lost writes (docs/design.md, section 5): its loss token is another one."""

import time

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError

from fanfare.constants import TOKEN_S
from fanfare.presence.multiplexed import MultiplexedRedis
from fanfare.tasks import Shared

__all__ = ["LossToken", "loss_token"]


async def loss_token(redis: Redis) -> str:
    """Changes whenever the Redis server may have lost writes: a restart, or another primary.

    Raises:
        ReadOnlyError: the server is a replica, as a primary may go on after a fail-over; its client leaves it.
        RedisError: Redis is away.

    """
    facts = await redis.info("server", "replication")
    if facts.get("role") == "slave":
        if isinstance(redis, MultiplexedRedis):
            redis.drop()
        raise ReadOnlyError("this server is a replica")
    return f"{facts['run_id']}.{facts.get('master_replid', '')}"


class LossToken:
    """The loss token of a client's present connections, asked for again every `TOKEN_S`."""

    def __init__(self) -> None:
        self._questions: Shared[Redis, str] = Shared(loss_token)
        self._token = ""
        self._asked = 0.0
        self._connections = 0

    def connected(self) -> None:
        """The client made a connection: Redis may be another one, or have lost writes."""
        self._connections += 1
        self._token = ""

    async def of(self, redis: Redis) -> str:
        """The token.

        If two calls answer the same, everything that was read between them is from a Redis that lost nothing meanwhile.

        Args:
            redis: the client, which calls `connected`.

        Raises:
            RedisError: Redis is away.

        """
        while not self._token or time.monotonic() - self._asked > TOKEN_S:
            connections, asked = self._connections, time.monotonic()
            token = await self._questions.of(redis)
            if connections == self._connections:
                self._token, self._asked = token, asked
                return token
        return self._token
