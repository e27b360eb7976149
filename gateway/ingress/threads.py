"""What is said in a thread opens it, if it is archived, and lets those join who say it or are named in it."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Protocol

from fanfare.model import Channel, User
from fanfare.permissions import P
from fanfare.rights import RightsError
from fanfare.store import Change, NotFoundError
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from gateway.ingress.access import Place
from gateway.ingress.applied import Applied
from gateway.ingress.errors import archived, unknown_channel

__all__ = ["Stored", "Threads"]


class Stored(Protocol):
    """The database: `fanfare.store.Store`."""

    async def update_thread(self, thread_id: int, *, by: int = 0, archived: bool) -> Change[Channel]:
        """Archive or open a thread. Raises NotFoundError, RightsError."""

    async def join_thread(self, thread_id: int, user_id: int, *, by: int) -> Change[Channel]:
        """Let somebody join a thread. Raises NotFoundError, RightsError."""


class Threads:
    """What happens to threads when something is said in them."""

    def __init__(self, store: Stored, applied: Applied) -> None:
        """Args: store: the database; applied: waits for changes."""
        self._store = store
        self._applied = applied
        self._joining: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._log = logs.get("threads")

    async def open(self, place: Place, by: int) -> Place:
        """The place where something is about to be said, its thread opened.

        Args:
            place: where; it may be no thread.
            by: who says it; 0: a webhook.

        Raises:
            ApiError: 50083: it is locked.
            RightsError: there are too many open threads.

        """
        thread = place.channel.thread
        if thread is None or not thread.archived:
            return place
        if thread.locked and not place.may(P.MANAGE_THREADS):
            raise archived()
        try:
            change = await self._store.update_thread(place.channel.id, by=by, archived=False)
        except NotFoundError:
            raise unknown_channel() from None
        if change.changed:
            await self._applied.here(change)
        return replace(place, channel=change.value)

    def said(self, place: Place, author: User, named: Iterable[User]) -> None:
        """Something was said in a place: in the background, let those join its thread whom it concerns."""
        thread = place.channel.thread
        if thread is None:
            return
        joined = thread.joined
        for user in (author, *named):
            key = (place.channel.id, user.id)
            if user.id not in joined and key not in self._joining:
                task = asyncio.create_task(self._join(*key, author.id))
                self._joining[key] = task
                task.add_done_callback(partial(self._joined, key))

    async def _join(self, thread_id: int, user_id: int, by: int) -> None:
        try:
            await self._store.join_thread(thread_id, user_id, by=by)
        except (NotFoundError, RightsError, StoreUnavailableError) as error:
            self._log.debug("a thread was not joined", action=Action.REQUEST, why=repr(error))

    def _joined(self, key: tuple[int, int], _: asyncio.Task[None]) -> None:
        self._joining.pop(key, None)

    async def close(self) -> None:
        """Stop."""
        for task in list(self._joining.values()):
            task.cancel()
