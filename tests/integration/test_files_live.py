"""Files through two real nodes: sent, seen, fetched, edited, and gone with their message."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import Node, World
from torture.client import Rest

pytestmark = pytest.mark.system

PAGE = b"<script>alert(1)</script>"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Sender:
    """Sends with files, as one member through one node."""

    def __init__(self, http: aiohttp.ClientSession, node: Node, world: World, who: int = 0) -> None:
        self.http = http
        self.path = f"{node.api}/channels/{world.channels[0]}/messages"
        self.headers = {"Authorization": world.people[who].token}

    async def __call__(self, payload: str, *files: tuple[str, str, bytes], of: str = "") -> tuple[int, Any]:
        """POST, or PATCH of a message; `files` are field, name and content."""
        with aiohttp.MultipartWriter("form-data") as form:
            for field, name, content in files:
                form.append(BytesIO(content)).set_content_disposition("form-data", name=field, filename=name)
            form.append(payload).set_content_disposition("form-data", name="payload_json")
        method, path = ("PATCH", f"{self.path}/{of}") if of else ("POST", self.path)
        async with self.http.request(method, path, data=form, headers=self.headers) as answer:
            return answer.status, await answer.json()


async def test_a_file_from_its_message_to_its_end(
    http: aiohttp.ClientSession, stack: Stack, nodes: list[Node], world: World, online: Any
) -> None:
    """It comes with the message, through any node; what an edit leaves out, or a deletion, is gone."""
    send = Sender(http, nodes[0], world)
    reader = await online(nodes[1], world.people[1])
    status, message = await send(
        '{"content":"look","embeds":[{"image":{"url":"attachment://a.png"}}],"attachments":[{"id":3,"description":"d"}]}',
        ("files[3]", "a.png", b"\x89PNG" * 5000),
        ("files[5]", "page.html", PAGE),
    )
    assert status == 200, message
    picture, page = message["attachments"]
    assert (picture["description"], picture["size"]) == ("d", 20_000)
    assert message["embeds"][0]["image"]["url"] == picture["url"]
    seen = await reader.until("MESSAGE_CREATE")
    assert seen.d["attachments"] == message["attachments"]

    async def get(url: str, **headers: str) -> tuple[int, bytes, Any]:
        async with http.get(url, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    other = nodes[1].api.removesuffix("/api/v10") + urlsplit(page["url"]).path
    status, content, headers = await get(other)
    assert (status, content) == (200, PAGE)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"].startswith("attachment")
    status, content, headers = await get(picture["url"], Range="bytes=4-7")
    assert (status, content, headers["Content-Range"]) == (206, b"\x89PNG", "bytes 4-7/20000")
    assert (await get(picture["url"], Range="bytes=20000-"))[0] == 416
    assert (await get(picture["url"].replace("a.png", "b.png")))[0] == 404

    status, now = await send(
        f'{{"attachments":[{{"id":"{picture["id"]}"}},{{"id":0}}]}}',
        ("files[0]", "c.txt", b"c"),
        of=message["id"],
    )
    assert (status, [one["filename"] for one in now["attachments"]]) == (200, ["a.png", "c.txt"])
    assert now["content"] == "look"

    async def gone(*urls: str) -> bool:
        return [(await get(url))[0] for url in urls] == [404] * len(urls)

    await eventually(lambda: gone(page["url"]))
    assert (await get(picture["url"]))[0] == 200
    async with nodes[1].rest(world.people[0]) as rest:
        await rest.request("DELETE", f"/channels/{world.channels[0]}/messages/{message['id']}")
    await eventually(lambda: gone(picture["url"], now["attachments"][1]["url"]))


async def test_files_that_are_not_sent_do_not_stay(
    http: aiohttp.ClientSession, stack: Stack, nodes: list[Node], world: World
) -> None:
    """Rights come first; what is refused after it was stored, and what a repetition brought again, is removed."""
    async with Rest(nodes[0].api, world.people[0].token) as rest:
        everyone = f"/channels/{world.channels[0]}/permissions/{world.guild}"
        await rest.request("PUT", everyone, {"type": 0, "deny": str(1 << 15)})
    member = Sender(http, nodes[0], world, 1)
    assert (await member("{}", ("files[0]", "a", b"1")))[1]["code"] == 50013
    assert (await member('{"content":"words"}'))[0] == 200
    owner = Sender(http, nodes[1], world)
    again = '{"content":"once","nonce":"n","enforce_nonce":true}'
    first = (await owner(again, ("files[0]", "a.txt", b"1")))[1]
    assert (await owner(again, ("files[0]", "a.txt", b"1")))[1] == first
    wrong = '{"embeds":[{"image":{"url":"attachment://other.png"}}]}'
    assert (await owner(wrong, ("files[0]", "x.txt", b"1")))[1]["code"] == 50035
    assert (await owner("{}", ("files[0]", "a", b"1" * (10 * 1024 * 1024 + 1))))[0] == 413
    folder = stack.home / "files" / str(world.channels[0])

    async def one_left() -> bool:
        return [path.name for path in folder.rglob("*") if path.is_file()] == ["a.txt"]

    await eventually(one_left)
