"""One trace from socket to socket: every step reports to a collector, below the span that the gateway began."""

import asyncio
import gzip

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import make_world, nodes_of
from torture.client import Client

pytestmark = [pytest.mark.system, pytest.mark.long]

STEPS = {
    "send": "fanfare-gateway",
    "fan-out": "fanfare-fanout",
    "notify": "fanfare-notifier",
    "deliver": "fanfare-gateway",
    "archive": "fanfare-archiver",
}


class Collector:
    """Takes spans by OTLP over HTTP, as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        self.spans = []
        self.address = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        asked = ExportTraceServiceRequest.FromString(body)
        for one in asked.resource_spans:
            service = next(
                each.value.string_value for each in one.resource.attributes if each.key == "service.name"
            )
            self.spans += [(service, span) for scope in one.scope_spans for span in scope.spans]
        return web.Response()

    def steps(self, event: str) -> dict[str, tuple[str, bytes, bytes]]:
        """Of an event by its id: service, trace and parent of each step."""
        return {
            span.name: (service, span.trace_id, span.parent_span_id)
            for service, span in self.spans
            if any(each.key == "fanfare.id" and each.value.string_value == event for each in span.attributes)
        }


@pytest.fixture
async def collector():
    taking = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", taking.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taking.address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield taking
    await runner.cleanup()


async def test_one_trace_from_socket_to_socket(collector, tmp_path):
    """Sent on one node, received on another one; a message that is changed has a trace of its own."""
    settings = {"traces": collector.address, "traced_share": "1"}
    stack = Stack(tmp_path, options=["--scale", "gateway=2"], settings=settings)
    await asyncio.to_thread(stack.start)
    try:
        world = await make_world(stack, people=2)
        one, other = await nodes_of(stack)
        anna, ben = world.people
        async with (
            await Client.connect(one.gateway, anna.session()) as sender,
            await Client.connect(other.gateway, ben.session()) as receiver,
        ):
            await sender.start()
            await receiver.start()
            sent = await sender.send(world.channels[0], "where does it go?", "n1")
            assert (await receiver.until("MESSAGE_CREATE")).d["id"] == sent["id"]

        async def whole() -> bool:
            return collector.steps(sent["id"]).keys() >= STEPS.keys()

        await eventually(whole, 30)
        found = collector.steps(sent["id"])
        assert {name: service for name, (service, _, _) in found.items()} == STEPS
        assert len({trace for _, trace, _ in found.values()}) == 1
        first = next(span for _, span in collector.spans if span.name == "send")
        assert first.parent_span_id == b""
        assert {parent for name, (_, _, parent) in found.items() if name != "send"} == {first.span_id}
        assert "where does it go?" not in str(collector.spans)
    finally:
        await asyncio.to_thread(stack.stop)
