"""Positions on their way into Kafka: those of some moments share a record.

A position alone would cost what a message costs. So the first one goes at once, and what comes in the 50 ms after it
goes together, a record for each partition (docs/design.md, "Live location").
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from prometheus_client import Counter

from fanfare.bus.partitions import partition_of
from fanfare.bus.producer import NotHandedOverError, UnknownTopicError
from fanfare.bus.topics import LOCATION_EVENTS
from fanfare.ids import first_snowflake
from fanfare.location.geo import distance_m, jumps
from fanfare.location.positions import POSITIONS, Fix, packed
from fanfare.record import USERS, Position, Record
from fanfare.tasks import retrieve
from fanfare.telemetry.metrics import REGISTRY
from gateway.ingress.errors import RefusedError, UnknownOutcomeError

__all__ = ["Log", "Publisher"]

_GATHER_S: Final = 0.05
_ANSWER_S: Final = 4.5
# Some 120 bytes each: far below what a topic takes.
_MOST_IN_RECORD: Final = 500
_REMEMBERED: Final = 100_000

ACCEPTED: Final = Counter(
    "fanfare_location_published", "Positions, by how they were answered.", ["answer"], registry=REGISTRY
)


class Log(Protocol):
    """Kafka: `fanfare.bus.producer.Producer`."""

    def post(self, topic: str, record: Record, *, key: int) -> asyncio.Future[Position]:
        """Hand a record over; raises NotHandedOverError if it was not."""

    def partitions(self, topic: str) -> int:
        """How many a topic has; raises UnknownTopicError."""


class _Waiting:
    __slots__ = ("done", "fixes")

    def __init__(self, fixes: Sequence[Fix], done: asyncio.Future[None]) -> None:
        self.fixes = fixes
        self.done = done


class Publisher:
    """Gathers positions and produces them."""

    def __init__(self, log: Log) -> None:
        """Args: log: Kafka."""
        self._log = log
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last: dict[int, Fix] = {}

    async def publish(self, fixes: Sequence[Fix]) -> None:
        """Publish positions; returns when Kafka has them all.

        Raises:
            RefusedError: they were not handed over, or not all of them; a repetition does no harm.
            UnknownOutcomeError: they were, and nothing is known.

        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(retrieve)
        self._waiting.append(_Waiting([self._flagged(fix) for fix in fixes], done))
        if self._timer is None:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._gathered)
        try:
            await asyncio.wait_for(asyncio.shield(done), _ANSWER_S)
        except TimeoutError:
            ACCEPTED.labels("unknown").inc(len(fixes))
            raise UnknownOutcomeError("Kafka has not acknowledged it yet") from None
        except RefusedError:
            ACCEPTED.labels("refused").inc(len(fixes))
            raise
        ACCEPTED.labels("accepted").inc(len(fixes))

    async def close(self) -> None:
        """Hand over what still waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush()

    def _gathered(self) -> None:
        self._timer = None
        if self._waiting:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._gathered)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            posted = self._post([fix for one in waiting for fix in one.fixes])
        except (NotHandedOverError, UnknownTopicError) as error:
            for one in waiting:
                if not one.done.done():
                    one.done.set_exception(RefusedError(str(error)))
            return
        settle = asyncio.gather(*posted)

        def acknowledged(found: "asyncio.Future[list[Position]]") -> None:
            error = found.exception() if not found.cancelled() else asyncio.CancelledError()
            for one in waiting:
                if one.done.done():
                    continue
                if error is None:
                    one.done.set_result(None)
                elif isinstance(error, NotHandedOverError):
                    one.done.set_exception(RefusedError(str(error), error.retry_after_s))
                else:
                    one.done.set_exception(
                        UnknownOutcomeError(f"Kafka did not say that it has it: {error!r}")
                    )

        settle.add_done_callback(acknowledged)

    def _post(self, fixes: list[Fix]) -> list[asyncio.Future[Position]]:
        count = self._log.partitions(LOCATION_EVENTS)
        apart: dict[int, list[Fix]] = {}
        for fix in fixes:
            apart.setdefault(partition_of(fix.entity_id, count), []).append(fix)
        now_ms = int(time.time() * 1000)
        return [
            self._log.post(
                LOCATION_EVENTS,
                Record(
                    type=POSITIONS,
                    id=first_snowflake(now_ms),
                    at=now_ms,
                    audience=USERS,
                    payload=packed(some),
                ),
                # Any of them leads to their partition.
                key=some[0].entity_id,
            )
            for together in apart.values()
            for start in range(0, len(together), _MOST_IN_RECORD)
            for some in (together[start : start + _MOST_IN_RECORD],)
        ]

    def _flagged(self, fix: Fix) -> Fix:
        """The position, marked where no vehicle comes there from the last one that came here."""
        last = self._last.pop(fix.entity_id, None)
        jumped = last is not None and jumps(
            distance_m(last.lat, last.lon, fix.lat, fix.lon), (fix.at - last.at) / 1000
        )
        self._last[fix.entity_id] = fix
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]
        return msgspec.structs.replace(fix, jumped=True) if jumped else fix
