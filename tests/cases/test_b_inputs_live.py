"""What clients send, over both ways in, to running gateways."""

import asyncio
import functools
import json
import operator
from typing import Any

import aiohttp
import pytest

from tests.world import make_world
from torture.client import Rest, RestError, SendError

HUGE = "99999999999999999999"
THREE = "\u0663"


async def refused(rest: Rest, method: str, path: str, body: Any) -> RestError:
    with pytest.raises(RestError) as caught:
        await rest.request(method, path, body)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        f"<@{HUGE}>",
        f"<@&{HUGE}> <#{HUGE}>",
        f"<@{THREE * 15}>",
        "<@9223372036854775808>",
        "<@-1> <@1.5>",
    ],
)
async def test_b1_mentions_of_what_cannot_exist(nodes, world, online, content):
    alice, channel = world.people[0], world.channels[0]
    socket = await online(nodes[1], alice)
    async with nodes[0].rest(alice) as rest:
        made = await rest.send(channel, content)
        assert (made["content"], made["mentions"]) == (content, [])
        edited = await rest.request(
            "PATCH", f"/channels/{channel}/messages/{made['id']}", {"content": content + " "}
        )
        assert edited["mentions"] == []
        sent = await socket.send(channel, content)
        found = await rest.request("GET", f"/channels/{channel}/messages/{sent['id']}")
        assert found["mentions"] == []


async def test_b1_many_unknown_users(nodes, world):
    """That they are one question to the database is shown in tests/unit/test_access.py."""
    content = " ".join(f"<@{10**16 + number}>" for number in range(95))
    async with nodes[0].rest(world.people[0]) as rest:
        assert (await rest.send(world.channels[0], content))["mentions"] == []


def in_a_row(*inner: Any) -> list[Any]:
    return [{"type": 1, "components": list(inner)}]


@pytest.mark.parametrize(
    ("components", "path"),
    [
        ([{}], ["components", "0", "type"]),
        ([{"type": 2}], ["components", "0", "type"]),
        ([{"type": 17}], ["components", "0"]),
        (in_a_row({"type": 2, "style": 1, "label": "x"}), ["components", "0", "components", "0", "custom_id"]),
        (in_a_row({"type": 4, "custom_id": "x"}), ["components", "0", "components", "0", "type"]),
        ([{"type": 1, "components": []}], ["components", "0", "components"]),
    ],
)  # fmt: skip
async def test_b2_components_that_clients_would_choke_on(nodes, world, online, components, path):
    alice, channel = world.people[0], world.channels[0]
    socket = await online(nodes[1], alice)
    async with nodes[0].rest(alice) as rest:
        made = await rest.send(channel, "before")
        body = {"content": "x", "components": components}
        ways = [
            await refused(rest, "POST", f"/channels/{channel}/messages", body),
            await refused(rest, "PATCH", f"/channels/{channel}/messages/{made['id']}", body),
        ]
        errors = [(error.status, error.code, error.body["errors"]) for error in ways]
        with pytest.raises(SendError) as caught:
            await socket.send(channel, "x", components=components)
        errors.append((400, caught.value.code, caught.value.error["errors"]))
        for status, code, nested in errors:
            assert (status, code) == (400, 50035)
            assert functools.reduce(operator.getitem, path, nested)
        assert [message["id"] for message in await rest.messages(channel, after=made["id"])] == []


@pytest.mark.parametrize("depth", [20, 400, 900, 1000, 5000])
@pytest.mark.parametrize("field", ["components", "embeds", "content", "allowed_mentions", "unknown"])
async def test_b2_nesting(nodes, world, depth, field):
    alice, channel = world.people[0], world.channels[0]
    raw = b'{"content":"x","%s":%s%s}' % (field.encode(), b"[" * depth, b"]" * depth)
    url = f"{nodes[0].api}/channels/{channel}/messages"
    headers = {"Authorization": f"Bot {alice.token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as http, http.post(url, data=raw, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] in {50035, 50109}


@pytest.mark.parametrize(
    ("embed", "field"),
    [
        ({"title": "x", "url": "javascript:alert(1)"}, "url"),
        ({"title": "x", "image": {"url": "data:image/png;base64,x"}}, "image"),
        ({"title": "x", "thumbnail": {"url": "example.org/x"}}, "thumbnail"),
        ({"author": {"name": "x", "icon_url": "//example.org"}}, "author"),
        ({"footer": {"text": "x", "icon_url": "http://"}}, "footer"),
        ({}, "description"),
    ],
)
async def test_b3_embeds(nodes, world, embed, field):
    async with nodes[0].rest(world.people[0]) as rest:
        error = await refused(rest, "POST", f"/channels/{world.channels[0]}/messages", {"embeds": [embed]})
        assert (error.status, error.code) == (400, 50035)
        assert field in error.body["errors"]["embeds"]["0"]


async def test_b3_the_sum_of_a_message_is_bounded(nodes, world):
    url = "https://example.org/" + "x" * 2000
    embed = {
        "title": "x",
        "url": url,
        "image": {"url": url},
        "author": {"name": "x", "url": url, "icon_url": url},
    }
    async with nodes[0].rest(world.people[0]) as rest:
        error = await refused(
            rest, "POST", f"/channels/{world.channels[0]}/messages", {"embeds": [embed] * 10}
        )
        assert (error.status, error.code) == (400, 50035)
        assert (await rest.request("POST", f"/channels/{world.channels[0]}/messages", {"embeds": [embed]}))[
            "embeds"
        ]


async def test_b5_only_enforced_nonces_bind_over_rest(nodes, world, online):
    alice = world.people[0]
    one, other = world.channels[:2]
    socket = await online(nodes[1], alice)
    async with nodes[0].rest(alice) as rest:
        path = f"/channels/{one}/messages"
        ids = {
            (await rest.request("POST", path, {"content": text, "nonce": "b5"}))["id"] for text in ("a", "b")
        }
        assert len(ids) == 2
        first = await rest.send(one, "c", "b5 bound")
        assert (await rest.send(one, "d", "b5 bound"))["id"] == first["id"]
        assert (await rest.send(other, "d", "b5 bound"))["id"] != first["id"]
        sent = await socket.send(other, "e", "b5 socket")
        assert (await socket.send(other, "f", "b5 socket"))["id"] == sent["id"]
        assert (await socket.send(one, "f", "b5 socket"))["id"] != sent["id"]


@pytest.fixture
async def slow(stack, nodes):
    """A guild with a channel in slow mode, of 30 s."""
    world = await make_world(stack, people=3)
    async with nodes[0].rest(world.people[0]) as rest:
        await rest.request("PATCH", f"/channels/{world.channels[0]}", {"rate_limit_per_user": 30})
    return world


async def test_b6_slow_mode_holds_over_nodes_and_both_ways(nodes, slow, online):
    bob, channel = slow.people[1], slow.channels[0]
    socket = await online(nodes[1], bob)
    async with nodes[0].rest(bob) as rest, nodes[1].rest(bob) as elsewhere:
        await rest.send(channel, "first")
        error = await refused(elsewhere, "POST", f"/channels/{channel}/messages", {"content": "second"})
        assert (error.status, error.code) == (429, 20016)
        assert 0 < error.body["retry_after"] <= 30
        assert 1 <= int(error.headers["retry-after"]) <= 30
        with pytest.raises(SendError) as caught:
            await socket.send(channel, "third")
        assert caught.value.code == 20016
        assert 0 < caught.value.error["retry_after"] <= 30


async def test_b6_a_repetition_with_its_nonce_is_no_second_message(nodes, slow):
    carol, channel = slow.people[2], slow.channels[0]
    async with nodes[0].rest(carol) as rest, nodes[1].rest(carol) as elsewhere:
        made = await rest.send(channel, "once", "again")
        assert (await elsewhere.send(channel, "once", "again"))["id"] == made["id"]


async def test_b6_who_may_manage_does_not_wait(nodes, slow):
    async with nodes[0].rest(slow.people[0]) as rest:
        await asyncio.gather(*(rest.send(slow.channels[0], text) for text in ("a", "b", "c")))


PAYLOAD = b'--x\r\nContent-Disposition: form-data; name="payload_json"\r\n\r\n'
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (PAYLOAD + b'{}\r\n--x\r\nContent-Disposition: form-data; name="tts"\r\n\r\nx\r\n--x--\r\n', MULTIPART, 400),
        (PAYLOAD + b"[1]\r\n--x--\r\n", MULTIPART, 400),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nx\r\n--y--\r\n--x--\r\n", MULTIPART, 400),
        (b"--x\r\nno colon\r\n\r\nx\r\n--x--\r\n", MULTIPART, 400),
        (b"--x\r\nX-Long: " + b"y" * 9000 + b"\r\n\r\nx\r\n--x--\r\n", MULTIPART, 400),
        (b"x", "multipart/form-data", 400),
        (b'--x\r\nContent-Disposition: form-data; name="content"\r\n\r\n\xff\r\n--x--\r\n', MULTIPART, 400),
        (b'{"content":"x","a":1e400}', "application/json", 400),
        (b'{"content":"\\ud800"}', "application/json", 400),
        (b'{"content":"x"}\xff', "application/json", 400),
    ],
)  # fmt: skip
async def test_b8_bodies_that_cannot_be_read(nodes, world, body, kind, status):
    url = f"{nodes[0].api}/channels/{world.channels[0]}/messages"
    headers = {"Authorization": f"Bot {world.people[0].token}", "Content-Type": kind}
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        said = await answer.json()
        assert (answer.status, type(said["code"]), type(said["message"])) == (status, int, str)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /api/v10/gateway HTTP/1.1\r\nHost x\r\n\r\n", b"400"),
        (b"GET /api/v10/gateway HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"PUT /api/v10/gateway HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
    ],
)
async def test_b8_requests_that_are_none(nodes, request_line, status):
    host, _, port = nodes[0].api.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_line)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")
    )
    said = json.loads(await reader.readexactly(length))
    writer.close()
    assert head.split(b" ")[1] == status
    assert {"code", "message"} <= said.keys()
    assert b"access-control-allow-origin: *" in head.lower()


@pytest.mark.parametrize("field", ["poll", "sticker_ids", "files"])
async def test_b9_fields_of_a_message_that_are_not_supported(nodes, world, field):
    async with nodes[0].rest(world.people[0]) as rest:
        path = f"/channels/{world.channels[0]}/messages"
        error = await refused(rest, "POST", path, {"content": "x", field: [{"id": "1"}]})
        assert (error.status, list(error.body["errors"])) == (400, [field])
        assert await rest.request("POST", path, {"content": "x", field: None})
