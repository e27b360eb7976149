"""Webhooks on real nodes: who manages them, and what whoever has a token may say."""

import aiohttp
import pytest

from fanfare.permissions import P
from gateway.rest.webhook_forms import from_github, from_slack
from tests.world import make_world
from torture.client import Rest, RestError


@pytest.fixture
async def people(stack, nodes):
    world = await make_world(stack, people=2, channels=2)
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as member:
        yield world, owner, member


async def refused(doing) -> tuple[int, int]:
    with pytest.raises(RestError) as caught:
        await doing
    return caught.value.status, caught.value.code


async def test_a_webhook_from_its_making_to_its_end(nodes, people, online):
    world, owner, member = people
    channel, other = world.channels
    watcher = await online(nodes[1], world.people[1])
    assert await refused(member.request("POST", f"/channels/{channel}/webhooks", {"name": "news"})) == (
        403,
        50013,
    )
    made = await owner.request("POST", f"/channels/{channel}/webhooks", {"name": "news"})
    assert (made["channel_id"], made["user"]["id"]) == (str(channel), str(world.people[0].id))
    assert await refused(member.request("GET", f"/webhooks/{made['id']}")) == (403, 50013)
    assert await refused(member.request("GET", f"/guilds/{world.guild}/webhooks")) == (403, 50013)
    log = await owner.request("GET", f"/guilds/{world.guild}/audit-logs")
    assert log["audit_log_entries"][0]["action_type"] == 50
    by_token = f"/webhooks/{made['id']}/{made['token']}"
    async with Rest(nodes[1].api, "") as anybody:
        shown = await anybody.request("GET", by_token)
        assert (shown["name"], "user" in shown) == ("news", False)
        assert await anybody.request("POST", by_token, {"content": "quiet"}) is None
        said = await anybody.request(
            "POST",
            by_token,
            {
                "content": "hello",
                "username": "Courier",
                "embeds": [{"title": "x"}],
                "avatar_url": "https://e.org/a",
            },
            query={"wait": "true"},
        )
        event = (await watcher.until("MESSAGE_CREATE")).d
        assert (event["content"], event["author"]["username"], event["webhook_id"]) == (
            "quiet",
            "news",
            made["id"],
        )
        event = (await watcher.until("MESSAGE_CREATE")).d
        assert (event["id"], event["author"]["username"], "member" in event) == (said["id"], "Courier", False)
        path = f"{by_token}/messages/{said['id']}"
        assert (await anybody.request("GET", path))["content"] == "hello"
        assert (await anybody.request("PATCH", path, {"content": "changed"}))["content"] == "changed"
        assert (await watcher.until("MESSAGE_UPDATE")).d["content"] == "changed"
        mine = await owner.send(channel, "mine")
        assert await refused(anybody.request("GET", f"{by_token}/messages/{mine['id']}")) == (404, 10008)
        await anybody.request("DELETE", path)
        assert (await watcher.until("MESSAGE_DELETE")).d["id"] == said["id"]
        assert await refused(anybody.request("POST", by_token, {"content": ""})) == (400, 50006)
        assert await refused(anybody.request("POST", by_token + "x", {"content": "x"})) == (404, 10015)
        moved = await owner.request(
            "PATCH", f"/webhooks/{made['id']}", {"name": "moved", "channel_id": str(other)}
        )
        assert moved["channel_id"] == str(other)
        await anybody.request("POST", by_token, {"content": "there"})
        event = (await watcher.until("MESSAGE_CREATE")).d
        while event["content"] != "there":
            event = (await watcher.until("MESSAGE_CREATE")).d
        assert (event["channel_id"], event["author"]["username"]) == (str(other), "moved")
        async with aiohttp.ClientSession() as http:
            slack = {"text": "from slack", "attachments": [{"title": "t", "color": "#ff0000"}]}
            async with http.post(f"{nodes[0].api}{by_token}/slack", json=slack) as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            body = {
                "repository": {"full_name": "a/b"},
                "ref": "refs/heads/main",
                "commits": [{"id": "1" * 40}],
            }
            async with http.post(
                f"{nodes[0].api}{by_token}/github", json=body, headers={"X-GitHub-Event": "push"}
            ) as answer:
                assert answer.status == 204
        assert (await watcher.until("MESSAGE_CREATE")).d["content"] == "from slack"
        assert (await watcher.until("MESSAGE_CREATE")).d["embeds"][0]["title"] == "[a/b:main] 1 new commit"
        await anybody.request("DELETE", by_token)
        assert await refused(anybody.request("POST", by_token, {"content": "x"})) == (404, 10015)
    assert await owner.request("GET", f"/guilds/{world.guild}/webhooks") == []
    role = await owner.request(
        "POST", f"/guilds/{world.guild}/roles", {"name": "w", "permissions": str(int(P.MANAGE_WEBHOOKS))}
    )
    await owner.request("PUT", f"/guilds/{world.guild}/members/{world.people[1].id}/roles/{role['id']}")
    for number in range(15):
        await member.request("POST", f"/channels/{channel}/webhooks", {"name": f"n{number}"})
    assert await refused(member.request("POST", f"/channels/{channel}/webhooks", {"name": "x"})) == (
        400,
        30007,
    )


@pytest.mark.parametrize(
    "body", [None, [], {"text": 5, "attachments": 3}, {"attachments": [5, {"fields": [3]}]}]
)
def test_what_is_no_message_of_slack_or_github_says_nothing(body):
    assert not any(from_slack(body).values())
    assert from_github("push", body) is None
    assert from_github("issues", {"issue": 5, "sender": []}) is not None
