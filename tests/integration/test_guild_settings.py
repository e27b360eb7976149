"""Emojis, settings and pruning of guilds, over REST and as clients are told of them."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from fanfare.permissions import P
from tests.integration.conftest import Connect
from tests.stack import Stack
from tests.world import Node, World, make_world, make_world_with_bot, store_of
from torture.client import Client, Rest, RestError

pytestmark = pytest.mark.system

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture"
GIF = b"GIF89a\x01\x00\x01\x00moves"


def image(content: bytes = PNG) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


async def created(node: Node, world: World, who: int = 1) -> dict[str, Any]:
    """The GUILD_CREATE of a client that begins now."""
    async with await Client.connect(node.gateway, world.people[who].session()) as client:
        return (await client.start())[-1].d


async def fetched(address: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        return answer.status, answer.content_type, await answer.read()


async def refused(rest: Rest, method: str, path: str, body: Any = None) -> tuple[int, int]:
    with pytest.raises(RestError) as error:
        await rest.request(method, path, body)
    return error.value.status, error.value.code


async def test_an_emoji_from_its_making_to_its_end(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_world(stack, people=2)
    owner, bob = world.people
    guild, channel = world.guild, world.channels[0]
    client = await online(nodes[1], bob)
    root = stack.run["api"].removesuffix("/api/v10")
    async with nodes[0].rest(owner) as rest, nodes[1].rest(bob) as his:
        emojis = f"/guilds/{guild}/emojis"
        made = await rest.request("POST", emojis, {"name": "wave", "image": image(), "roles": []})
        assert (made["name"], made["animated"], made["user"]["id"]) == ("wave", False, str(owner.id))
        moving = await rest.request("POST", emojis, {"name": "jump", "image": image(GIF)})
        assert moving["animated"] is True
        told = (await client.until("GUILD_EMOJIS_UPDATE")).d
        assert [one["id"] for one in told["emojis"]] == [made["id"]]
        for node in nodes:
            assert [one["name"] for one in (await created(node, world))["emojis"]] == ["wave", "jump"]
        assert [one["id"] for one in await his.request("GET", emojis)] == [made["id"], moving["id"]]
        assert await fetched(f"{root}/emojis/{made['id']}.png") == (200, "image/png", PNG)
        assert await fetched(f"{root}/emojis/{moving['id']}.gif") == (200, "image/gif", GIF)

        message = await rest.send(channel, "react")
        reactions = f"/channels/{channel}/messages/{message['id']}/reactions"
        await his.request("PUT", f"{reactions}/{quote('other_name:' + made['id'])}/@me")
        event = await client.until("MESSAGE_REACTION_ADD")
        assert event.d["emoji"] == {"id": made["id"], "name": "wave"}
        assert await refused(his, "PUT", f"{reactions}/{quote('x_x:' + str(guild))}/@me") == (400, 10014)

        assert await refused(his, "POST", emojis, {"name": "mine", "image": image()}) == (403, 50013)
        assert await refused(his, "PATCH", f"{emojis}/{made['id']}", {"name": "mine"}) == (403, 50013)
        assert await refused(rest, "POST", emojis, {"name": "a b", "image": image()}) == (400, 50035)
        assert await refused(rest, "POST", emojis, {"name": "ab", "image": "x"}) == (400, 50035)
        assert await refused(rest, "PATCH", f"{emojis}/{made['id']}", {"roles": [str(guild)]}) == (400, 50035)
        renamed = await rest.request("PATCH", f"{emojis}/{made['id']}", {"name": "waves"})
        assert renamed["name"] == "waves"
        await rest.request("DELETE", f"{emojis}/{made['id']}")
        assert await refused(rest, "GET", f"{emojis}/{made['id']}") == (404, 10014)
        assert (await fetched(f"{root}/emojis/{made['id']}.png"))[0] == 404
        log = await rest.request("GET", f"/guilds/{guild}/audit-logs")
        actions = [one["action_type"] for one in log["audit_log_entries"]]
        assert actions == [62, 61, 60, 60]


async def test_who_may_make_emojis_changes_only_their_own(nodes: list[Node], stack: Stack):
    world = await make_world(stack, people=2)
    owner, bob = world.people
    async with nodes[0].rest(owner) as rest, nodes[1].rest(bob) as his:
        bits = {"name": "makers", "permissions": str(int(P.CREATE_GUILD_EXPRESSIONS))}
        role = await rest.request("POST", f"/guilds/{world.guild}/roles", bits)
        await rest.request("PUT", f"/guilds/{world.guild}/members/{bob.id}/roles/{role['id']}")
        emojis = f"/guilds/{world.guild}/emojis"
        theirs = await rest.request("POST", emojis, {"name": "theirs", "image": image()})
        own = await his.request("POST", emojis, {"name": "own", "image": image()})
        assert await refused(his, "DELETE", f"{emojis}/{theirs['id']}") == (403, 50013)
        await his.request("DELETE", f"{emojis}/{own['id']}")
        for number in range(49):
            await rest.request("POST", emojis, {"name": f"n{number}", "image": image()})
        assert await refused(rest, "POST", emojis, {"name": "more", "image": image()}) == (400, 30008)
        await rest.request("POST", emojis, {"name": "moves", "image": image(GIF)})


async def test_all_settings_of_a_guild(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_world(stack, people=2)
    owner, bob = world.people
    client = await online(nodes[1], bob)
    path = f"/guilds/{world.guild}"
    async with nodes[0].rest(owner) as rest:
        voice = await rest.request("POST", f"{path}/channels", {"name": "talk", "type": 2})
        text = str(world.channels[0])
        wanted = {
            "name": "another name",
            "description": "about it",
            "verification_level": 2,
            "default_message_notifications": 1,
            "explicit_content_filter": 1,
            "afk_channel_id": voice["id"],
            "afk_timeout": 900,
            "system_channel_id": text,
            "system_channel_flags": 3,
            "rules_channel_id": text,
            "public_updates_channel_id": text,
            "safety_alerts_channel_id": text,
            "preferred_locale": "de",
        }
        answered = await rest.request("PATCH", path, wanted | {"icon": image()})
        assert {key: answered[key] for key in wanted} == wanted
        told = (await client.until("GUILD_UPDATE")).d
        assert {key: told[key] for key in wanted} == wanted
        root = stack.run["api"].removesuffix("/api/v10")
        assert (await fetched(f"{root}/icons/{world.guild}/{answered['icon']}.png"))[2] == PNG
        for node in nodes:
            shown = await created(node, world)
            assert {key: shown[key] for key in wanted} == wanted
        for wrong in (
            {"afk_channel_id": text},
            {"system_channel_id": voice["id"]},
            {"rules_channel_id": "5"},
            {"verification_level": 9},
            {"afk_timeout": 7},
            {"icon": "x"},
            {"splash": image()},
            {"preferred_locale": "x"},
        ):
            assert await refused(rest, "PATCH", path, wrong) == (400, 50035)
        reset = await rest.request("PATCH", path, dict.fromkeys(wanted.keys() - {"name"}) | {"icon": None})
        assert (reset["name"], reset["icon"], reset["afk_timeout"]) == ("another name", None, 300)
        assert (reset["description"], reset["afk_channel_id"], reset["preferred_locale"]) == (
            None,
            None,
            "en-US",
        )


async def test_members_who_were_away_for_long_are_pruned(nodes: list[Node], stack: Stack, online: Connect):
    world = await make_world_with_bot(stack, people=5)
    owner, _, new, away, here, kept = world.people
    path = f"/guilds/{world.guild}"
    async with nodes[0].rest(owner) as rest, store_of(stack) as store:
        role = await rest.request("POST", f"{path}/roles", {"name": "kept"})
        await rest.request("PUT", f"{path}/members/{kept.id}/roles/{role['id']}")
        long_ago = datetime.now(UTC) - timedelta(days=8)
        ids = [person.id for person in world.people if person is not new]
        await store.database.value(
            "UPDATE users SET seen_at = $2 WHERE id = ANY($1::bigint[])", ids, long_ago
        )
        await store.database.value(
            "UPDATE members SET joined_at = $2 WHERE guild_id = $1", world.guild, long_ago
        )
        await online(nodes[1], here)
        watcher = await online(nodes[1], owner)
        sql = "SELECT count(*) FROM users WHERE id = $1 AND seen_at > $2"
        while not await store.database.value(sql, here.id, long_ago + timedelta(days=1)):
            pass
        assert await rest.request("GET", f"{path}/prune?days=7") == {"pruned": 1}
        assert await rest.request("GET", f"{path}/prune?days=7&include_roles={role['id']}") == {"pruned": 2}
        assert await rest.request("GET", f"{path}/prune?days=30") == {"pruned": 0}
        for query in ("days=31", "include_roles=x"):
            assert await refused(rest, "GET", f"{path}/prune?{query}") == (400, 50035)
        async with nodes[1].rest(here) as theirs:
            assert await refused(theirs, "POST", f"{path}/prune", {"days": 7}) == (403, 50013)
        assert await rest.request("POST", f"{path}/prune", {"days": 7}) == {"pruned": 1}
        assert (await watcher.until("GUILD_MEMBER_REMOVE")).d["user"]["id"] == str(away.id)
        log = (await rest.request("GET", f"{path}/audit-logs?limit=1"))["audit_log_entries"]
        assert log[0]["action_type"] == 21
        assert log[0]["options"] == {"delete_member_days": "7", "members_removed": "1"}
