"""Deleting what somebody has written lately, in all channels of a guild: a ban may ask for it."""

import asyncio
from typing import Final

from fanfare.ids import first_snowflake
from fanfare.model import Channel, Guild
from gateway.ingress import recent
from gateway.ingress.access import Place
from gateway.ingress.interfaces import Stored
from gateway.ingress.message_payloads import deletion
from gateway.ingress.records import answer_by, record_of
from gateway.ingress.redis_batch import RedisBatch
from gateway.ingress.sends import Sends

__all__ = ["Purge"]

# As many in one event as clients may delete at once.
_BULK: Final = 100
_MOST: Final = 10_000
# Caches that are looked through at the same time.
_AT_ONCE: Final = 20


class Purge:
    """Finds and deletes messages."""

    def __init__(self, store: Stored, batch: RedisBatch, sends: Sends) -> None:
        self._store = store
        self._batch = batch
        self._sends = sends

    async def of_author(self, guild: Guild, author: int, since_ms: int, by: int) -> int:
        """Delete what somebody wrote in a guild since then, archived or not; returns how many.

        Raises:
            RefusedError, UnknownOutcomeError: not all of it is deleted.
            RedisError, StoreUnavailableError: nothing is.

        """
        first = max(first_snowflake(since_ms), 0)
        # The caches first: what leaves one meanwhile is archived.
        found: dict[int, set[int]] = {}
        places = {one.id: one for one in await self._store.long_archived(guild.id, _MOST)} | guild.channels
        channels = list(places)
        for at in range(0, len(channels), _AT_ONCE):
            some = channels[at : at + _AT_ONCE]
            for channel, cached in zip(some, await self._cached(some, author, first), strict=True):
                found.setdefault(channel, set()).update(cached)
        for channel, ident in await self._store.written_by(channels, author, first, _MOST):
            found.setdefault(channel, set()).add(ident)
        count = 0
        for channel, ids in found.items():
            ordered = sorted(ids)
            for at in range(0, len(ordered), _BULK):
                await self._delete(guild, places[channel], ordered[at : at + _BULK], by)
            count += len(ids)
        return count

    async def _cached(self, channels: list[int], author: int, first: int) -> list[list[int]]:
        mark = b'"author":{"id":"%d"' % author

        async def of(channel: int) -> list[int]:
            cached = await recent.all_of(self._batch, channel)
            return [ident for ident, body in cached.items() if ident >= first and _writes(body, mark)]

        return await asyncio.gather(*map(of, channels))

    async def _delete(self, guild: Guild, channel: Channel, ids: list[int], by: int) -> None:
        place = Place(channel, guild, None, 0)
        payload = deletion(ids, channel)
        record = record_of(place, "MESSAGE_DELETE_BULK", self._sends.next_id(), by, payload)
        await self._sends.change(record, ids, b"", answer_by())


def _writes(body: bytes, mark: bytes) -> bool:
    """Whether a message is somebody's: a reply holds the message before it, in front of its own author."""
    return body.rfind(b'"author":{"id":') == body.rfind(mark) != -1
