"""Traces of events by OpenTelemetry: one from the socket that sent it to the sockets that got it, through both topics.

The gateway that takes an event decides whether it is traced, and says so in the record's `traceparent`, which goes
with it everywhere. Each later step adds a span below that first one when it is done. So a step that is tried again
adds one for the try that worked, and no record is changed on its way.

Off unless `FANFARE_TRACES` names a collector. Then no part has a `Traces`, and what it would wrap stays unwrapped.
OpenTelemetry itself is imported only where traces are on: it is an extra (`fanfare[tracing]`).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from fanfare.clock import now_s
from fanfare.record import Record
from fanfare.settings import Settings, SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

__all__ = ["Traces", "facts_of", "start_traces", "traced", "traceparent_of"]

_EXPORT_S: Final = 3.0
_SAMPLED: Final = 0x01
_NANO: Final = 1_000_000_000
_ID_CHARACTERS: Final = 32, 16

Attributes = Mapping[str, str | int]


class _Parent(NamedTuple):
    trace: int
    span: int


class Carries(Protocol):
    """Whatever holds a record."""

    @property
    def record(self) -> Record:
        """The record."""


C = TypeVar("C", bound=Carries)
P = TypeVar("P")


class Traces:
    """The spans of this process."""

    def __init__(self, role: str, share: float, exporter: "SpanExporter") -> None:
        """Begin.

        Args:
            role: of this process.
            share: of the events that begin here, how many are traced.
            exporter: where spans go, from a thread of its own.

        """
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

        self._api = trace
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": f"fanfare-{role}"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, export_timeout_millis=1000 * _EXPORT_S)
        )
        self._tracer = self._provider.get_tracer("fanfare")

    def begin(self, name: str, began_s: float, attributes: Attributes) -> "Span | None":
        """The first span of an event; None if it is not traced."""
        span = self._tracer.start_span(
            name, start_time=int(began_s * _NANO), attributes=attributes, kind=self._api.SpanKind.PRODUCER
        )
        return span if span.is_recording() else None

    def add(
        self, name: str, traceparent: str, began_s: float, ended_s: float, attributes: Attributes
    ) -> None:
        """A step that is done, below the span that is named by a record, if that event is traced."""
        parent = _parse(traceparent)
        if parent is None:
            return
        api = self._api
        above = api.SpanContext(
            parent.trace, parent.span, is_remote=True, trace_flags=api.TraceFlags(_SAMPLED)
        )
        span = self._tracer.start_span(
            name,
            context=api.set_span_in_context(api.NonRecordingSpan(above)),
            kind=api.SpanKind.CONSUMER,
            attributes=attributes,
            start_time=int(began_s * _NANO),
        )
        span.end(int(ended_s * _NANO))

    def add_all(self, name: str, records: Iterable[Record], began_s: float, attributes: Attributes) -> None:
        """A step that is done now, for each record of a batch that is traced."""
        ended_s = now_s()
        for record in records:
            if record.traceparent:
                self.add(name, record.traceparent, began_s, ended_s, {**attributes, **facts_of(record)})

    def close(self) -> None:
        """Send what is left; waits for some seconds at most."""
        self._provider.shutdown()


def facts_of(record: Record) -> dict[str, str | int]:
    """What a span says of an event: never what somebody wrote."""
    facts: dict[str, str | int] = {"fanfare.event": record.type, "fanfare.id": str(record.id)}
    if record.source is not None:
        facts["fanfare.position"] = str(record.position)
    return facts


def traceparent_of(span: "Span") -> str:
    """As W3C's Trace Context writes it."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _parse(text: str) -> _Parent | None:
    """The span named by a traceparent; None if that event is not traced, or if anything else stands there."""
    version, trace, span, flags, *_ = [*text.split("-"), "", "", "", ""]
    if version != "00" or (len(trace), len(span)) != _ID_CHARACTERS:
        return None
    try:
        found = _Parent(int(trace, 16), int(span, 16))
        sampled = int(flags, 16) & _SAMPLED
    except ValueError:
        return None
    return found if sampled and all(found) else None


def traced(
    traces: Traces | None, name: str, handle: Callable[[P, list[C]], Awaitable[None]]
) -> Callable[[P, list[C]], Awaitable[None]]:
    """A handler of batches that adds a span for each record that is traced; the handler itself if traces are off."""
    if traces is None:
        return handle

    async def with_spans(where: P, batch: list[C]) -> None:
        began_s = now_s()
        await handle(where, batch)
        traces.add_all(name, (one.record for one in batch), began_s, {"fanfare.batch": len(batch)})

    return with_spans


def start_traces(settings: Settings, role: str) -> Traces | None:
    """What the settings ask for; None: nothing.

    Raises:
        SettingsError: traces are asked for, and their packages are not installed.

    """
    if not settings.traces:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
    except ImportError as error:
        raise SettingsError(
            f"FANFARE_TRACES is set, and {error.name} is not installed: install fanfare[tracing], or leave it out"
        ) from error
    return Traces(role, settings.traced_share, OTLPSpanExporter(endpoint=settings.traces, timeout=_EXPORT_S))
