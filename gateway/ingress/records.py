"""The records of what clients do, and until when each has to be answered."""

import asyncio
from functools import cache
from typing import Final

from prometheus_client import Counter

from fanfare.clock import now_s
from fanfare.constants import ANSWER_TIMEOUT_S
from fanfare.record import CHANNEL, USERS, Record
from fanfare.telemetry.metrics import REGISTRY
from gateway.ingress.access import Place
from gateway.ingress.message_payloads import Built

__all__ = ["ENCODINGS", "PREPARE_S", "answer_by", "message_record", "record_of"]

PREPARE_S: Final = 2.5
"""Permissions, mentions and the like have to be known by then, or the request is refused."""
# The answer has to travel, too.
_ANSWER_S: Final = ANSWER_TIMEOUT_S - 0.3

ENCODINGS: Final = Counter(
    "fanfare_payload_encodings",
    "JSON encodings of event payloads: one per event, however many receive it.",
    ["type"],
    registry=REGISTRY,
)

_encodings = cache(ENCODINGS.labels)


def answer_by() -> float:
    """When to answer a request that begins now, in the loop's time."""
    return asyncio.get_running_loop().time() + _ANSWER_S


def record_of(
    place: Place,
    event: str,
    ident: int,
    author: int,
    payload: bytes,
    *,
    nonce: str = "",
    mentions: tuple[int, ...] = (),
    gated: tuple[int, int] | None = None,
) -> Record:
    """The record of an event whose payload was encoded for it."""
    _encodings(event).inc()
    channel = place.channel
    direct = place.guild is None
    return Record(
        type=event,
        id=ident,
        at=int(now_s() * 1000),
        audience=USERS if direct else CHANNEL,
        guild=channel.guild_id,
        channel=channel.id,
        author=author,
        nonce=nonce,
        users=tuple(user.id for user in channel.recipients) if direct else (),
        mentions=mentions,
        gated=gated,
        payload=payload,
    )


def message_record(
    place: Place, event: str, ident: int, author: int, built: Built, *, nonce: str = ""
) -> Record:
    """The record of a message that is sent or changed."""
    return record_of(
        place, event, ident, author, built.body, nonce=nonce, mentions=built.mentions, gated=built.gated
    )
