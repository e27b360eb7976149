"""Kafka as the ingress sees it where traces are on: an event that is traced begins its trace here."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from fanfare.record import Position, Record
from fanfare.telemetry.tracing import Traces, facts_of, traceparent_of
from gateway.ingress.interfaces import Log

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["TracedLog"]


class TracedLog:
    """A log that gives some of its records a `traceparent`."""

    def __init__(self, log: Log, traces: Traces) -> None:
        self._log = log
        self._traces = traces

    def post(self, topic: str, record: Record, *, key: int) -> asyncio.Future[Position]:
        """As `Log.post`. The first span lasts until Kafka has acknowledged the record."""
        span = self._traces.begin("send", record.at / 1000, facts_of(record))
        if span is None:
            return self._log.post(topic, record, key=key)
        try:
            posted = self._log.post(
                topic, msgspec.structs.replace(record, traceparent=traceparent_of(span)), key=key
            )
        except BaseException as error:
            _end(span, error)
            raise
        posted.add_done_callback(lambda done: _end(span, None if done.cancelled() else done.exception()))
        return posted

    def base_now(self, topic: str) -> int:
        """As the log says."""
        return self._log.base_now(topic)

    def ahead_s(self, at: Position) -> float:
        """As `Log.ahead_s`."""
        return self._log.ahead_s(at)


def _end(span: "Span", error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
    span.end()
