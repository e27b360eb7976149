"""Slow mode: in a channel that has it, a user waits between two messages, over all nodes and both ways in.

The wait is a key in Redis that lapses by itself. It begins when a message is handed over; a refused message gives its
turn back. A message that is repeated with its nonce needs no second turn, whichever message has the turn by now.
"""

import secrets
from typing import Final, NamedTuple

from fanfare.permissions import P
from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.errors import RedisError
from fanfare.presence.scripts import SWAP
from gateway.ingress.access import Place
from gateway.ingress.errors import RateLimitedError
from gateway.ingress.nonces import Claim
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["Repetition", "SlowMode", "Turn"]

_EXEMPT: Final = (P.MANAGE_MESSAGES, P.MANAGE_CHANNELS, P.BYPASS_SLOWMODE)
_CODE: Final = 20016
_SAID: Final = "This action cannot be performed due to slowmode rate limit."


class Turn(NamedTuple):
    """The turn that a send has taken."""

    key: str
    value: str


class Repetition(NamedTuple):
    """The user has to wait, and repeats a message that was under way or accepted before: this one may go on."""

    id: int
    error: RateLimitedError

    def check(self, ident: int) -> None:
        """Raises: RateLimitedError: this is another message, because the one before was refused meanwhile."""
        if ident != self.id:
            raise self.error


class SlowMode:
    """The waits of all users."""

    def __init__(self, batch: RedisBatch) -> None:
        self._batch = batch

    async def take(self, place: Place, user: int, nonce: str) -> Turn | Repetition | None:
        """Take a user's turn in a channel; None where nobody has to wait, or where this send has its turn already.

        Args:
            place: the channel, as the user meets it.
            user: who sends.
            nonce: the nonce that makes a repetition the same message; empty: none does.

        Raises:
            RateLimitedError: 429, 20016: the user has to wait.
            RedisError: Redis is away.

        """
        seconds = place.channel.rate_limit_per_user
        if not seconds or place.guild is None or any(place.may(one) for one in _EXEMPT):
            return None
        turn = Turn(keys.slow(user, place.channel.id), nonce or secrets.token_hex(8))

        def queue(pipe: Pipeline) -> None:
            _ = pipe.set(turn.key, turn.value, nx=True, get=True, px=seconds * 1000)
            _ = pipe.pttl(turn.key)
            if nonce:
                _ = pipe.get(keys.nonce(user, place.channel.id, nonce))

        there, left_ms, *claimed = await self._batch.run(queue)
        if there is not None and there.decode() != turn.value:
            # A key that was just about to lapse has none or next to nothing left.
            wait_s = min(max(left_ms, 1) / 1000, seconds)
            bucket = f"slowmode-{place.channel.id}"
            error = RateLimitedError(wait_s, 1, bucket, code=_CODE, message=_SAID)
            if claimed and claimed[0] is not None:
                return Repetition(Claim.parse(claimed[0]).id, error)
            raise error
        return turn if there is None else None

    async def give_back(self, turn: Turn | Repetition | None) -> None:
        """The send that took the turn was refused. If Redis is away, the user has to wait all the same."""
        if not isinstance(turn, Turn):
            return
        try:
            await self._batch.run(lambda pipe: SWAP.queue(pipe, [turn.key], [turn.value, ""]))
        except (RedisError, TimeoutError):
            return
