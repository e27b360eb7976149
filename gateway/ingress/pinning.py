"""Pinned messages: a pin is a change of the message, and an event of its own for those who list pins."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from fanfare.model import User
from fanfare.payloads import Json, timestamp
from fanfare.permissions import P
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.errors import ApiError, forbidden
from gateway.ingress.history import History
from gateway.ingress.message_payloads import PINNED_AT, pinned, where
from gateway.ingress.records import PREPARE_S, answer_by, message_record, record_of
from gateway.ingress.sends import Sends

__all__ = ["MAX_PINS", "Pinning"]

MAX_PINS: Final = 250
"""Of a channel."""

_encode = msgspec.json.Encoder().encode


class Pinning:
    """Pins of channels."""

    def __init__(self, access: Access, history: History, sends: Sends) -> None:
        """Args: access: who may do what where; history: messages; sends: what is on its way."""
        self._access = access
        self._history = history
        self._sends = sends

    async def pins(self, user: User, channel_id: int) -> list[Json]:
        """The pinned messages, the last one pinned first; none for who may not read the history. Raises: ApiError."""
        async with refusing(PREPARE_S):
            place = await self._access.place(user, channel_id)
            place.require_messages()
            if not place.may(P.READ_MESSAGE_HISTORY):
                return []
            return await self._all(channel_id)

    async def set(self, user: User, channel_id: int, message_id: int, *, pin: bool) -> None:
        """Pin a message, or take its pin away; nothing happens if it is so already.

        Raises:
            ApiError: 50013, 10008; 30003: there are too many.
            RefusedError, UnknownOutcomeError: as for a message.

        """
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place = await self._access.place(user, channel_id)
            _check(place)
            message = msgspec.json.decode(await self._history.stored(channel_id, message_id))
            if message["pinned"] == pin:
                return
            others = [one for one in await self._all(channel_id) if one["id"] != message["id"]]
            if pin and len(others) >= MAX_PINS:
                raise ApiError(400, 30003, f"Maximum number of pins reached for the channel ({MAX_PINS})")
        now = datetime.now(UTC)
        built = pinned(message, now if pin else None)
        record = message_record(place, "MESSAGE_UPDATE", self._sends.next_id(), user.id, built)
        await self._sends.change(record, [message_id], built.body, deadline)
        last = timestamp(now) if pin else others[0][PINNED_AT] if others else None
        told = where(place.channel) | {"last_pin_timestamp": last}
        record = record_of(place, "CHANNEL_PINS_UPDATE", self._sends.next_id(), user.id, _encode(told))
        await self._sends.produce(record, None, deadline)

    async def _all(self, channel_id: int) -> list[Json]:
        found: list[Json] = [msgspec.json.decode(body) for body in await self._history.pins(channel_id)]
        return sorted(found, key=lambda one: one[PINNED_AT], reverse=True)


def _check(place: Place) -> None:
    place.require_open()
    place.require(P.READ_MESSAGE_HISTORY)
    # Guilds that are older than PIN_MESSAGES have given MANAGE_MESSAGES for it.
    if place.guild is not None and not (place.may(P.PIN_MESSAGES) or place.may(P.MANAGE_MESSAGES)):
        raise forbidden()
