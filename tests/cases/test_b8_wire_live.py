"""What comes over the wire to REST and is broken below JSON: heads, chunks, parts, and clients that go in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from tests.cases.test_b_inputs_live import MULTIPART, PAYLOAD
from tests.world import metric, settled

POST = "POST /api/v10/channels/CHANNEL/messages HTTP/1.1"


@asynccontextmanager
async def dialled(api: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to REST."""
    host, _, port = api.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def raw_answer(api: str, request: bytes) -> tuple[int, dict[str, str], Any]:
    """What answers these bytes."""
    async with dialled(api) as (reader, writer):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])
        }
        said = json.loads(await reader.readexactly(int(headers["content-length"])))
    return int(lines[0].split(" ")[1]), headers, said


def field(name: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\nx\r\n'


@pytest.mark.parametrize("name", [b"." * 3000, b"a" * 3000, b"\xff", b"a.b", b"\xc3\xa9", b"[" * 65])
@pytest.mark.parametrize("payload", [PAYLOAD + b"{}\r\n", b""], ids=["beside payload_json", "alone"])
async def test_b8_names_of_parts_that_cannot_stand_in_an_answer(nodes, world, name, payload):
    url = f"{nodes[0].api}/channels/{world.channels[0]}/messages"
    headers = {"Authorization": f"Bot {world.people[0].token}", "Content-Type": MULTIPART}
    body = payload + field(name) + b"--x--\r\n"
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        said = await answer.json()
        assert (answer.status, said["code"], list(said["errors"])) == (400, 50035, ["_errors"])


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("GET /api/v10/gateway HTTP/1.1\nExpect: foo", b"", 200),
        ("GET /api/v10/nothing HTTP/1.1\nExpect: foo", b"", 404),
        (POST + "\nExpect: 100-continue\nContent-Length: 2", b"{}", 400),
        (POST + "\nContent-Encoding: identity\nContent-Encoding: gzip\nContent-Length: 2", b"{}", 415),
        (POST + "\nTransfer-Encoding: chunked", b"5\r\n{}\r\nxyz", 400),
        (POST + "\nTransfer-Encoding: chunked", b"z\r\n", 400),
        (POST + "\nTransfer-Encoding: foo", b"", 400),
        ("GET /api/v10/channels/%D9%A1%D9%A2/messages HTTP/1.1", b"", 404),
        ("GET /api/v%D9%A1/channels/1 HTTP/1.1", b"", 404),
        ("GET /api/v10/users/@me HTTP/1.1\nAuthorization: Bot \xff", b"", 401),
        ("GET /api/v10/channels/CHANNEL/messages?limit=%FF HTTP/1.1", b"", 400),
        ("GET /api/v10/gateway HTTP/1.1\nX-Forwarded-For: \xff, 1", b"", 200),
        ("GET /api/v10/gateway HTTP/1.1\nContent-Type: \xff; charset=\xfe", b"", 200),
    ],
)  # fmt: skip
async def test_b8_odd_heads(nodes, world, head, body, status):
    known = "" if "Authorization" in head else f"\nAuthorization: Bot {world.people[0].token}"
    lines = f"{head}\nHost: x{known}".replace("CHANNEL", str(world.channels[0])).split("\n")
    request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    found, headers, said = await raw_answer(nodes[0].api, request)
    form = (headers["content-type"], headers["access-control-allow-origin"])
    assert (found, form) == (status, ("application/json", "*"))
    assert status < 400 or {"code", "message"} <= said.keys()


async def test_b8_a_wrong_method_is_told_the_right_ones(nodes):
    request = b"PUT /api/v10/gateway HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    status, headers, _ = await raw_answer(nodes[0].api, request)
    assert (status, headers["allow"]) == (405, "GET")


async def test_b8_bodies_that_do_not_come_whole_are_no_failure_of_the_server(nodes, world):
    def asked(status: str) -> Awaitable[float]:
        return metric(nodes[0].internal, "fanfare_rest_requests_total", status=status)

    head = f"{POST}\r\nHost: x\r\nAuthorization: Bot {world.people[0].token}\r\n"
    head = head.replace("CHANNEL", str(world.channels[0]))
    before, failed = await asked("400"), await asked("500")
    bodies = [
        b"Content-Length: 50\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 900\r\n\r\n" + PAYLOAD,
    ]
    for body in bodies:
        async with dialled(nodes[0].api) as (_, writer):
            writer.write(head.encode() + body)
            await writer.drain()
    await settled(lambda: asked("400"), before + len(bodies))
    assert await asked("500") == failed
