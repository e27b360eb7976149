"""REST of two real gateway nodes, as client libraries use it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.stack import Stack
from tests.world import Node, Person, World, make_people, make_world, metric_of_role

pytestmark = pytest.mark.system

IMAGE = b"\x89PNG"


class Api:
    """Requests of somebody to one node; every answer is checked for what libraries trip over."""

    def __init__(self, http: aiohttp.ClientSession, base: str, token: str | None) -> None:
        self._http = http
        self.base = base
        self._headers = {"Authorization": f"Bot {token}"} if token else {}

    async def raw(self, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
        headers = self._headers | more.pop("headers", {})
        async with self._http.request(method, self.base + path, headers=headers, **more) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            if answer.status == 204:
                assert await answer.read() == b""
                return 204, None, answer.headers
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, await answer.json(), answer.headers

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if body is not None:
            more["json"] = body
        status, found, _ = await self.raw(method, path, **more)
        assert status < 300, (method, path, status, found)
        return found

    async def fails(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, int]:
        if body is not None:
            more["json"] = body
        status, found, _ = await self.raw(method, path, **more)
        assert status >= 400
        assert isinstance(found["message"], str)
        return status, found["code"]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def api(http: aiohttp.ClientSession, nodes: list[Node], world: World) -> Api:
    """The owner of the guild, at the first node."""
    return Api(http, nodes[0].api, world.people[0].token)


@pytest.fixture
def member(http: aiohttp.ClientSession, nodes: list[Node], world: World) -> Api:
    """An ordinary member, at the second node."""
    return Api(http, nodes[1].api, world.people[1].token)


# What libraries ask at login.


async def test_login(api: Api, world: World) -> None:
    me = world.people[0]
    assert (await api("GET", "/users/@me"))["id"] == str(me.id)
    assert (await api("GET", "/gateway"))["url"].endswith("/gateway/")
    bot = await api("GET", "/gateway/bot")
    assert bot["shards"] == 1
    assert bot["session_start_limit"]["remaining"] >= 1
    assert bot["session_start_limit"]["max_concurrency"] >= 1
    for path in ("/oauth2/applications/@me", "/applications/@me"):
        application = await api("GET", path)
        assert application["id"] == str(me.id), "py-cord takes them for the same"
        assert "install_params" not in application
    assert await api("GET", f"/applications/{me.id}/commands?with_localizations=true") == []
    commands = await api(
        "PUT", f"/applications/{me.id}/commands", [{"name": "a", "description": "b", "type": 1}]
    )
    assert commands[0]["name"] == "a"
    assert commands[0]["application_id"] == str(me.id)
    assert await api("GET", "/soundboard-default-sounds") == []


async def test_every_version_and_both_forms_of_the_token(
    http: aiohttp.ClientSession, nodes: list[Node], world: World
) -> None:
    root = nodes[0].api.removesuffix("/v10")
    token = world.people[0].token
    for prefix in ("", "/v9", "/v10"):
        for header in (token, f"Bot {token}", f"Bearer {token}"):
            api = Api(http, root + prefix, None)
            await api("GET", "/users/@me", headers={"Authorization": header})
    assert await Api(http, root + "/v8", token).fails("GET", "/users/@me") == (400, 50041)


@pytest.mark.parametrize("header", [None, "", "Bot", "Bot x", "Bot MTIz.AAAA.BBBB"])
async def test_without_a_valid_token(
    http: aiohttp.ClientSession, nodes: list[Node], header: str | None
) -> None:
    api = Api(http, nodes[0].api, None)
    more = {} if header is None else {"headers": {"Authorization": header}}
    assert await api.fails("GET", "/users/@me", **more) == (401, 0)
    await api("GET", "/gateway")


async def test_what_there_is_not(api: Api) -> None:
    assert await api.fails("GET", "/nothing") == (404, 0)
    assert await api.fails("GET", "/users/bob") == (404, 0)
    assert await api.fails("DELETE", "/gateway") == (405, 0)
    assert await api.fails("GET", "/users/5") == (404, 10013)
    assert await api.fails("GET", "/guilds/5") == (404, 10004)
    assert await api.fails("GET", "/channels/5") == (404, 10003)
    assert await api.fails("GET", f"/users/{1 << 63}") == (400, 50035)


async def test_browsers_of_other_origins(
    http: aiohttp.ClientSession, nodes: list[Node], world: World
) -> None:
    path = f"{nodes[0].api}/channels/{world.channels[0]}/messages"
    asks = {"Origin": "https://chat.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"}  # fmt: skip
    async with http.options(path, headers=asks) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


# Messages.


async def test_a_message_of_each_kind(api: Api, member: Api, world: World) -> None:
    channel = f"/channels/{world.channels[0]}"
    sent = await api(
        "POST", f"{channel}/messages", {"content": "hi", "nonce": "1", "enforce_nonce": True, "tts": None}
    )
    assert (sent["content"], sent["nonce"], sent["guild_id"]) == ("hi", "1", str(world.guild))
    assert await member("GET", f"{channel}/messages/{sent['id']}") == sent
    edited = await api("PATCH", f"{channel}/messages/{sent['id']}", {"content": "ho"})
    assert edited["edited_timestamp"] is not None
    assert (await member("GET", f"{channel}/messages?limit=1"))[0]["content"] == "ho"
    assert await member.fails("PATCH", f"{channel}/messages/{sent['id']}", {"content": "mine"}) == (
        403,
        50005,
    )
    assert await member.fails("DELETE", f"{channel}/messages/{sent['id']}") == (403, 50013)
    await api("DELETE", f"{channel}/messages/{sent['id']}")
    assert await member.fails("GET", f"{channel}/messages/{sent['id']}") == (404, 10008)
    more = [await api("POST", f"{channel}/messages", {"content": text}) for text in "abc"]
    assert await api.fails("POST", f"{channel}/messages/bulk-delete", {"messages": [more[0]["id"]]}) == (
        400,
        50016,
    )
    await api("POST", f"{channel}/messages/bulk-delete", {"messages": [int(one["id"]) for one in more]})
    assert [
        one["id"] for one in await api("GET", f"{channel}/messages") if one["id"] in {m["id"] for m in more}
    ] == []
    await api("POST", f"{channel}/typing", data=b"", headers={"Content-Type": "application/octet-stream"})


async def test_a_sender_always_finds_its_own_message(api: Api, member: Api, world: World) -> None:
    """Through the other node, while the archiver is at it."""
    path = f"/channels/{world.channels[1]}/messages"
    for number in range(200):
        sent = await api("POST", path, {"content": str(number)})
        page = await member("GET", f"{path}?limit=3")
        assert page[0]["id"] == sent["id"]
        assert [one["content"] for one in page] == [str(n) for n in range(number, max(number - 3, -1), -1)]
    found: list[str] = []
    while page := await member("GET", f"{path}?limit=100" + (f"&before={found[-1]}" if found else "")):
        found += [one["id"] for one in page]
    assert len(set(found)) == len(found) == 200
    oldest = await member("GET", f"{path}?after=0&limit=3")
    assert [one["content"] for one in oldest] == ["2", "1", "0"]
    around = await member("GET", f"{path}?around={found[100]}&limit=5")
    assert [one["id"] for one in around] == found[98:103]


async def test_pages_have_limits(api: Api, world: World) -> None:
    path = f"/channels/{world.channels[0]}/messages"
    for query in ("limit=0", "limit=101", "limit=x", "before=y"):
        assert await api.fails("GET", f"{path}?{query}") == (400, 50035)


async def test_a_retry_over_rest_and_the_other_node(
    api: Api, nodes: list[Node], http: Any, world: World
) -> None:
    path = f"/channels/{world.channels[0]}/messages"
    other = Api(http, nodes[1].api, world.people[0].token)
    body = {"content": "once", "nonce": 4815162342, "enforce_nonce": True}
    sent = await asyncio.gather(*(one("POST", path, body) for one in (api, other) * 5))
    assert {one["id"] for one in sent} == {sent[0]["id"]}
    page = await api("GET", f"{path}?limit=100")
    assert sum(one["content"] == "once" for one in page) == 1


async def test_bodies(api: Api, world: World) -> None:
    path = f"/channels/{world.channels[0]}/messages"
    assert await api.fails("POST", path, data=b"{") == (400, 50109)
    assert await api.fails("POST", path, data=b"") == (400, 50006)
    assert await api.fails("POST", path, []) == (400, 50035)
    assert await api.fails("POST", path, {"content": "x" * 300_000}) == (413, 40005)
    status, found, _ = await api.raw("POST", path, json={"embeds": [{"title": "x" * 257}]})
    assert (status, found["code"]) == (400, 50035)
    (wrong,) = found["errors"]["embeds"]["0"]["title"]["_errors"]
    assert wrong.keys() == {"code", "message"}


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/json"])
async def test_multipart(api: Api, world: World, kind: str) -> None:
    path = f"/channels/{world.channels[0]}/messages"
    with aiohttp.MultipartWriter("form-data") as form:
        form.append('{"content":"parts"}', {"Content-Type": kind}).set_content_disposition(
            "form-data", name="payload_json"
        )
    assert (await api("POST", path, data=form))["content"] == "parts"
    with aiohttp.MultipartWriter("form-data") as form:
        form.append(IMAGE).set_content_disposition("form-data", name="files[0]", filename="a.png")
        form.append('{"content":"parts"}').set_content_disposition("form-data", name="payload_json")
    (sent,) = (await api("POST", path, data=form))["attachments"]
    assert (sent["filename"], sent["size"]) == ("a.png", len(IMAGE))


async def test_direct_messages(stack: Stack, http: Any, nodes: list[Node]) -> None:
    alice, bob, eve = (
        Api(http, nodes[n % 2].api, p.token) for n, p in enumerate(await make_people(stack, 3))
    )
    me, you = [await one("GET", "/users/@me") for one in (alice, bob)]
    channel = await alice("POST", "/users/@me/channels", {"recipient_id": int(you["id"])})
    assert (channel["type"], [user["id"] for user in channel["recipients"]]) == (1, [you["id"]])
    back = await bob("POST", "/users/@me/channels", {"recipient_id": me["id"]})
    assert back["id"] == channel["id"]
    path = f"/channels/{channel['id']}/messages"
    sent = await alice("POST", path, {"content": "psst"})
    assert sent["channel_type"] == 1
    assert await bob("GET", path) == [sent]
    assert await eve.fails("GET", path) == (403, 50001)
    assert await eve.fails("POST", path, {"content": "me too"}) == (403, 50001)
    assert await alice.fails("POST", "/users/@me/channels", {"recipient_id": me["id"]}) == (400, 50033)
    assert await alice.fails("POST", "/users/@me/channels", {"recipient_id": 5}) == (404, 10013)
    assert await alice.fails("POST", "/users/@me/channels", {}) == (400, 50035)
    assert [one["id"] for one in await bob("GET", "/users/@me/channels")] == [channel["id"]]
    assert (await alice("DELETE", f"/channels/{channel['id']}"))["id"] == channel["id"]


# Guilds.


async def test_a_guild_from_its_beginning_to_its_end(stack: Stack, http: Any, nodes: list[Node]) -> None:
    """Each change is in force on the other node when it is answered."""
    (person,) = await make_people(stack, 1)
    api, there = (Api(http, node.api, person.token) for node in nodes)
    guild = await api("POST", "/guilds", {"name": "of my own"})
    path = f"/guilds/{guild['id']}"
    assert guild["owner_id"] == str(person.id)
    assert [one["id"] for one in await there("GET", "/users/@me/guilds")] == [guild["id"]]
    assert (await there("GET", f"{path}?with_counts=true"))["approximate_member_count"] == 1
    body = {"name": "news", "topic": "t", "nsfw": None, "permission_overwrites": [
        {"id": int(guild["id"]), "type": "role", "allow": 0, "deny": "2048"}]}  # fmt: skip
    channel = await api("POST", f"{path}/channels", body)
    assert channel["permission_overwrites"] == [{"id": guild["id"], "type": 0, "allow": "0", "deny": "2048"}]
    sent = await there("POST", f"/channels/{channel['id']}/messages", {"content": "first"})
    assert sent["channel_id"] == channel["id"]
    changed = await there("PATCH", f"/channels/{channel['id']}", {"name": "olds", "topic": None})
    assert (changed["name"], changed["topic"]) == ("olds", None)
    assert (await api("GET", f"/channels/{channel['id']}")) == changed
    role = await api("POST", f"{path}/roles", {"name": "quiet", "permissions": "2048", "color": 255})
    assert role["colors"]["primary_color"] == 255
    role = await api("PATCH", f"{path}/roles/{role['id']}", {"mentionable": True, "permissions": 0})
    assert (role["mentionable"], role["permissions"]) == (True, "0")
    await api("PUT", f"{path}/members/{person.id}/roles/{role['id']}")
    assert (await api("GET", f"{path}/members/{person.id}"))["roles"] == [role["id"]]
    await api(
        "PUT", f"/channels/{channel['id']}/permissions/{role['id']}", {"type": 0, "allow": "1024", "deny": 0}
    )
    assert len((await api("GET", f"/channels/{channel['id']}"))["permission_overwrites"]) == 2
    await api("DELETE", f"/channels/{channel['id']}/permissions/{role['id']}")
    assert await api.fails("DELETE", f"/channels/{channel['id']}/permissions/{role['id']}") == (404, 10009)
    nick = await api("PATCH", f"{path}/members/@me", {"nick": "Nick"})
    assert nick["nick"] == "Nick"
    await api("DELETE", f"{path}/members/{person.id}/roles/{role['id']}")
    await api("DELETE", f"{path}/roles/{role['id']}")
    await api("PATCH", f"{path}/channels", [{"id": channel["id"], "position": 7, "parent_id": None}])
    assert (await api("GET", f"/channels/{channel['id']}"))["position"] == 7
    assert (await api("PATCH", path, {"name": "renamed"}))["name"] == "renamed"
    assert (await api("DELETE", f"/channels/{channel['id']}"))["id"] == channel["id"]
    assert await api.fails("GET", f"/channels/{channel['id']}") == (404, 10003)
    assert await api.fails("POST", f"{path}/channels", {"name": ""}) == (400, 50035)
    assert await api.fails("POST", "/guilds", {"name": "x"}) == (400, 50035)


async def test_a_new_channel_is_known_on_every_node(stack: Stack, http: Any, nodes: list[Node]) -> None:
    world = await make_world(stack, 2)
    owner, other = (
        Api(http, node.api, person.token) for node, person in zip(nodes, world.people, strict=True)
    )
    await other("GET", f"/channels/{world.channels[0]}")
    for number in range(10):
        channel = await owner("POST", f"/guilds/{world.guild}/channels", {"name": f"c{number}"})
        await other("POST", f"/channels/{channel['id']}/messages", {"content": "there"})


async def test_members(api: Api, member: Api, world: World) -> None:
    path = f"/guilds/{world.guild}"
    ids = sorted(person.id for person in world.people)
    assert [int(m["user"]["id"]) for m in await api("GET", f"{path}/members?limit=1000")] == ids
    assert len(await api("GET", f"{path}/members")) == 1, "the default limit"
    assert [int(m["user"]["id"]) for m in await api("GET", f"{path}/members?limit=5&after={ids[0]}")] == ids[
        1:
    ]
    found = await api("GET", f"{path}/members/search?query={world.people[1].name}&limit=5")
    assert [one["user"]["username"] for one in found] == [world.people[1].name]
    assert await api.fails("GET", f"{path}/members/5") == (404, 10007)
    assert [one["id"] for one in await member("GET", f"{path}/channels")] == [str(c) for c in world.channels]
    assert (await member("GET", f"{path}/roles"))[0]["id"] == str(world.guild)


async def test_what_members_may_not(member: Api, world: World) -> None:
    guild, channel = f"/guilds/{world.guild}", f"/channels/{world.channels[0]}"
    owner = world.people[0].id
    refused = (403, 50013)
    assert await member.fails("PATCH", guild, {"name": "mine"}) == refused
    assert await member.fails("POST", f"{guild}/channels", {"name": "c"}) == refused
    assert await member.fails("PATCH", channel, {"name": "c"}) == refused
    assert await member.fails("DELETE", channel) == refused
    assert await member.fails("POST", f"{guild}/roles", {"permissions": 8}) == refused
    assert await member.fails("PUT", f"{guild}/members/{owner}/roles/{world.guild}") == refused
    assert await member.fails("PATCH", f"{guild}/members/{owner}", {"nick": "x"}) == refused
    assert await member.fails("DELETE", f"{guild}/members/{owner}") == refused
    assert (
        await member.fails("PUT", f"{channel}/permissions/{world.guild}", {"type": 0, "allow": 8}) == refused
    )


async def test_strangers(stack: Stack, http: Any, nodes: list[Node], world: World) -> None:
    (person,) = await make_people(stack, 1)
    api = Api(http, nodes[0].api, person.token)
    for path in (f"/guilds/{world.guild}", f"/guilds/{world.guild}/members", f"/channels/{world.channels[0]}",
                 f"/channels/{world.channels[0]}/messages"):  # fmt: skip
        assert await api.fails("GET", path) == (403, 50001)
    assert await api("GET", "/users/@me/guilds") == []


async def test_nobody_grants_what_they_do_not_have(stack: Stack, http: Any, nodes: list[Node]) -> None:
    world = await make_world(stack, 2)
    owner, other = (
        Api(http, node.api, person.token) for node, person in zip(nodes, world.people, strict=True)
    )
    manage = str(1 << 28 | 1 << 4 | 1 << 10)
    role = await owner(
        "POST", f"/guilds/{world.guild}/roles", {"name": "helper", "permissions": manage, "position": 2}
    )
    await owner("PUT", f"/guilds/{world.guild}/members/{world.people[1].id}/roles/{role['id']}")
    refused = (403, 50013)
    assert await other.fails("POST", f"/guilds/{world.guild}/roles", {"permissions": 8}) == refused
    assert (
        await other.fails("PATCH", f"/guilds/{world.guild}/roles/{role['id']}", {"name": "x"}) == refused
    ), "not below"
    lower = await other("POST", f"/guilds/{world.guild}/roles", {"permissions": "1024"})
    await other("PATCH", f"/guilds/{world.guild}/roles/{lower['id']}", {"name": "x"})
    path = f"/channels/{world.channels[0]}/permissions/{lower['id']}"
    assert await other.fails("PUT", path, {"type": 0, "allow": str(1 << 13)}) == refused
    body = {"name": "c", "permission_overwrites": [{"id": str(world.guild), "type": 0, "allow": "8"}]}
    assert await other.fails("POST", f"/guilds/{world.guild}/channels", body) == refused


async def test_a_revoked_right_holds_on_every_node(stack: Stack, http: Any, nodes: list[Node]) -> None:
    world = await make_world(stack, 2)
    owner, other = (
        Api(http, node.api, person.token) for node, person in zip(nodes, world.people, strict=True)
    )
    path = f"/channels/{world.channels[0]}"
    await other("POST", f"{path}/messages", {"content": "still"})
    await owner("PUT", f"{path}/permissions/{world.guild}", {"type": 0, "allow": "0", "deny": str(1 << 10)})

    async def gone() -> bool:
        status, _, _ = await other.raw("GET", path)
        return status == 403

    async with asyncio.timeout(30):
        while not await gone():
            pass
    assert await other.fails("POST", f"{path}/messages", {"content": "no more"}) == (403, 50001)


# What is counted.


async def test_one_encoding_per_message(stack: Stack, api: Api, world: World) -> None:
    before = await metric_of_role(stack, "gateway", "fanfare_payload_encodings_total", type="MESSAGE_CREATE")
    requests = await metric_of_role(
        stack, "gateway", "fanfare_rest_requests_total", route="/channels/{channel}/messages", method="POST"
    )
    for _ in range(5):
        await api("POST", f"/channels/{world.channels[0]}/messages", {"content": "counted"})
    after = await metric_of_role(stack, "gateway", "fanfare_payload_encodings_total", type="MESSAGE_CREATE")
    assert after - before == 5
    assert (
        await metric_of_role(
            stack,
            "gateway",
            "fanfare_rest_requests_total",
            route="/channels/{channel}/messages",
            method="POST",
        )
        == requests + 5
    )


async def test_limits_are_told(api: Api, world: World) -> None:
    """Most libraries send one message at a time to a route that tells none."""
    _, _, headers = await api.raw("POST", f"/channels/{world.channels[0]}/messages", json={"content": "x"})
    assert int(headers["X-RateLimit-Remaining"]) > 100
    assert float(headers["X-RateLimit-Reset-After"]) > 0
    assert headers["X-RateLimit-Bucket"]


async def test_the_log_has_neither_tokens_nor_content(stack: Stack, api: Api, world: World) -> None:
    await api("POST", f"/channels/{world.channels[0]}/messages", {"content": "word of mouth 4711"})
    await api.fails(
        "POST", f"/channels/{world.channels[0]}/messages", {"content": "word of mouth 4711" * 200}
    )
    person: Person = world.people[0]
    for log in (stack.home / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        assert "word of mouth" not in text
        assert person.token not in text
