"""The claims on nonces in Redis: which message stands for a nonce, so that any gateway can answer a retry.

A nonce is claimed before its message is handed to Kafka, and settled when Kafka has it (docs/design.md,
section 5). The values:

    <id> <channel> ?<node>:<try>    under way at that node
    <id> <channel> =<offset>        accepted
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Self

from fanfare.constants import NONCE_WINDOW_S
from fanfare.presence import keys
from fanfare.presence.client import Pipeline, Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.loss_token import LossToken
from fanfare.presence.scripts import SWAP, Script
from fanfare.time_limit import TimeLimit
from gateway.ingress.errors import RefusedError
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["SETTLE", "Claim", "Nonces"]

SETTLE: Final = Script("nonce_settle")

_TTL_MS: Final = int(NONCE_WINDOW_S * 1000)
_CLAIM: Final = TimeLimit(1.0)


class Claim(NamedTuple):
    """What a nonce stands for."""

    id: int
    channel: int
    node: str = ""
    """Where it is under way; empty once it is accepted."""
    number: int = 0
    """Under way: which try. Accepted: the Kafka offset."""

    @property
    def accepted(self) -> bool:
        """Kafka has the message."""
        return not self.node

    @property
    def words(self) -> str:
        """The claim in Redis's words."""
        state = f"={self.number}" if self.accepted else f"?{self.node}:{self.number}"
        return f"{self.id} {self.channel} {state}"

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """The claim in these words."""
        ident, channel, state = value.decode().split(" ", 2)
        if state.startswith("="):
            return cls(int(ident), int(channel), "", int(state[1:]))
        node, _, number = state[1:].rpartition(":")
        return cls(int(ident), int(channel), node, int(number))


class Nonces:
    """The nonces of all users. Every call takes a second at the most."""

    def __init__(
        self,
        redis: Redis,
        batch: RedisBatch,
        loss: LossToken,
        node: str,
        rebuild: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            redis: Redis.
            batch: of that client.
            loss: of that client.
            node: this process's, whose lease says that it lives.
            rebuild: brings the nonces back when Redis has lost them.

        """
        self._redis = redis
        self._batch = batch
        self._loss = loss
        self._node = node
        self._rebuild = rebuild
        self._tries = itertools.count(1)

    def mine(self, ident: int, channel: int) -> Claim:
        """A new try of this node."""
        return Claim(ident, channel, self._node, next(self._tries))

    async def claim(self, user: int, nonce: str, wanted: Claim, deadline: float) -> Claim:
        """Claim a nonce; the answer is `wanted` if it was free, else what it stands for.

        Args:
            user: whose it is.
            nonce: which one.
            wanted: the try.
            deadline: when to give up at the latest, in the loop's time.

        Raises:
            RefusedError: Redis is away, or has lost the nonces. The claim may stand: `free` it.

        """
        key = keys.nonce(user, wanted.channel, nonce)
        try:
            async with _CLAIM.each():
                complete, there = await self._claim(key, wanted)
        except (RedisError, TimeoutError) as error:
            raise RefusedError("Redis is away") from error
        if not complete:
            said = "sends with a nonce wait until the nonces are read from the log again"
            try:
                async with asyncio.timeout_at(deadline):
                    await self._rebuild()
                    complete, there = await self._claim(key, wanted)
            except Exception as error:
                raise RefusedError(said) from error
            if not complete:
                raise RefusedError(said)
        return wanted if there is None else Claim.parse(there)

    async def _claim(self, key: str, wanted: Claim) -> tuple[bool, bytes | None]:
        """Whether no nonce was missing in Redis, and what stood there; where nothing did, `wanted` does now.

        A claim put where one was missing stays: the rebuild puts what the log says in its place.
        """

        def queue(pipe: Pipeline) -> None:
            _ = pipe.get(keys.nonces_ready())
            _ = pipe.set(key, wanted.words, nx=True, get=True, px=_TTL_MS)

        token = await self._loss.of(self._redis)
        ready, there = await self._batch.run(queue)
        complete = ready == token.encode() and await self._loss.of(self._redis) == token
        return complete, there

    async def look(self, user: int, channel: int, nonce: str, node: str) -> tuple[Claim | None, bool]:
        """What a nonce stands for now, and whether a node is alive.

        Raises:
            RedisError: Redis is away.

        """

        def queue(pipe: Pipeline) -> None:
            _ = pipe.get(keys.nonce(user, channel, nonce))
            _ = pipe.exists(keys.lease(node))

        there, alive = await self._batch.run(queue)
        return (None if there is None else Claim.parse(there)), bool(alive)

    async def take_over(self, user: int, nonce: str, dead: Claim) -> Claim | None:
        """Go on with the try of a dead node under the same id; None if somebody else was faster.

        Raises:
            RedisError: Redis is away.

        """
        mine = self.mine(dead.id, dead.channel)

        def queue(pipe: Pipeline) -> None:
            SWAP.queue(pipe, [keys.nonce(user, dead.channel, nonce)], [dead.words, mine.words])

        return mine if (await self._batch.run(queue))[0] else None

    async def free(self, user: int, nonce: str, mine: Claim) -> None:
        """Give a nonce up, because its message was never handed over.

        Raises:
            RedisError: Redis is away.

        """
        await self._batch.run(lambda pipe: self.release(pipe, user, nonce, mine))

    @staticmethod
    def release(pipe: Pipeline, user: int, nonce: str, mine: Claim) -> None:
        """Queue giving a nonce up."""
        SWAP.queue(pipe, [keys.nonce(user, mine.channel, nonce)], [mine.words, ""])

    @staticmethod
    def settle(pipe: Pipeline, user: int, nonce: str, accepted: Claim, left_ms: int = _TTL_MS) -> None:
        """Queue noting that Kafka has the message. The answer is the claim that stands earlier in the log."""
        SETTLE.queue(pipe, [keys.nonce(user, accepted.channel, nonce)], [accepted.words, left_ms])
