"""Traces: what is traced is one trace from the first step to the last; off, nothing is wrapped and nothing imported."""

import asyncio
import subprocess
import sys
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.telemetry.tracing import Traces, start_traces, traced
from gateway.ingress.traced_log import TracedLog

RECORD = Record(type="MESSAGE_CREATE", id=7, at=1_800_000_000_000, payload=b"{}")


class Incoming(NamedTuple):
    record: Record


class Log:
    """Kafka, which has not acknowledged yet, or takes nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.posted: list[Record] = []
        self.done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._error = error

    def post(self, topic: str, record: Record, *, key: int) -> asyncio.Future[Position]:
        if self._error is not None:
            raise self._error
        self.posted.append(record)
        return self.done

    def base_now(self, topic: str) -> int:
        return 1 << 44

    def ahead_s(self, at: Position) -> float:
        return 0.5


class Seen:
    """Traces whose spans are kept."""

    def __init__(self, share: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = Traces("gateway", share, self._exporter)

    def spans(self):
        """What was sent, after the end."""
        self.traces.close()
        return self._exporter.get_finished_spans()


async def test_each_step_is_a_span_of_one_trace():
    seen = Seen()
    log = Log()
    posted = TracedLog(log, seen.traces).post("chat.events", RECORD, key=1)
    (record,) = log.posted
    assert record.traceparent
    assert record == RECORD.__class__(
        type="MESSAGE_CREATE", id=7, at=RECORD.at, payload=b"{}", traceparent=record.traceparent
    )
    handled = []

    async def handle(where: str, batch: list[Incoming]) -> None:
        handled.append((where, batch))

    batch = [Incoming(record), Incoming(RECORD)]
    await traced(seen.traces, "fan-out", handle)("chat.events/0", batch)
    assert handled == [("chat.events/0", batch)]
    posted.set_result(Position("chat.events", 0, 1))
    await asyncio.sleep(0)
    fan_out, send = seen.spans()
    assert (send.name, fan_out.name) == ("send", "fan-out")
    assert send.parent is None
    assert send.start_time == RECORD.at * 1_000_000
    assert fan_out.context.trace_id == send.context.trace_id
    assert fan_out.parent.span_id == send.context.span_id
    assert fan_out.attributes == {"fanfare.batch": 2, "fanfare.event": "MESSAGE_CREATE", "fanfare.id": "7"}
    assert send.resource.attributes["service.name"] == "fanfare-gateway"


async def test_what_is_not_traced_is_left_as_it_is():
    seen = Seen(share=0.0)
    log = Log()
    logged = TracedLog(log, seen.traces)
    logged.post("chat.events", RECORD, key=1)
    assert log.posted[0] is RECORD
    assert logged.ahead_s(Position("chat.events", 0, 1)) == 0.5
    seen.traces.add_all("notify", [RECORD], 1.0, {})
    assert seen.spans() == ()


async def test_a_send_that_fails_says_so_and_nothing_that_somebody_wrote():
    seen = Seen()
    with pytest.raises(ConnectionError):
        TracedLog(Log(ConnectionError("secret")), seen.traces).post("chat.events", RECORD, key=1)
    log = Log()
    TracedLog(log, seen.traces).post("chat.events", RECORD, key=1)
    log.done.set_exception(TimeoutError())
    with pytest.raises(TimeoutError):
        await log.done
    log = Log()
    TracedLog(log, seen.traces).post("chat.events", RECORD, key=1).cancel()
    await asyncio.sleep(0)
    spans = seen.spans()
    assert [span.attributes.get("error.type") for span in spans] == ["ConnectionError", "TimeoutError", None]
    assert "secret" not in str([span.to_json() for span in spans])


async def test_a_step_that_fails_adds_nothing_until_it_works():
    seen = Seen()
    log = Log()
    TracedLog(log, seen.traces).post("chat.events", RECORD, key=1)

    async def handle(_where: str, _batch: list[Incoming]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await traced(seen.traces, "notify", handle)("x", [Incoming(log.posted[0])])
    assert [span.name for span in seen.spans()] == []


UNTRACED = (
    "",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",  # not sampled
    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "00-0af7651916cd43dd8448eb211c8031zz-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
)


@pytest.mark.parametrize("text", UNTRACED)
def test_a_foreign_traceparent_that_names_nothing_is_passed_by(text):
    seen = Seen()
    seen.traces.add("notify", text, 1.0, 2.0, {})
    assert seen.spans() == ()


@given(st.text(max_size=80))
def test_whatever_stands_in_a_traceparent_is_no_error(text):
    seen = Seen()
    seen.traces.add("notify", text, 1.0, 2.0, {})
    seen.traces.close()


def test_off_is_as_if_there_were_none():
    async def handle(where: str, batch: list[Incoming]) -> None:
        """Nothing."""

    assert start_traces(Settings(), "fanout") is None
    assert traced(None, "fan-out", handle) is handle
    code = (
        "import sys, fanout.__main__, notifier.__main__, gateway.node, archiver.worker; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The client of Redis looks by itself whether the metrics of OpenTelemetry are there.
    assert "opentelemetry.sdk.trace" not in done.stdout
    assert "opentelemetry.exporter" not in done.stdout


def test_a_missing_package_is_an_error_of_the_setting(monkeypatch):
    from fanfare.settings import SettingsError

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"FANFARE_TRACES is set.*fanfare\[tracing\]"):
        start_traces(Settings(traces="http://127.0.0.1:1/v1/traces"), "fanout")
