"""Which tokens count on this node: the signature says whose a token is, the generation whether it was revoked.

All revocations are in memory (some 100 bytes for each user who ever had one), so asking costs nothing, and works while
PostgreSQL is away. `fanfare.store.revocations` keeps them current.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from fanfare.store import Store, StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.tokens import BadTokenError, Holder, Tokens

__all__ = ["Accounts"]

# At the start of a node it takes some milliseconds until they are read.
_WAIT_S: Final = 2.0


class Accounts:
    """Admits users with a valid token that was not revoked."""

    def __init__(self, secret: str, store: Store, *, revoked: Callable[[int, int], None]) -> None:
        """Know nobody yet.

        Args:
            secret: what FANFARE_SECRET holds.
            store: says who a user is.
            revoked: ends the sessions of a user that are older than a generation.

        """
        self._tokens = Tokens(secret)
        self._store = store
        self._generations: dict[int, int] = {}
        self._known = asyncio.Event()
        self._revoked = revoked

    def caught_up(self) -> None:
        """All earlier revocations are known: from now on tokens can be judged."""
        self._known.set()

    def learn(self, user: int, generation: int) -> None:
        """Only this generation of the user's tokens counts, unless a newer one is known already."""
        if generation > self._generations.get(user, 0):
            self._generations[user] = generation
            if self._known.is_set():
                logs.get("accounts").info("tokens revoked", action=Action.TOKENS, user=user)
            self._revoked(user, generation)

    def stands(self, holder: Holder) -> bool:
        """Whether a token that was admitted still counts."""
        return self._generations.get(holder.user, 0) == holder.generation

    async def admit(self, token: str) -> Holder:
        """The user of a token.

        Raises:
            BadTokenError: it is none of ours, or was revoked.
            StoreUnavailableError: it cannot be told now.

        """
        holder = self._tokens.verify(token)
        if not self._known.is_set():
            try:
                await asyncio.wait_for(self._known.wait(), _WAIT_S)
            except TimeoutError:
                raise StoreUnavailableError("the revoked tokens could not be read yet") from None
        if holder.generation > self._generations.get(holder.user, 0):
            # The token was issued after a revocation that we are about to hear of, or before an old copy of the
            # database that lacks the revocation was put back.
            self.learn(holder.user, await self._store.token_generation(holder.user))
        if not self.stands(holder):
            raise BadTokenError("the token was revoked")
        return holder
