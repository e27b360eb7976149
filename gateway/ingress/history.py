"""Messages as they are now: what the archiver has stored, overlaid with the recent-messages cache.

The cache is read before the database: a message leaves it only after the database has it, so none is missed.
It wins over the database and holds deletions too. It cannot prove that it holds every message of a page, so a
page needs the database; a single message that is cached does not.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from fanfare.clock import now_s
from fanfare.ids import snowflake_ms
from fanfare.presence.errors import RedisError
from fanfare.store.errors import StoreUnavailableError
from gateway.ingress import recent
from gateway.ingress.errors import RefusedError, unknown_message
from gateway.ingress.interfaces import Messages
from gateway.ingress.message_payloads import without_reference
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["History", "merge"]

_EXISTS_S: Final = 1.0
# How long it may take that a message which clients have is found, and when it is looked for again.
_NEW_MS: Final = 2000
_SOON_S: Final = (0.01, 0.03, 0.1, 0.3, 0.5)
_MAX_ID: Final = 1 << 63
_PINS: Final = 1000
_PINNED: Final = b'"pinned":true'
_MARK: Final = b'"referenced_message":'

_encode = msgspec.json.Encoder().encode


class History:
    """Reads messages."""

    def __init__(self, store: Messages, batch: RedisBatch) -> None:
        """Args: store: the database; batch: Redis."""
        self._store = store
        self._batch = batch

    async def message(self, channel: int, message: int) -> bytes:
        """One message.

        Raises:
            ApiError: 10008, there is none.
            RefusedError: Redis is away.
            StoreUnavailableError: the database is away, and the message is not cached.

        """
        return (await self._current(channel, [await self.stored(channel, message)]))[0]

    async def stored(self, channel: int, message: int) -> bytes:
        """One message, with what it replies to as that was when it was sent. Raises as `message`."""
        body = await self._find(channel, message)
        # A client may have got it, and answer, before the node that accepted it has noted it in Redis.
        for pause_s in _SOON_S if body is None and _is_new(message) else ():
            await asyncio.sleep(pause_s)
            if (body := await self._find(channel, message)) is not None:
                break
        if not body:
            raise unknown_message()
        return body

    async def messages(
        self,
        channel: int,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int,
    ) -> list[bytes]:
        """A page, newest first whatever was asked for.

        Args:
            channel: of which channel.
            before: the newest ones below this id.
            after: the oldest ones above this id.
            around: this id, and about limit/2 on each side of it.
            limit: not more than this many.

        Raises:
            RefusedError: Redis is away.
            StoreUnavailableError: the database is away.

        """
        try:
            cached = await recent.all_of(self._batch, channel)
        except RedisError as error:
            raise RefusedError("Redis is away") from error
        if around is not None:
            upper = await self._page(channel, cached, after=around - 1, limit=limit // 2 + 1)
            lower = await self._page(channel, cached, before=around, limit=limit - limit // 2)
            # The anchor is the last of the upper half.
            page = (upper + lower)[:limit] if limit > 1 else upper[-1:] or lower[:1]
        else:
            page = await self._page(channel, cached, before=before, after=after, limit=limit)
        return await self._current(channel, page, cached)

    async def _page(
        self,
        channel: int,
        cached: Mapping[int, bytes],
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> list[bytes]:
        known = {
            key: body
            for key, body in cached.items()
            if key > (after or 0) and (before is None or key < before)
        }
        # A deletion that the database does not know yet hides one of its rows: ask for as many more.
        hidden = sum(not body for body in known.values())
        stored = await self._store.messages(channel, before=before, after=after, limit=limit + hidden)
        return merge(dict(stored), known, limit, oldest=after is not None)

    async def pins(self, channel: int) -> list[bytes]:
        """The pinned messages of a channel, in no order. Raises as `messages`."""
        try:
            cached = await recent.all_of(self._batch, channel)
        except RedisError as error:
            raise RefusedError("Redis is away") from error
        known = {**dict(await self._store.maybe_pinned(channel, _PINS)), **cached}
        found = [body for body in known.values() if _PINNED in body]
        return await self._current(
            channel, [body for body in found if msgspec.json.decode(body)["pinned"]], cached
        )

    async def exists(self, channel: int, message: int) -> bool:
        """Whether there is or was such a message; False where nothing is known."""
        try:
            async with asyncio.timeout(_EXISTS_S):
                cached = await recent.one_of(self._batch, channel, message)
                return cached is not None or await self._store.message(channel, message) is not None
        except (RedisError, StoreUnavailableError, TimeoutError):
            return False

    async def _find(self, channel: int, message: int) -> bytes | None:
        """One message; empty: it was deleted; None: nothing is known of it."""
        try:
            body = await recent.one_of(self._batch, channel, message)
        except RedisError as error:
            raise RefusedError("Redis is away") from error
        return await self._store.message(channel, message) if body is None else body

    async def _current(
        self, channel: int, page: list[bytes], cached: Mapping[int, bytes] | None = None
    ) -> list[bytes]:
        """The page, with what its replies refer to as that is now, null where it was deleted."""
        replies = {place: body for place, body in enumerate(page) if _MARK in body}
        if not replies:
            return page
        messages = {place: msgspec.json.decode(body) for place, body in replies.items()}
        targets = {
            place: int(message["message_reference"]["message_id"])
            for place, message in messages.items()
            if "referenced_message" in message
        }
        shown: dict[int, bytes | None] = dict(cached or {})
        missing = set(targets.values()) - shown.keys()
        shown.update(
            zip(missing, await asyncio.gather(*(self._find(channel, one) for one in missing)), strict=True)
        )
        page = list(page)
        for place, target in targets.items():
            found = shown[target]
            messages[place]["referenced_message"] = (
                without_reference(msgspec.json.decode(found)) if found else None
            )
            page[place] = _encode(messages[place])
        return page


def _is_new(message: int) -> bool:
    return abs(now_s() * 1000 - snowflake_ms(message)) < _NEW_MS


def merge(
    stored: Mapping[int, bytes], cached: Mapping[int, bytes], limit: int, *, oldest: bool
) -> list[bytes]:
    """A page out of both, newest first.

    Args:
        stored: rows of the database in the range asked for, from the anchor on and without gaps: all, or as
            many as `limit` and the number of deletions in `cached`.
        cached: all that is cached in that range; empty: deleted.
        limit: not more than this many.
        oldest: which end of the range counts.

    """
    live = {key: body for key, body in {**stored, **cached}.items() if body}
    chosen = sorted(live, reverse=not oldest)[:limit]
    return [live[key] for key in sorted(chosen, reverse=True)]
